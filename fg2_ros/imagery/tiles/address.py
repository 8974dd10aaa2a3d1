# Copyright 2026 fg2_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Tile addresses, URL templates, and keeping API keys out of messages."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
import re
import string
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlsplit

from fg2_ros.geometry import mercator
from fg2_ros.imagery.tiles.templates import (
    asks_arcgis, foreign_grid, in_usual_words, MERCATOR, subdomains_in)
import numpy as np

_PLACEHOLDERS = {'z', 'x', 'y', '-y', 'q', 's', 'r', 'bbox', 'width', 'height', 'key'}
_HARMLESS_PARAMETERS = {
    'service', 'request', 'version', 'layer', 'layers', 'style', 'styles', 'format', 'crs', 'srs',
    'tilematrixset', 'tilematrix', 'tilerow', 'tilecol', 'bbox', 'bboxsr', 'imagesr', 'size',
    'width', 'height', 'transparent', 'bgcolor', 'exceptions', 'map', 'f', 'time'}
_SHORTEST_KEY = 8


class TileId(NamedTuple):
    """An XYZ tile address: y counts from the north."""

    zoom: int
    x: int
    y: int


@dataclass(frozen=True)
class TileLayout:
    """
    What a Web Mercator tile pyramid holds, wherever it lies.

    :param name: what messages call it.
    :param tile_px: side of a tile in pixels.
    :param min_zoom: coarsest zoom.
    :param max_zoom: finest zoom.
    :param attribution: whom it says it belongs to.
    :param bounds: west, south, east, north in degrees outside which it has nothing (west may be
        greater than east); None if it does not say.
    :param resolution_m: metres on the ground per pixel of the imagery itself, where the finest
        tiles are only magnified; 0 if it is as fine as they are.
    :param zooms: those there are, rising, where some between are left out; () if all are there.
    """

    name: str
    tile_px: int
    min_zoom: int
    max_zoom: int
    attribution: str = ''
    bounds: tuple[float, ...] | None = None
    resolution_m: float = 0.0
    zooms: tuple[int, ...] = ()


def flipped_row(zoom, row):
    """Return the row counted from the south of one from the north, or the other way round."""
    return 2 ** zoom - 1 - row


def reach_into(bounds: tuple[float, ...], zoom: int, x, y):
    """
    Return which tiles lie, in part at least, within bounds.

    :param bounds: west, south, east, north in degrees; west may be greater than east.
    """
    west, south, east, north = bounds
    (left, right), (top, bottom) = mercator.world_pixel_from_geodetic(
        (north, south), (west, east), zoom, tile_px=1)
    right_of_west, left_of_east = np.greater(x + 1, left), np.less(x, right)
    across = left_of_east | right_of_west if west > east else left_of_east & right_of_west
    return across & np.greater(y + 1, top) & np.less(y, bottom)


@dataclass(frozen=True)
class TileSource:
    """
    A Web Mercator tile pyramid behind a URL template.

    In the template stand ``{z}``, ``{x}`` and ``{y}`` (or ``{-y}``, counted from the south, as TMS
    does), or a quadkey ``{q}``, or for a WMS ``{bbox}``, ``{width}`` and ``{height}``; for a WMTS
    ``{TileMatrix}``, ``{TileRow}`` and ``{TileCol}`` mean the same as z, y and x. ``{s}`` is a
    sub-domain, also as ``{switch:a,b}``, ``{proj}`` is ``EPSG:3857``, ``{r}`` is ``@2x`` for tiles
    of 512 px, and ``{key}`` the API key. A template with ``@2x`` in it has tiles of 512 px.

    :param url_template: the template.
    :param name: what messages call it; by default its host.
    :param key: API key put in the place of ``{key}``.
    :param tile_px: side of a tile in pixels, 256 or 512.
    :param min_zoom: coarsest zoom the source has.
    :param max_zoom: finest zoom the source has.
    :param resolution_m: of the imagery itself, see `TileLayout`.
    :param subdomains: what is put in the place of ``{s}``; a tile always gets the same.
    :param bounds: see `TileLayout`; None if it is to be asked everywhere.
    :param vintage: when the imagery was taken.
    :param attribution: whom to name where the imagery is shown.
    :raises ValueError: if no tile can be asked for in this way.
    """

    url_template: str = field(repr=False)
    name: str = ''
    key: str = field(default='', repr=False)
    tile_px: int = 256
    min_zoom: int = 0
    max_zoom: int = 19
    resolution_m: float = 0.0
    subdomains: tuple[str, ...] = ('a', 'b', 'c')
    bounds: tuple[float, ...] | None = None
    vintage: str = ''
    attribution: str = ''

    def __post_init__(self):
        """Check the template and fill in the name."""
        self._set('subdomains', subdomains_in(self.url_template) or self.subdomains)
        self._set('url_template', in_usual_words(self.url_template))
        parts = urlsplit(self.url_template)
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            raise ValueError('a tile URL starts with http:// or https:// and names a host')
        self._set('name', self.name or host_of(self.url_template))
        if '@2x' in self.url_template:
            self._set('tile_px', 512)
        self._check_template()
        self._check_numbers()

    def url(self, tile: TileId) -> str:
        """Return the address of a tile, API key included: it must not be shown or logged."""
        return self.url_template.format_map({
            'z': tile.zoom, 'x': tile.x, 'y': tile.y, '-y': flipped_row(tile.zoom, tile.y),
            'q': _quadkey(tile), 'bbox': _mercator_box(tile), 'width': self.tile_px,
            'height': self.tile_px, 'r': '@2x' if self.tile_px == 512 else '',
            's': self.subdomains[(tile.x + tile.y) % len(self.subdomains)],
            'key': quote(self.key, safe='')})

    @property
    def asks_for_size(self) -> bool:
        """Whether its address says how large the tiles are to be."""
        return 'bbox' in _placeholders(self.url_template, self.name)

    @property
    def layout(self) -> TileLayout:
        """Return what it holds."""
        return TileLayout(
            self.name, tile_px=self.tile_px, min_zoom=self.min_zoom, max_zoom=self.max_zoom,
            attribution=self.attribution, bounds=self.bounds, resolution_m=self.resolution_m)

    def covers(self, tile: TileId) -> bool:
        """Return whether a tile lies, in part at least, within the bounds."""
        return self.bounds is None or bool(reach_into(self.bounds, *tile))

    @property
    def public_template(self) -> str:
        """Return the template without user names and query values that may be keys."""
        parts = urlsplit(self.url_template)
        query = re.sub(r'([^&=]+)=([^&]*)', _redacted, parts.query)
        return parts._replace(netloc=parts.netloc.rpartition('@')[2], query=query).geturl()

    def secrets(self) -> tuple[str, ...]:
        """Return the strings that no log may show."""
        parts = urlsplit(self.url_template)
        values = [value for name, value in re.findall(r'([^&=]+)=([^&]*)', parts.query)
                  if may_be_secret(name, value)]
        values += [self.key, quote(self.key, safe=''), quote_plus(self.key), parts.username,
                   parts.password]
        return tuple(value for value in values if value)

    def leaks_key(self, url: str) -> bool:
        """
        Return whether an address holds the API key or what may be one, however it is quoted.

        Short values of a template's parameters are none: 'v=2', 'retina=true'.
        """
        plain = _unquoted(url)
        return any(_unquoted(secret) in plain for secret in self.secrets()
                   if secret == self.key or len(secret) >= _SHORTEST_KEY)

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)

    def _check_template(self) -> None:
        used = _placeholders(self.url_template, self.name)
        if not used:
            raise ValueError(f'the address of {self.name} is that of a service and not of its '
                             'tiles: "fg2 sources add" asks the service for that')
        tiled = {'z', 'x'} <= used and used & {'y', '-y'}
        if not (tiled or used & {'q', 'bbox'}) or not used <= _PLACEHOLDERS:
            raise ValueError(
                f'the tile URL of {self.name} needs {{z}}, {{x}} and {{y}} or {{-y}}, or {{q}}, '
                'or {bbox}, may have {s}, {r}, {width}, {height} and {key}, and has '
                f'{_told(used)}')
        if 'bbox' in used:
            self._check_wms()
        elif grid := foreign_grid(self.url_template):
            raise ValueError(f'the tiles of {self.name} are in the grid of {grid}, which is not '
                             'supported: take those in Web Mercator (EPSG:3857), if it has any')
        if 'key' in used and not self.key:
            raise ValueError(f'the tile URL of {self.name} wants an API key and none is given')
        if 's' in used and not self.subdomains:
            raise ValueError(f'the tile URL of {self.name} wants sub-domains and has none')

    def _check_wms(self) -> None:
        """Accept a WMS address if its pictures are tiles of the pyramid."""
        query = {name.lower(): value
                 for name, value in parse_qsl(urlsplit(self.url_template).query)}
        systems = [query[name] for name in ('crs', 'srs', 'bboxsr', 'imagesr') if name in query]
        if not systems or not all(map(MERCATOR.search, systems)):
            raise ValueError(f'the WMS address of {self.name} must ask for CRS=EPSG:3857 (SRS= '
                             'before WMS 1.3.0): in other systems tiles are not square')
        if asks_arcgis(self.url_template) and (len(systems) < 2 or query.get('f') != 'image'):
            raise ValueError(f'the ArcGIS address of {self.name} must ask for bboxSR=3857, '
                             'imageSR=3857 and f=image')
        sides = {query.get(side, query.get('size')) for side in ('width', 'height')}
        whole = f'{self.tile_px},{self.tile_px}'
        if not sides <= {'{width}', '{height}', '{width},{height}', str(self.tile_px), whole}:
            raise ValueError(f'the WMS address of {self.name} needs WIDTH={{width}} and '
                             f'HEIGHT={{height}}, or {self.tile_px} for both')

    def _check_numbers(self) -> None:
        if self.tile_px not in (256, 512):
            raise ValueError(f'tiles of {self.name} are 256 or 512 pixels wide, not '
                             f'{self.tile_px}: tile_px is wrong')
        if not 0 <= self.min_zoom <= self.max_zoom <= 24:
            raise ValueError(f'min_zoom {self.min_zoom} and max_zoom {self.max_zoom} of '
                             f'{self.name} are no range in 0 to 24')
        if not 0 <= self.resolution_m < math.inf:
            raise ValueError(f'{self.name} cannot have {self.resolution_m} metres per pixel: '
                             'resolution_m is wrong')
        if self.bounds is not None and not _are_bounds(self.bounds):
            raise ValueError(f'the bounds of {self.name} are not west, south, east and north in '
                             'degrees, as far as Web Mercator reaches')


def host_of(url: str) -> str:
    """Return the host and port of an address, without user names and sub-domains."""
    host = urlsplit(in_usual_words(url)).netloc.rpartition('@')[2]
    return host.removeprefix('{s}.').replace('{s}', '*')


def _placeholders(template: str, name: str) -> set[str]:
    try:
        return {field for _, field, _, _ in string.Formatter().parse(template)
                if field is not None}
    except ValueError:
        raise ValueError(f'the braces in the tile URL of {name} do not match') from None


def _told(placeholders: set[str]) -> str:
    """Return the names of placeholders; only known ones, as others may be an API key."""
    unknown = len(placeholders - _PLACEHOLDERS)
    known = [f'{{{name}}}' for name in sorted(placeholders & _PLACEHOLDERS)]
    return ', '.join(known + [f'{unknown} with other names'] * bool(unknown)) or 'none of them'


def _quadkey(tile: TileId) -> str:
    return ''.join(str((tile.x >> bit & 1) + 2 * (tile.y >> bit & 1))
                   for bit in reversed(range(tile.zoom)))


def _mercator_box(tile: TileId) -> str:
    """Return west, south, east, north of a tile in the metres of EPSG:3857."""
    world_m = 2 * math.pi * mercator.EARTH_RADIUS_M
    side_m = world_m / 2 ** tile.zoom
    west, north = tile.x * side_m - world_m / 2, world_m / 2 - tile.y * side_m
    return f'{west:.6f},{north - side_m:.6f},{west + side_m:.6f},{north:.6f}'


def _are_bounds(bounds: tuple[float, ...]) -> bool:
    if len(bounds) != 4:
        return False
    west, south, east, north = bounds
    limit = mercator.MAX_LATITUDE_DEG
    return -180 <= west <= 180 and -180 <= east <= 180 and -limit <= south < north <= limit


def may_be_secret(name: str, value: str) -> bool:
    literal = re.sub(r'\{[^{}]*\}', '', value)
    return name.lower() not in _HARMLESS_PARAMETERS and any(map(str.isalnum, literal))


def _unquoted(text: str) -> str:
    """Return what a text means in an address, also in an address inside an address."""
    while (plain := unquote_plus(text)) != text:
        text = plain
    return text


def _redacted(parameter: re.Match) -> str:
    name, value = parameter.groups()
    return f'{name}=***' if may_be_secret(name, value) else parameter.group()

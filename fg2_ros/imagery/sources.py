"""Where tiles come from: XYZ URL templates, tile addresses, and keeping API keys to ourselves."""

from __future__ import annotations

from dataclasses import dataclass, field
import re
import string
from typing import NamedTuple
from urllib.parse import quote, urlsplit

_PLACEHOLDERS = {'z', 'x', 'y', 'key'}
_HARMLESS_PARAMETERS = {
    'service', 'request', 'version', 'layer', 'layers', 'style', 'styles', 'format', 'crs', 'srs',
    'tilematrixset', 'width', 'height', 'transparent', 'time'}


class TileId(NamedTuple):
    """An XYZ tile address: y counts from the north."""

    zoom: int
    x: int
    y: int


@dataclass(frozen=True)
class TileSource:
    """
    A Web Mercator tile pyramid behind a URL template.

    :param url_template: with ``{z}``, ``{x}``, ``{y}`` and, if the service wants one, ``{key}``.
    :param name: what messages call it; by default its host.
    :param key: API key put in the place of ``{key}``.
    :param tile_px: side of a tile in pixels, 256 or 512.
    :param min_zoom: coarsest zoom the source has.
    :param max_zoom: finest zoom the source has.
    :raises ValueError: if no tile can be asked for in this way.
    """

    url_template: str = field(repr=False)
    name: str = ''
    key: str = field(default='', repr=False)
    tile_px: int = 256
    min_zoom: int = 0
    max_zoom: int = 19

    def __post_init__(self):
        """Check the template and fill in the name."""
        parts = urlsplit(self.url_template)
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            raise ValueError('a tile URL starts with http:// or https:// and names a host')
        if not self.name:
            object.__setattr__(self, 'name', parts.netloc.rpartition('@')[2])
        used = _placeholders(self.url_template, self.name)
        if not {'z', 'x', 'y'} <= used or not used <= _PLACEHOLDERS:
            raise ValueError(
                f'the tile URL of {self.name} needs {{z}}, {{x}} and {{y}}, may have {{key}}, and '
                f'has {", ".join(sorted(used)) or "none of them"}')
        if 'key' in used and not self.key:
            raise ValueError(f'the tile URL of {self.name} wants an API key and none is given')
        if self.tile_px not in (256, 512):
            raise ValueError(f'tiles are 256 or 512 pixels wide, not {self.tile_px}')
        if not 0 <= self.min_zoom <= self.max_zoom <= 24:
            raise ValueError(f'zooms {self.min_zoom} to {self.max_zoom} are no range in 0 to 24')

    def url(self, tile: TileId) -> str:
        """Return the address of a tile, API key included: never show it to anybody."""
        return self.url_template.format(
            z=tile.zoom, x=tile.x, y=tile.y, key=quote(self.key, safe=''))

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
                  if _may_be_secret(name, value)]
        values += [self.key, quote(self.key, safe=''), parts.password or '']
        return tuple(value for value in values if value)


def _placeholders(template: str, name: str) -> set[str]:
    try:
        return {field for _, field, _, _ in string.Formatter().parse(template)
                if field is not None}
    except ValueError:
        raise ValueError(f'the braces in the tile URL of {name} do not match') from None


def _may_be_secret(name: str, value: str) -> bool:
    return name.lower() not in _HARMLESS_PARAMETERS and '{' not in value


def _redacted(parameter: re.Match) -> str:
    name, value = parameter.groups()
    return f'{name}=***' if _may_be_secret(name, value) else parameter.group()

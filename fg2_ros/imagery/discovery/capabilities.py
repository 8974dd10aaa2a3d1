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
"""Capabilities of WMTS and WMS servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
import math
import re
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from fg2_ros.geometry import mercator
from fg2_ros.imagery.discovery.documents import children, descend, text_of
from fg2_ros.imagery.discovery.layers import joined, Layer
from fg2_ros.imagery.tiles.templates import MERCATOR

_WORLD_M = 2 * math.pi * mercator.EARTH_RADIUS_M
_PIXEL_M = 0.28e-3  # by definition, of scale denominators
_FORMATS = ('image/jpeg', 'image/jpg', 'image/webp', 'image/png', 'image/jpgpng')
_FINEST_ZOOM = 20  # asked of a WMS that does not say how fine it is
_ONLY = 'and only Web Mercator (EPSG:3857) is supported'
_CODE = re.compile(r'(\d{4,6})$')


@dataclass(frozen=True)
class _Matrices:
    """A tile matrix set in Web Mercator: its zooms, and what stands before them in its names."""

    name: str
    prefix: str
    zooms: tuple[int, ...]
    tile_px: int
    digits: int = 0


def wmts_layers(root: Element, url: str) -> Iterator[Layer]:
    """Yield what a WMTS has, with the reason of what cannot be used."""
    contents = descend(root, 'Contents')
    sets = {text_of(each, 'Identifier'): each for each in children(contents, 'TileMatrixSet')}
    attribution = text_of(root, 'ServiceProvider', 'ProviderName')
    for layer in children(contents, 'Layer'):
        links = [text_of(link, 'TileMatrixSet') for link in children(layer, 'TileMatrixSetLink')]
        usable = [each for each in map(_mercator_matrices, map(sets.get, links)) if each]
        known = Layer(text_of(layer, 'Identifier'), text_of(layer, 'Title'),
                      attribution=attribution, terms=_wmts_terms(root),
                      bounds=_wgs84_box(descend(layer, 'WGS84BoundingBox')))
        if not usable:
            yield replace(known, problem=f'its tiles are in {_grids(links, sets)}, {_ONLY}')
            continue
        chosen = max(usable, key=lambda each: (each.zooms[-1], each.tile_px == 256))
        yield replace(
            known, kind='wmts', url=_wmts_template(root, layer, chosen, url),
            min_zoom=chosen.zooms[0], max_zoom=chosen.zooms[-1], tile_px=chosen.tile_px)


def _mercator_matrices(matrix_set: Element | None) -> _Matrices | None:
    """Return a tile matrix set if its tiles are those of Web Mercator; else None."""
    if not MERCATOR.search(text_of(matrix_set, 'SupportedCRS').replace('::', ':')):
        return None
    zooms, names, sides = [], [], set()
    for matrix in children(matrix_set, 'TileMatrix'):
        zoom = _zoom_of(matrix)
        if zoom is not None:
            zooms.append(zoom)
            names.append(text_of(matrix, 'Identifier'))
            sides.add(int(text_of(matrix, 'TileWidth')))
    naming = _naming(names, zooms)
    if not zooms or len(sides) != 1 or naming is None or not sides <= {256, 512, 1024}:
        return None
    return _Matrices(text_of(matrix_set, 'Identifier'), naming[0], tuple(sorted(zooms)),
                     sides.pop(), naming[1])


def _zoom_of(matrix: Element) -> int | None:
    """Return the zoom of a tile matrix that is one of Web Mercator; else None."""
    try:
        side_m = (float(text_of(matrix, 'ScaleDenominator')) * _PIXEL_M
                  * int(text_of(matrix, 'TileWidth')))
        corner = sorted(map(float, text_of(matrix, 'TopLeftCorner').split()))
        zoom = math.log2(_WORLD_M / side_m)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    at_corner = len(corner) == 2 and all(
        abs(abs(edge) - _WORLD_M / 2) < 10.0 for edge in corner) and corner[0] < 0 < corner[1]
    is_zoom = abs(zoom - round(zoom)) < 1e-3 and 0 <= round(zoom) <= 24
    return round(zoom) if at_corner and is_zoom else None


def _naming(names: list[str], zooms: list[int]) -> tuple[str, int] | None:
    """Return what stands before the zoom in the matrices' names, and its least digits."""
    for digits in (0, 2):
        prefixes = {name[:len(name) - len(number)] if name.endswith(number) else None
                    for name, number in ((name, f'{zoom:0{digits}d}')
                                         for name, zoom in zip(names, zooms))}
        if len(prefixes) == 1 and None not in prefixes:
            return prefixes.pop() or '', digits
    return None


def _wmts_template(root: Element, layer: Element, matrices: _Matrices, url: str) -> str:
    """Return the template of a layer: that of its REST resources, or else of GetTile."""
    styles = children(layer, 'Style')
    chosen = [each for each in styles if each.get('isDefault') == 'true'] or styles
    style = text_of(chosen[0], 'Identifier') if chosen else ''
    times = {text_of(each, 'Identifier').lower(): text_of(each, 'Default')
             for each in children(layer, 'Dimension')}
    zoom = matrices.prefix + ('{z:02}' if matrices.digits else '{z}')
    rest = _preferred([(each.get('format', ''), each.get('template', ''))
                       for each in children(layer, 'ResourceURL')
                       if each.get('resourceType') == 'tile'])
    if rest and rest[1]:
        values = {'tilematrixset': matrices.name, 'style': style, 'tilematrix': zoom,
                  'tilerow': '{y}', 'tilecol': '{x}', 'layer': text_of(layer, 'Identifier'),
                  **times}
        return re.sub(r'\{(\w+)\}', lambda match: values.get(match[1].lower(), match[0]), rest[1])
    image_format = _preferred([(text_of(each), '') for each in children(layer, 'Format')])
    query = {'SERVICE': 'WMTS', 'REQUEST': 'GetTile', 'VERSION': '1.0.0',
             'LAYER': text_of(layer, 'Identifier'), 'STYLE': style,
             'FORMAT': image_format[0] if image_format else 'image/jpeg',
             'TILEMATRIXSET': matrices.name, 'TILEMATRIX': zoom, 'TILEROW': '{y}',
             'TILECOL': '{x}', **{name.upper(): value for name, value in times.items()}}
    return joined(_operation_url(root, 'GetTile') or url, query)


def _operation_url(root: Element, operation: str) -> str:
    for each in children(descend(root, 'OperationsMetadata'), 'Operation'):
        if each.get('name') == operation:
            for get in children(descend(each, 'DCP', 'HTTP'), 'Get'):
                encodings = [value.text for value in get.iter('Value')]
                if not encodings or 'KVP' in encodings:
                    return get.get('href', '')
    return ''


def _preferred(choices: list[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the choice with the best of the image formats; None if there is none."""
    known = [each for each in choices if each[0] in _FORMATS]
    return min(known, key=lambda each: _FORMATS.index(each[0]), default=None)


def _grids(links: list[str], sets: dict[str, Element]) -> str:
    codes = {_system(text_of(sets.get(link), 'SupportedCRS') or link) for link in links}
    return ', '.join(sorted(codes)) or 'no grid'


def _system(name: str) -> str:
    code = _CODE.search(name)
    return f'EPSG:{code[1]}' if code else name


def _wmts_terms(root: Element) -> str:
    parts = [text_of(root, 'ServiceIdentification', name) for name in (
        'Fees', 'AccessConstraints')]
    return ' '.join(part for part in parts if part.lower() not in ('', 'none'))


def _wgs84_box(box: Element | None) -> tuple[float, ...]:
    try:
        corners = [float(number) for name in ('LowerCorner', 'UpperCorner')
                   for number in text_of(box, name).split()]
    except ValueError:
        return ()
    return tuple(corners) if len(corners) == 4 else ()


def wms_layers(root: Element, url: str) -> Iterator[Layer]:
    """Yield what a WMS has, with the reason of what cannot be used."""
    version = root.get('version', '1.3.0')
    request = descend(root, 'Capability', 'Request', 'GetMap')
    address = next((each.get('href', '') for each in (
        request.iter('OnlineResource') if request is not None else ())), '') or url
    image_format = _preferred([(text_of(each), '') for each in children(request, 'Format')])
    terms = [text_of(root, 'Service', name) for name in ('Fees', 'AccessConstraints')]
    said = ' '.join(part for part in terms if part.lower() not in ('', 'none'))
    known_by = 'CRS' if version >= '1.3' else 'SRS'
    for layer, systems, box, attribution in _tree(
            descend(root, 'Capability', 'Layer'), set(), (), ''):
        known = Layer(text_of(layer, 'Name'), text_of(layer, 'Title'), attribution=attribution,
                      terms=said, bounds=box)
        mercators = sorted(each for each in systems if MERCATOR.search(each))
        if not mercators:
            yield replace(known, problem=f'it is in {_few(systems)}, {_ONLY}')
            continue
        system = 'EPSG:3857' if 'EPSG:3857' in mercators else mercators[0]
        query = {'SERVICE': 'WMS', 'VERSION': version, 'REQUEST': 'GetMap',
                 'LAYERS': text_of(layer, 'Name'), 'STYLES': '', known_by: system,
                 'BBOX': '{bbox}', 'WIDTH': '{width}', 'HEIGHT': '{height}',
                 'FORMAT': image_format[0] if image_format else 'image/jpeg'}
        yield replace(known, kind='wms', url=joined(address, query), tile_px=512,
                      max_zoom=_finest_zoom(layer))


def _tree(layer: Element | None, systems: set[str], box: tuple[float, ...],
          attribution: str) -> Iterator[tuple[Element, set[str], tuple[float, ...], str]]:
    """Yield the layers with a name below one, each with what it inherits."""
    if layer is None:
        return
    systems = systems | {system for name in ('CRS', 'SRS') for each in children(layer, name)
                         for system in text_of(each).split()}
    box = _wms_box(layer) or box
    attribution = text_of(layer, 'Attribution', 'Title') or attribution
    if text_of(layer, 'Name'):
        yield layer, systems, box, attribution
    for child in children(layer, 'Layer'):
        yield from _tree(child, systems, box, attribution)


def _wms_box(layer: Element) -> tuple[float, ...]:
    geographic, old = (descend(layer, name) for name in (
        'EX_GeographicBoundingBox', 'LatLonBoundingBox'))
    try:
        if geographic is not None:
            return tuple(float(text_of(geographic, f'{edge}Bound{axis}')) for edge, axis in (
                ('west', 'Longitude'), ('south', 'Latitude'), ('east', 'Longitude'),
                ('north', 'Latitude')))
        if old is not None:
            return tuple(float(old.get(edge, '')) for edge in ('minx', 'miny', 'maxx', 'maxy'))
    except ValueError:
        pass
    return ()


def _finest_zoom(layer: Element) -> int:
    """Return the zoom of the finest scale at which a layer is drawn."""
    try:
        finest_m = float(text_of(layer, 'MinScaleDenominator')) * _PIXEL_M
        zoom = math.floor(math.log2(_WORLD_M / 512 / finest_m))
    except (ValueError, ZeroDivisionError, OverflowError):
        return _FINEST_ZOOM
    return min(max(zoom, 0), _FINEST_ZOOM)


def _few(systems: set[str]) -> str:
    codes = sorted(systems)
    return ', '.join(codes[:4]) + (' and others' if len(codes) > 4 else '') or 'no system'


def capabilities_addresses(url: str) -> list[str]:
    """Return where a service may describe itself: as it is, then asked as a WMTS and a WMS."""
    query = urlsplit(url).query.lower()
    if 'request=' in query:
        return [url]
    kinds = [kind for kind in ('WMTS', 'WMS') if f'service={kind.lower()}' in f'{query}&'] or [
        'WMTS', 'WMS']
    return [url, *(joined(url, {'SERVICE': kind, 'REQUEST': 'GetCapabilities'}) for kind in kinds)]

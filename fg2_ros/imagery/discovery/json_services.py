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
"""TileJSON documents and ArcGIS services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
import math
from typing import Any, TypeGuard
from urllib.parse import urljoin, urlsplit

from fg2_ros.geometry import mercator
from fg2_ros.imagery.discovery.layers import joined, Layer
from fg2_ros.imagery.stores.base import plain_text

_WORLD_M = 2 * math.pi * mercator.EARTH_RADIUS_M
_MERCATORS = {3857, 102100, 102113, 900913}
_FINEST_ZOOM = 20


def tilejson_layers(document: dict[str, Any], url: str) -> Iterator[Layer]:
    """Yield the layer of a TileJSON document."""
    tiles = document.get('tiles')
    if not isinstance(tiles, list) or not tiles or not isinstance(tiles[0], str):
        return
    known = Layer('', str(document.get('name', '')),
                  attribution=plain_text(document.get('attribution', '')))
    if document.get('vector_layers') or document.get('format') == 'pbf':
        yield replace(known, problem='it has vector tiles and no pictures')
        return
    bounds = document.get('bounds')
    is_box = isinstance(bounds, list) and len(bounds) == 4 and all(map(_is_number, bounds))
    yield replace(
        known, kind='tms' if document.get('scheme') == 'tms' else 'xyz',
        url=_with_braces(urljoin(url, tiles[0])),
        tile_px=_whole(document.get('tileSize'), 256),
        min_zoom=_whole(document.get('minzoom'), 0), max_zoom=_whole(document.get('maxzoom'), 19),
        bounds=tuple(map(float, bounds)) if is_box and bounds else ())


def arcgis_address(url: str) -> str:
    """Return where an ArcGIS map or image service describes itself; '' if it is none."""
    parts = urlsplit(url)
    path = parts.path.rstrip('/')
    if not path.lower().endswith(('/mapserver', '/imageserver')):
        return ''
    return joined(parts._replace(path=path).geturl(), {'f': 'json'})


def arcgis_layers(document: dict[str, Any], url: str) -> Iterator[Layer]:
    """Yield the layer of an ArcGIS service: its ready-made tiles, or pictures it draws."""
    base = urlsplit(url)._replace(query='', fragment='').geturl().rstrip('/')
    known = Layer('', str(document.get('name') or document.get('mapName') or ''),
                  attribution=plain_text(document.get('copyrightText', '')),
                  bounds=_box(document.get('fullExtent') or document.get('extent')))
    tiled = _tiled(document)
    if tiled:
        zooms, tile_px = tiled
        yield replace(known, kind='xyz', url=f'{base}/tile/{{z}}/{{y}}/{{x}}', tile_px=tile_px,
                      min_zoom=zooms[0], max_zoom=zooms[-1])
        return
    is_image = base.lower().endswith('/imageserver')
    query = {'bbox': '{bbox}', 'bboxSR': '3857', 'imageSR': '3857', 'size': '{width},{height}',
             'format': 'jpgpng' if is_image else 'png32', 'f': 'image'}
    query |= {} if is_image else {'transparent': 'true'}
    yield replace(known, kind='wms', tile_px=512, max_zoom=_finest_zoom(document),
                  url=joined(f'{base}/{"exportImage" if is_image else "export"}', query))


def is_arcgis(document: dict[str, Any]) -> bool:
    """Return whether a document describes an ArcGIS map or image service."""
    return 'currentVersion' in document and bool(
        {'tileInfo', 'fullExtent', 'extent', 'pixelSizeX', 'layers'} & document.keys())


def _tiled(document: dict[str, Any]) -> tuple[list[int], int] | None:
    """Return zooms and side of ready-made tiles, if there are some in Web Mercator."""
    info = document.get('tileInfo')
    if not isinstance(info, dict) or _wkid(info) not in _MERCATORS:
        return None
    tile_px, lods = info.get('rows'), info.get('lods')
    if tile_px not in (256, 512) or not isinstance(lods, list):
        return None
    zooms = [each['level'] for each in lods if isinstance(each, dict) and _is_usual(each, tile_px)]
    return (sorted(zooms), tile_px) if zooms else None


def _is_usual(lod: dict[str, Any], tile_px: int) -> bool:
    """Return whether a level of detail is the zoom of the same number."""
    level, resolution = lod.get('level'), lod.get('resolution')
    if not isinstance(level, int) or not 0 <= level <= 24 or not _is_number(resolution):
        return False
    return abs(resolution * tile_px * 2 ** level / _WORLD_M - 1) < 1e-3


def _finest_zoom(document: dict[str, Any]) -> int:
    """Return the zoom of the pixels that a service has, if it says it in metres."""
    pixel_m = document.get('pixelSizeX')
    extent = document.get('fullExtent') or document.get('extent')
    if not _is_number(pixel_m) or not 0.01 < pixel_m < 1e4 or not _wkid(extent) or (
            _wkid(extent) == 4326):
        return _FINEST_ZOOM
    return min(max(math.ceil(math.log2(_WORLD_M / 512 / pixel_m)), 0), _FINEST_ZOOM)


def _box(extent: Any) -> tuple[float, ...]:
    """Return an extent in degrees; nothing if it is in a system that is not looked up."""
    if not isinstance(extent, dict) or not all(
            _is_number(extent.get(key)) for key in ('xmin', 'ymin', 'xmax', 'ymax')):
        return ()
    box = tuple(float(extent[key]) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
    if _wkid(extent) == 4326:
        return box
    if _wkid(extent) not in _MERCATORS:
        return ()
    x, y = ([(0.5 + sign * value / _WORLD_M) for value in values]
            for sign, values in ((1, box[::2]), (-1, box[1::2])))
    latitudes, longitudes = mercator.geodetic_from_world_pixel(x, y, 0, tile_px=1)
    return (float(longitudes[0]), float(latitudes[0]), float(longitudes[1]), float(latitudes[1]))


def _wkid(described: Any) -> int:
    system = described.get('spatialReference') if isinstance(described, dict) else None
    found = (system.get('latestWkid') or system.get('wkid')) if isinstance(system, dict) else 0
    return found if isinstance(found, int) else 0


def _with_braces(template: str) -> str:
    """Return a template whose braces were quoted when it was made absolute."""
    return template.replace('%7B', '{').replace('%7D', '}')


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, default: int) -> int:
    return int(value) if _is_number(value) else default

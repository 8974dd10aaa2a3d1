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
"""Other programs' URL templates in the syntax of this package."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

MERCATOR = re.compile(r'(^|:)(3857|900913|102100|102113)$')
_ALIASES = {  # what other programs and the capabilities of WMTS services call them
    'zoom': 'z', 'tilematrix': 'z', 'tilecol': 'x', 'tilerow': 'y', 'quadkey': 'q',
    'bbox-epsg-3857': 'bbox', 'apikey': 'key', 'api_key': 'key', 'access_token': 'key',
    'token': 'key', 'w': 'width', 'h': 'height'}
_VALUES = {  # of placeholders that mean one thing only for Web Mercator
    'proj': 'EPSG:3857', 'wkid': '3857', 'tilematrixset': 'GoogleMapsCompatible',
    'style': 'default'}
_SWITCH = re.compile(r'\{switch:([^{}]*)\}')
_GRID = re.compile(r'EPSG[:_/]*(\d{4,6})', re.IGNORECASE)


def in_usual_words(template: str) -> str:
    """Return a template with the placeholders of this package; `subdomains_in` has the rest."""
    template = _SWITCH.sub('{s}', template.replace('${', '{'))

    def usual(match: re.Match) -> str:
        name = match[1].lower()
        return _VALUES.get(name) or f'{{{_ALIASES.get(name, match[1])}}}'

    return re.sub(r'\{([\w-]+)\}', usual, template)


def subdomains_in(template: str) -> tuple[str, ...]:
    """Return what ``{switch:a,b}`` lists; nothing if a template has none."""
    switch = _SWITCH.search(template)
    return tuple(switch[1].split(',')) if switch else ()


def wants_key(template: str) -> bool:
    """Return whether a template has a place for an API key."""
    return '{key}' in in_usual_words(template)


def foreign_grid(template: str) -> str:
    """Return the coordinate system of the tiles of a WMTS address; '' if it is Web Mercator."""
    parts = urlsplit(template)
    query = {name.lower(): value for name, value in parse_qsl(parts.query)}
    named = query.get('tilematrixset', '' if parts.query else parts.path)
    codes = _GRID.findall(named)
    return f'EPSG:{codes[-1]}' if codes and not MERCATOR.search(codes[-1]) else ''


def asks_arcgis(template: str) -> bool:
    """Return whether an address asks an ArcGIS server to draw a picture."""
    return urlsplit(template).path.rstrip('/').lower().endswith(('/export', '/exportimage'))

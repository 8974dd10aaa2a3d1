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
"""A layer of a server, as far as the catalogue needs to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit


@dataclass(frozen=True)
class Layer:
    """
    A layer as its server describes it.

    :param name: in requests; '' if the server has only one.
    :param title: as it is shown.
    :param kind: as in the catalogue.
    :param url: the template of its tiles, or pictures.
    :param bounds: west, south, east, north in degrees; empty if it does not say.
    :param attribution: whom it belongs to, '' if it does not say.
    :param terms: what it says of its terms.
    :param problem: why it cannot be used, '' if it can.
    """

    name: str
    title: str = ''
    kind: str = ''
    url: str = ''
    tile_px: int = 256
    min_zoom: int = 0
    max_zoom: int = 19
    bounds: tuple[float, ...] = ()
    attribution: str = ''
    terms: str = ''
    problem: str = ''


def joined(url: str, query: Mapping[str, str]) -> str:
    """Return an address with further query parameters; those it has of the same names go."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name.upper() not in {each.upper() for each in query}]
    pairs = [f'{quote(name, safe="")}={quote(value, safe="/:,{}-")}'
             for name, value in [*kept, *query.items()]]
    return parts._replace(query='&'.join(pairs), fragment='').geturl()

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
"""
List the sources of aerial imagery that are known by name, or add one by asking its server.

`fg2 sources --at 50.85,4.35` lists those that cover a place.  `fg2 sources add URL` asks a
TileJSON, a WMTS or WMS, or an ArcGIS server what it has, and writes an entry into your own
catalogue.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
from pathlib import Path
from typing import Any, TYPE_CHECKING

from fg2_ros.commands.options import add_options, Output
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.imagery.catalogue import CatalogueSource


def place(value: Any) -> tuple[float, float]:
    """
    Return ``latitude,longitude`` in degrees.

    :param value: that text, or a list of the numbers.
    :raises ValueError: if it is neither, or there is no such place.
    """
    from fg2_ros.geometry.frames import require_geodetic
    try:
        latitude, longitude = map(float, value.split(',') if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise ValueError(f'{value!r} is not latitude,longitude in degrees') from None
    require_geodetic(latitude, longitude)
    return latitude, longitude


@dataclass(frozen=True)
class Listed:
    """Which sources are listed."""

    at: tuple[float, float] | None = setting(
        None, 'Only those that cover a place; --at=-33.9,18.4 if it begins with a minus.', of=str,
        parse=place, option={'metavar': 'LAT,LON'})
    catalogue: str = setting(
        '', "A catalogue instead of the package's and your own.", option={'metavar': 'FILE'})


@dataclass(frozen=True)
class Added:
    """What is added, and where it is written."""

    url: str = setting(MISSING, 'Of a TileJSON, WMTS, WMS or ArcGIS server.', of=str,
                       option={'positional': True})
    layer: str = setting('', 'Which one, if the server has several.')
    name: str = setting('', 'By which it will be known (default: that of the layer).')
    max_zoom: int | None = setting(
        None, 'Finest zoom, where you know it better than the server.', of=int, between=(0, 24))
    key_env: str = setting('', 'Environment variable that will hold the API key.')
    catalogue: str = setting(
        '', 'Where it is written (default: your own, ~/.config/fg2_ros/sources.yaml).',
        option={'metavar': 'FILE'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the list and of adding to it."""
    add_options(parser, list_sources, Listed, Output)
    actions = parser.add_subparsers(dest='action', metavar='add')
    adding = actions.add_parser('add', help='ask a server and write what it says into a catalogue')
    add_options(adding, add_source, Added, Output)


def list_sources(listed: Listed, output: Output) -> int:
    """Print the sources, those that cover a place if one is given."""
    from fg2_ros.commands.tables import columns
    from fg2_ros.imagery.catalogue import load_catalogue
    sources = [source for source in load_catalogue(listed.catalogue).values()
               if listed.at is None or source.covers(*listed.at)]
    output.write({'sources': [_figures(source) for source in sources]})
    if not sources:
        print('no source of the catalogue covers that place')
        return 1
    print(columns(['name', 'where', 'm per px', 'offline', 'terms read', 'key'],
                  [_row(source) for source in sources]))
    return 0


def _row(source: CatalogueSource) -> list[str]:
    resolution_m = source.finest_resolution_m()
    return [source.name, source.place, f'{resolution_m:.2f}' if resolution_m else '',
            'yes' if source.offline_allowed else 'no', source.terms_read or 'no', source.key_env]


def _figures(source: CatalogueSource) -> dict[str, Any]:
    return {'name': source.name, 'place': source.place, 'kind': source.kind,
            'resolution_m': source.finest_resolution_m(), 'bounds': list(source.bounds),
            'offline_allowed': source.offline_allowed, 'key_env': source.key_env,
            'attribution': source.attribution, 'terms': source.terms,
            'terms_read': source.terms_read, 'checked': source.checked}


def add_source(added: Added, output: Output) -> int:
    """Ask the server, write the entry and show it."""
    from fg2_ros.imagery.catalogue import user_catalogue
    from fg2_ros.imagery.discovery.adding import (
        chosen_layer, entry_of, layers_at, with_zooms, write_entry)
    import yaml
    layer = with_zooms(chosen_layer(layers_at(added.url), added.layer), added.max_zoom)
    source = entry_of(layer, added.url, added.name, added.key_env)
    path = Path(added.catalogue).expanduser() if added.catalogue else user_catalogue()
    write_entry(source, path)
    print(yaml.safe_dump({source.name: source.entry}, sort_keys=False, allow_unicode=True,
                         width=99).rstrip())
    print(f'is now in {path}. Its terms are yours to read: until they are, offline_allowed is '
          'false')
    output.write({'name': source.name, 'catalogue': str(path), 'entry': source.entry})
    return 0

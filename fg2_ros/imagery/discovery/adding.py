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
"""From the address of a service to an entry of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
import difflib
import os
from pathlib import Path
import re
from typing import Any
from urllib.parse import quote

from fg2_ros.imagery.catalogue import KEY_VARIABLE, load_catalogue
from fg2_ros.imagery.discovery.capabilities import capabilities_addresses, wms_layers, wmts_layers
from fg2_ros.imagery.discovery.documents import fetched, parsed_json, parsed_xml, secrets_in
from fg2_ros.imagery.discovery.json_services import (
    arcgis_address, arcgis_layers, is_arcgis, tilejson_layers)
from fg2_ros.imagery.discovery.layers import Layer
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.tiles.address import host_of
import yaml

_SHOWN = 12  # layers in a message
_LONGEST_TEXT = 500
_LIMIT_DEG = 85.05


@dataclass(frozen=True)
class AddedSource:
    """
    An entry for a catalogue.

    :param entry: its keys, in the order in which they are written.
    """

    name: str
    entry: dict[str, Any]


def layers_at(url: str, http: HttpSettings | None = None) -> list[Layer]:
    """
    Return the layers that the service at an address says it has.

    :param url: of a TileJSON, a WMTS or a WMS (of its capabilities or not), an ArcGIS map or image
        service, or a template of tiles, for which no server is asked.
    :raises ValueError: with a sentence, if nothing of the kind is there.
    """
    if re.search(r'[{].*[}]', url):
        kind = 'wms' if '{bbox' in url.lower() else 'quadkey' if '{q' in url.lower() else 'xyz'
        return [Layer('', kind=kind, url=url)]
    addresses = [arcgis_address(url)] if arcgis_address(url) else capabilities_addresses(url)
    problem = f'{host_of(url)} says nothing that can be understood: give the address of a '\
              'TileJSON, of the capabilities of a WMTS or WMS, or of an ArcGIS MapServer or '\
              'ImageServer'
    for number, address in enumerate(addresses):
        try:
            found = list(_layers_in(fetched(address, http), address))
        except ValueError as error:
            problem = str(error) if number == 0 or len(addresses) == 1 else problem
            continue
        if found:
            return found
    raise ValueError(problem)


def _layers_in(data: bytes, url: str) -> Iterator[Layer]:
    document = parsed_json(data)
    if document is not None:
        yield from arcgis_layers(document, url) if is_arcgis(document) else tilejson_layers(
            document, url)
        return
    root = parsed_xml(data)
    if root is not None and root.tag == 'Capabilities':
        yield from wmts_layers(root, url)
    elif root is not None and root.tag in ('WMS_Capabilities', 'WMT_MS_Capabilities'):
        yield from wms_layers(root, url)


def chosen_layer(layers: list[Layer], name: str) -> Layer:
    """
    Return the layer of a name; without a name, the only one that can be used.

    :raises ValueError: if there is none, several, or it cannot be used; names those there are.
    """
    if name:
        found = [layer for layer in layers if name in (layer.name, layer.title)]
        if not found:
            names = [layer.name for layer in layers]
            near = difflib.get_close_matches(name, names, _SHOWN, 0.3) or names
            raise ValueError(f'there is no layer {name!r}; there are {_listed(near)}')
    else:
        found = [layer for layer in layers if not layer.problem] or layers
    if len(found) > 1:
        raise ValueError('say which of its layers with --layer: '
                         f'{_listed([layer.name for layer in found])}')
    if found[0].problem:
        raise ValueError(f'{found[0].name or "it"} cannot be used: {found[0].problem}')
    return found[0]


def entry_of(layer: Layer, asked_url: str, name: str = '', key_env: str = '') -> AddedSource:
    """
    Return the catalogue's entry of a layer; an API key in the address is kept out of it.

    :param asked_url: where it was found.
    :param key_env: environment variable of the API key, if it has one.
    """
    url, has_key = _without_key(layer.url, asked_url)
    host = host_of(url)
    said = f' It says: {_shortened(layer.terms)}' if layer.terms else ''
    entry: dict[str, Any] = {
        'kind': layer.kind, 'url': url,
        'attribution': _shortened(layer.attribution) or host,
        'terms': f'Not read yet: read the terms of https://{host}, and write them here.{said}',
        'offline_allowed': False, 'machine_interpretation_allowed': True, 'vintage': '',
        'min_zoom': layer.min_zoom, 'max_zoom': min(layer.max_zoom, 24)}
    entry |= {'tile_px': layer.tile_px} if layer.tile_px != 256 else {}
    entry |= {'bounds': _sane(layer.bounds)} if _sane(layer.bounds) else {}
    entry |= {'key_env': key_env or KEY_VARIABLE} if has_key or '{key}' in url else {}
    label = name or re.sub(r'\W+', '_', layer.name or layer.title or host).strip('_').lower()
    return AddedSource(label or 'source', entry)


def write_entry(added: AddedSource, path: Path) -> None:
    """
    Append an entry to a catalogue, which is made if it does not exist.

    :raises ValueError: if it has a source of that name, or the entry cannot be used.
    """
    before = path.read_text('utf-8') if path.exists() else ''
    if before.strip() and added.name in load_catalogue(path):
        raise ValueError(f'{path} has a source {added.name} already: give another --name')
    text = yaml.safe_dump({added.name: added.entry}, sort_keys=False, allow_unicode=True, width=99)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f'{path.name}.new')
    fresh.write_text(before + '\n' * bool(before.strip()) + text, 'utf-8')
    try:
        load_catalogue(fresh)
    except ValueError as error:
        fresh.unlink()
        raise ValueError(str(error).replace(str(fresh), str(path))) from None
    os.replace(fresh, path)


def _without_key(url: str, asked_url: str) -> tuple[str, bool]:
    """Return a template with a place for the API key where the key is; and whether it had one."""
    fresh = url
    for secret in {*secrets_in(asked_url), *secrets_in(url)}:
        for written in (secret, quote(secret, safe='')):
            fresh = fresh.replace(written, '{key}')
    return fresh, fresh != url


def _sane(bounds: tuple[float, ...]) -> list[float]:
    """Return bounds as the catalogue has them; nothing if they make no sense, or say nothing."""
    if len(bounds) != 4:
        return []
    west, south, east, north = bounds
    south, north = max(south, -_LIMIT_DEG), min(north, _LIMIT_DEG)
    if not (-180 <= west < east <= 180 and south < north) or east - west >= 359:
        return []
    return [round(edge, 4) for edge in (west, south, east, north)]


def _listed(names: list[str]) -> str:
    more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more


def _shortened(text: str) -> str:
    text = ' '.join(''.join(filter(str.isprintable, text)).split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT - 3] + '...'


def with_zooms(layer: Layer, max_zoom: int | None) -> Layer:
    """Return a layer with another finest zoom, if one is given."""
    return layer if max_zoom is None else replace(layer, max_zoom=max_zoom)

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
"""Fetching and parsing the documents in which servers describe themselves, bounded in size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from fg2_ros.imagery.server.http_client import BodyLimit, HttpClient, HttpSettings
from fg2_ros.imagery.tiles.address import host_of, may_be_secret
from fg2_ros.imagery.tiles.decoding import TileProblem

_MOST_BYTES = 32_000_000  # the capabilities of a state may have 10 MB
_MOST_ELEMENTS, _DEEPEST = 500_000, 100
_TIMEOUT_S = 60.0


def fetched(url: str, http: HttpSettings | None = None) -> bytes:
    """
    Return what is at an address.

    :raises ValueError: with a sentence without the secrets in the address, if it cannot be had.
    """
    if urlsplit(url).scheme not in ('http', 'https') or not urlsplit(url).hostname:
        raise ValueError('an address starts with http:// or https:// and names a host')
    settings = http or HttpSettings(total_timeout_s=_TIMEOUT_S, read_timeout_s=_TIMEOUT_S)
    secrets = secrets_in(url)
    with closing(HttpClient(settings, secrets, lambda other: any(
            secret in other for secret in secrets))) as client:
        try:
            answer = client.get(url, {'Accept': 'application/xml,application/json,*/*'}, _limit)
        except TileProblem as problem:
            raise ValueError(f'{host_of(url)} {problem}') from None
    if answer.status != 200:
        raise ValueError(f'{host_of(url)} answered {answer.status}')
    return answer.body


def secrets_in(url: str) -> tuple[str, ...]:
    """Return the values in an address that may be an API key."""
    return tuple(value for name, value in parse_qsl(urlsplit(url).query)
                 if may_be_secret(name, value) and len(value) >= 8)


def parsed_json(data: bytes) -> dict[str, Any] | None:
    """Return the object in a document; None if it holds none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def parsed_xml(data: bytes) -> Element | None:
    """
    Return the root of a document, with names without their namespaces; None if it is no XML.

    :raises ValueError: if it declares entities, or is larger or deeper than such documents are.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator='}')
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.builder.data
    parser.EntityDeclHandler = _refuse_entities
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError):
        return None
    return reader.builder.close()


def children(element: Element | None, name: str) -> list[Element]:
    """Return the children of a name."""
    return [] if element is None else [child for child in element if child.tag == name]


def descend(element: Element | None, *names: str) -> Element | None:
    """Return the first child of a name, of that the first of the next, and so on."""
    for name in names:
        element = next(iter(children(element, name)), None)
    return element


def text_of(element: Element | None, *names: str) -> str:
    """Return the text of what `descend` finds, '' if there is none."""
    found = descend(element, *names)
    return ' '.join((found.text or '').split()) if found is not None else ''


def walk(element: Element, name: str) -> Iterator[Element]:
    """Yield all descendants of a name."""
    return element.iter(name)


class _Reader:

    def __init__(self):
        self.builder = TreeBuilder()
        self._depth = self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth, self._count = self._depth + 1, self._count + 1
        if self._depth > _DEEPEST or self._count > _MOST_ELEMENTS:
            raise ValueError('the document has too many elements to be a description')
        self.builder.start(_local(name), {
            _local(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        self._depth -= 1
        self.builder.end(_local(name))


def _local(name: str) -> str:
    return name.rpartition('}')[2]


def _refuse_entities(*_: Any) -> None:
    raise ValueError('the document declares entities, which no description needs')


def _limit(status: int, headers: Mapping[str, str]) -> BodyLimit:
    return BodyLimit(_MOST_BYTES) if status == 200 else BodyLimit(1 << 16, cut=True)

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

"""Random changes of bytes, texts and trees of values: what breaks parsers."""

from __future__ import annotations

from collections.abc import Callable
import copy
import math
from random import Random
import re
import struct
from typing import Any

INTEGERS = [0, 1, -1, 2, 127, 128, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, -2 ** 31,
            2 ** 32 - 1, 2 ** 53 + 1, 2 ** 63 - 1, 2 ** 63, -2 ** 63, 2 ** 64 - 1, 10 ** 7,
            10 ** 9, 10 ** 18, 10 ** 400, -10 ** 400]
FLOATS = [0.0, -0.0, 1e-300, 1e308, -1e308, math.nan, math.inf, -math.inf, 0.1, 180.0, 90.0, 1e-12]
TEXTS = ['', ' ', 'NaN', 'null', '9' * 400, '9' * 5000, '1e999', '\0', '\ufeff', 'ä' * 3,
         '../../x', '{z}', '%s%n', '<' * 3000, '(' * 3000, '[' * 3000, '&amp;' * 500,
         'a' * 70_000, '-1', '0x10']
NUMBER = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


def mutated_bytes(rng: Random, data: bytes) -> bytes:
    """Return bytes with one to five changes anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if changed:
            rng.choice(_BYTE_CHANGES)(rng, changed)
    return bytes(changed)


def _flip(rng: Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _byte(rng: Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))


def _number(rng: Random, data: bytearray) -> None:
    """Write an extreme number over some place, of any width and order."""
    at = rng.randrange(len(data))
    if rng.random() < 0.25:
        value = struct.pack(rng.choice('<>') + rng.choice('fd'), math.nan if rng.random() < 0.3
                            else rng.choice((0.0, -1.0, 1e38, -1e38, math.inf, 1e-38)))
    else:
        width = rng.choice((1, 2, 4, 8))
        value = (rng.choice(INTEGERS) % 2 ** (8 * width)).to_bytes(
            width, rng.choice(('little', 'big')))
    data[at:at + len(value)] = value[:len(data) - at]


def _cut(rng: Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)):]


def _drop(rng: Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at:at + rng.choice((1, 2, 4, 8, 64, 1024))]


def _repeat(rng: Random, data: bytearray) -> None:
    at, length = rng.randrange(len(data)), rng.choice((1, 4, 16, 256, 4096))
    data[at:at] = data[at:at + length] * rng.choice((1, 2, 50))


def _swap(rng: Random, data: bytearray) -> None:
    first, second = (rng.randrange(len(data)) for _ in range(2))
    length = rng.choice((1, 4, 8, 64))
    data[first:first + length] = data[second:second + length]


_BYTE_CHANGES: list[Callable[[Random, bytearray], None]] = [
    _flip, _flip, _byte, _number, _number, _cut, _drop, _repeat, _swap]


def mutated_text(rng: Random, data: bytes) -> bytes:
    """Return a text in which numbers or parts are replaced, or bytes changed."""
    way = rng.random()
    if way < 0.5:
        found = list(NUMBER.finditer(data))
        for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 8)))),
                            key=lambda each: -each.start()):
            data = data[:match.start()] + extreme_text(rng).encode(
                'utf-8', 'replace') + data[match.end():]
        return data
    if way < 0.7:
        at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        part = rng.choice((data[at:end], data[at:end] * 3, rng.choice(TEXTS).encode()))
        return data[:at] + part + data[rng.choice((at, end)):]
    if way < 0.75:
        return rng.choice((b'\xef\xbb\xbf', b'\xff\xfe', b'\x1e', b'\n\n', b'\0')) + data
    return mutated_bytes(rng, data)


def extreme(rng: Random) -> Any:
    """Return a value that a parser may not expect."""
    return rng.choice((rng.choice(INTEGERS), rng.choice(FLOATS), rng.choice(TEXTS),
                       None, True, [], {}, [[]], {'': {}}, [None], [math.nan] * 3))


def extreme_text(rng: Random) -> str:
    """Return one as a text."""
    return str(rng.choice((rng.choice(INTEGERS), rng.choice(FLOATS), rng.choice(TEXTS))))


def mutated_tree(rng: Random, tree: Any) -> Any:
    """Return a tree of dicts and lists with one to four changes."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = _places(tree)
        if not places:
            return extreme(rng)
        holder, key = rng.choice(places)
        if rng.random() < 0.05:  # the last change: what is so deep takes long to go through
            for _ in range(rng.choice((3, 50, 2000))):
                holder[key] = rng.choice(([holder[key]], {'a': holder[key]}))
            break
        _change(rng, holder, key)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return (holder, key) of all values in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(
        tree, list) else ()
    return [place for key, value in items for place in [(tree, key), *_places(value)]]


def _change(rng: Random, holder: Any, key: Any) -> None:
    way = rng.random()
    if way < 0.5:
        holder[key] = extreme(rng)
    elif way < 0.6:
        del holder[key]
    elif way < 0.7:
        holder[key] = [holder[key]] * rng.choice((1, 2, 1000))
    elif way < 0.85 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)[:100]] = holder[key]
    elif isinstance(holder, list):
        holder[key:key] = [holder[key]] * rng.choice((1, 30))
    else:
        holder[key] = {'inner': holder[key]}

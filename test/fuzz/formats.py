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

"""Changes that know how a format is built, so that they get past its first check."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
import pickletools
from random import Random
import re
import sqlite3
import struct
import tempfile
from test.fuzz.mutators import (
    extreme, extreme_text, INTEGERS, mutated_bytes, mutated_text, mutated_tree, NUMBER)
from typing import Any
import zipfile


def json_text(tree: Any) -> bytes:
    """Return JSON, with NaN, long integers and depth as Python has them."""
    try:
        return json.dumps(tree).encode('utf-8', 'replace')
    except (RecursionError, ValueError):
        return b'[' * 100_000


def json_changed(rng: Random, data: bytes) -> bytes:
    """Change a JSON document as a tree, or as a text."""
    return mutated_text(rng, data) if rng.random() < 0.4 else json_text(
        mutated_tree(rng, json.loads(data)))


def xml_changed(rng: Random, data: bytes) -> bytes:
    """Repeat, drop, empty or nest elements and attributes of XML, or change it as a text."""
    if rng.random() < 0.5:
        return mutated_text(rng, data)
    tags = list(re.finditer(rb'<[^>]+>|="[^"]*"', data))
    match = rng.choice(tags)
    part = match.group()
    new = rng.choice((
        b'', part * 2, part * 3000, b'=""', b'="' + extreme_text(rng).encode('utf-8', 'replace')
        + b'"', b'<!-- -->' + part, b'<![CDATA[' + part + b']]>', b'&x;' + part))
    return data[:match.start()] + new + data[match.end():]


def yaml_changed(rng: Random, data: bytes) -> bytes:
    """Change YAML as a tree, as a text, or with its own anchors and tags."""
    import yaml
    way = rng.random()
    if way < 0.35:
        return mutated_text(rng, data)
    if way < 0.8:
        try:
            return yaml.safe_dump(mutated_tree(rng, yaml.safe_load(data)),
                                  allow_unicode=True).encode('utf-8', 'surrogateescape')
        except (RecursionError, ValueError, yaml.YAMLError):
            return b'a: ' + b'[' * 3000
    found = list(re.finditer(rb': (\S[^\n]*)', data))
    match = rng.choice(found)
    value = rng.choice((
        b'&a [*a]', b'!!timestamp x', b'2026-99-99', b'!!binary "?"', b'!!float ""', b'*nowhere',
        b'!!int 0x', b'{<<: [1]}', b'!!set {a, b}', b'? [a]', b'!!omap [1]', b'1:99:99', b'| \n x',
        b'!!python/name:os.system', b'&a [&b [1, 2], *b, *b, *b]', b'"\\x00"', b'"\\uD800"',
        b'[' * rng.choice((5, 300, 3000)), b'.nan', b'-.inf', b'1_0_0', b'0o9', b'~'))
    return data[:match.start(1)] + value + data[match.end(1):]


def sqlite_changed(rng: Random, data: bytes) -> bytes:
    """Change the rows, columns and tables of a database, or its bytes."""
    if rng.random() < 0.35:
        return mutated_bytes(rng, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'file'
        path.write_bytes(data)
        database = sqlite3.connect(path, isolation_level=None)
        for _ in range(rng.choice((1, 2, 4))):
            try:
                _change_database(rng, database)
            except (sqlite3.Error, OverflowError, UnicodeEncodeError):
                pass
        database.close()
        return path.read_bytes()


def _change_database(rng: Random, database: sqlite3.Connection) -> None:
    tables = [name for name, in database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = rng.choice(tables)
    columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    column = rng.choice(columns)
    way = rng.random()
    if way < 0.6:
        value = rng.choice((rng.choice(INTEGERS), extreme_text(rng), None, b'\0\xff', b'',
                            float('inf'), 1e308))
        old = database.execute(
            f'SELECT "{column}" FROM "{table}" ORDER BY rowid LIMIT 1').fetchone()
        if old and isinstance(old[0], bytes) and rng.random() < 0.7:
            value = mutated_bytes(rng, old[0])
        if old and isinstance(old[0], str) and rng.random() < 0.5:
            value = mutated_text(rng, old[0].encode()).decode('utf-8', 'replace')
        where = '' if rng.random() < 0.5 else f' WHERE rowid = (SELECT min(rowid) FROM "{table}")'
        database.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ?{where}', (value,))
    elif way < 0.7:
        database.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "other"')
    elif way < 0.75:
        database.execute(f'DELETE FROM "{table}"')
    elif way < 0.8:
        database.execute(f'DROP TABLE "{table}"')
    elif way < 0.9:
        _replace_by_view(rng, database, table, columns)
    else:
        database.execute(f'PRAGMA user_version = {rng.randrange(2 ** 31)}')
        database.execute(f'INSERT INTO "{table}" SELECT * FROM "{table}"')


def _replace_by_view(rng: Random, database: sqlite3.Connection, table: str,
                     columns: list[str]) -> None:
    """Put a view in the place of a table: one that never ends, is huge, or is wrong."""
    database.execute(f'ALTER TABLE "{table}" RENAME TO "{table}_2"')
    listed = ', '.join(f'"{name}"' for name in columns)
    endless = ('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) '
               f'SELECT {", ".join(f"i AS {chr(34)}{name}{chr(34)}" for name in columns)} FROM n')
    huge = ', '.join(f'randomblob(1000000000) AS "{name}"' for name in columns)
    database.execute(f'CREATE VIEW "{table}" AS ' + rng.choice((
        endless, f'SELECT {huge}', f'SELECT {listed} FROM "{table}_2"',
        f'SELECT {listed} FROM "nowhere"', f'SELECT {listed} FROM "{table}"')))


def pmtiles_changed(rng: Random, data: bytes) -> bytes:
    """Change the fields of the header, the directory or the metadata of PMTiles."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, data)
    changed = bytearray(data)
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.choice([*range(8, 96, 8), *range(96, 127)])
            width = 8 if at < 96 else rng.choice((1, 4))
            value = (rng.choice(INTEGERS) % 2 ** (8 * width)).to_bytes(width, 'little')
            changed[at:at + width] = value
        return bytes(changed[:max(len(data), 127)])
    field = rng.choice((8, 24))  # offset and length of the root directory or of the metadata
    offset, length = struct.unpack_from('<QQ', data, field)
    try:
        plain = gzip.decompress(data[offset:offset + length])
    except (OSError, EOFError):
        plain = data[offset:offset + length]
    packed = gzip.compress(rng.choice((
        mutated_bytes(rng, plain), bytes(50_000_000), b'\xff' * 1000, plain * 100)))
    struct.pack_into('<QQ', changed, field, len(changed), len(packed))
    return bytes(changed) + packed


def tiff_changed(rng: Random, data: bytes) -> bytes:
    """Change entries of the first directory of a TIFF, or the numbers they lead to."""
    if rng.random() < 0.2:
        return mutated_bytes(rng, data)
    changed = bytearray(data)
    start, = struct.unpack_from('<I', data, 4)
    count, = struct.unpack_from('<H', data, start)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = start + 2 + 12 * rng.randrange(count)
        tag, kind, number, value = struct.unpack_from('<HHII', data, at)
        if kind == 12 and rng.random() < 0.8:  # doubles: scale, tie points, the transform
            place = value + 8 * rng.randrange(max(1, min(number, 16)))
            struct.pack_into('<d', changed, place, rng.choice(
                (0.0, -0.0, float('nan'), float('inf'), 1e308, -1e-300, 1e300, -1.0, 1e10)))
        elif rng.random() < 0.7:
            struct.pack_into('<I', changed, at + 8, rng.choice(INTEGERS) % 2 ** 32)
        else:
            struct.pack_into('<HHI', changed, at, rng.choice((tag, tag, 256, 257, 258, 277, 0)),
                             rng.choice((kind, 1, 3, 4, 12, 16, 99)),
                             rng.choice((number, 0, 1, 2 ** 31, 2 ** 32 - 1)))
    return bytes(changed)


def safetensors_changed(rng: Random, data: bytes) -> bytes:
    """Change the header of a safetensors file, and the JSON in its metadata, or the numbers."""
    if rng.random() < 0.25:
        return mutated_bytes(rng, data)
    size, = struct.unpack_from('<Q', data)
    header, rest = json.loads(data[8:8 + size]), data[8 + size:]
    way = rng.random()
    if way < 0.6:
        name = rng.choice(('config', 'config', 'metadata'))
        inner = json.loads(header['__metadata__'][name])
        header['__metadata__'][name] = json_text(mutated_tree(rng, inner)).decode()
    elif way < 0.75:
        rest = bytearray(rest)
        for _ in range(rng.choice((1, 5))):
            struct.pack_into('<f', rest, 4 * rng.randrange(len(rest) // 4), rng.choice(
                (float('nan'), float('inf'), -3e38, 1e20)))
    else:
        header = mutated_tree(rng, header)
    text = json_text(header)
    length = len(text) if rng.random() < 0.9 else rng.choice(INTEGERS) % 2 ** 64
    return struct.pack('<Q', length) + text + bytes(rest)


def checkpoint_changed(rng: Random, data: bytes) -> bytes:
    """Change the pickle in a checkpoint, with sums that are right, or how the archive is made."""
    if rng.random() < 0.3 or not zipfile.is_zipfile(io.BytesIO(data)):
        return mutated_pickle(rng, data) if rng.random() < 0.5 else mutated_bytes(rng, data)
    packed = rng.random() < 0.15
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(
            out, 'w', zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED,
            compresslevel=1) as new:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith('data.pkl') and rng.random() < 0.9:
                content = mutated_pickle(rng, content)
            elif rng.random() < 0.1:
                content = mutated_bytes(rng, content)
            if packed and rng.random() < 0.3:
                content += bytes(10_000_000)
            if rng.random() < 0.95:
                new.writestr(name, content)
    return out.getvalue() if rng.random() < 0.9 else mutated_bytes(rng, out.getvalue())


def mutated_pickle(rng: Random, data: bytes) -> bytes:
    """Return a pickle with operations repeated, left out or of other arguments."""
    try:
        places = [position for _, _, position in pickletools.genops(data)]
    except Exception:  # it is not only a pickle
        return mutated_bytes(rng, data)
    changed = data
    for _ in range(rng.choice((1, 1, 2, 4))):
        index = rng.randrange(len(places) - 1)
        at, end = places[index:index + 2]
        new = rng.choice((
            b'', data[at:end] * 2, data[at:end] * 2000, b'K\xff', b'J' + struct.pack('<i', -1),
            b'\x8a\x09' + bytes(8) + b'\x01', b'\x8a\x05\0\0\0\0\x40', b'N', b'(', b')', b'}',
            b']', b'\x85', b'R', b'0', b'2', b'b', b'G\x7f\xf8' + bytes(6), b'X\xff\xff\xff\x7f',
            b'ccollections\nOrderedDict\n)R', b'c__builtin__\nbytearray\n', b'(l', b'h\0', b'Q'))
        changed = changed[:at] + new + changed[end:]
        if len(changed) != len(data):
            break
    return changed


def mcap_changed(rng: Random, data: bytes) -> bytes:
    """Change a record of an MCAP file: its kind, length, number or place."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, data)
    records, at = [], 8
    while at + 9 <= len(data) - 8:
        length, = struct.unpack_from('<Q', data, at + 1)
        records.append((data[at], data[at + 9:at + 9 + length]))
        at += 9 + length
    for _ in range(rng.choice((1, 1, 2))):
        index = rng.randrange(len(records))
        kind, body = records[index]
        records[index:index + 1] = rng.choice((
            [], [records[index]] * 2, [(rng.randrange(256), body)],
            [(kind, mutated_bytes(rng, body))],
            [(kind, mutated_text(rng, body))] if NUMBER.search(body) else [(kind, b'')],
            [(kind, mutated_bytes(rng, body))]))
    framed = b''.join(struct.pack('<BQ', kind, len(body) if rng.random() < 0.98 else rng.choice(
        INTEGERS) % 2 ** 64) + body for kind, body in records)
    return data[:8] + framed + (data[:8] if rng.random() < 0.9 else b'')


def answer_changed(rng: Random, data: bytes) -> bytes:
    """
    Return what a tile server sends: a status line, headers and a body that is a changed tile.

    :param data: a good answer.
    """
    data = data.partition(b'\r\n\r\n')[2]
    body = data if rng.random() < 0.4 else mutated_bytes(rng, data)
    if rng.random() < 0.1:
        body = rng.choice((b'', b'<html>', huge_png(), json_text(extreme(rng)), bytes(100_000)))
    headers = {'Content-Type': 'image/png', 'Content-Length': str(len(body))}
    if rng.random() < 0.15:
        body = gzip.compress(rng.choice((body, bytes(200_000_000))), 1)
        headers |= {'Content-Encoding': rng.choice(('gzip', 'deflate', 'br', 'gzip, gzip')),
                    'Content-Length': str(len(body))}
    for _ in range(rng.choice((0, 1, 2, 3))):
        headers[rng.choice(_HEADERS)] = rng.choice((
            extreme_text(rng)[:60_000], *_HEADER_VALUES)).replace('\0', '').replace('\n', '')
    status = rng.choice(('200 OK', '200 OK', '200 OK', '206 Partial', '301 Moved', '302 Found',
                         '304 Not Modified', '403 Forbidden', '404 Not Found', '429 Too Many',
                         '500 Error', '503 Busy', '100 Continue', '999 What', '-1 x', ''))
    whole = answer(status, headers, body)
    return whole if rng.random() < 0.85 else mutated_bytes(rng, whole)


def answer(status: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return an answer of HTTP as it is sent."""
    headers = {'Content-Length': str(len(body))} | headers
    lines = [f'HTTP/1.1 {status}', *(f'{name}: {value}' for name, value in headers.items()), '']
    return '\r\n'.join([*lines, '']).encode('utf-8', 'replace') + body


_HEADERS = ('Content-Length', 'Content-Encoding', 'Transfer-Encoding', 'Retry-After', 'Location',
            'Cache-Control', 'Expires', 'Date', 'ETag', 'Last-Modified', 'Age', 'Content-Range',
            'Content-Type', 'Connection', 'Set-Cookie', 'X')
_HEADER_VALUES = (
    'chunked', 'max-age=99999999999999999999', 'max-age=-1', f'max-age={"9" * 400}', 'max-age="x',
    'no-store', 'http://127.0.0.1:1/x', 'file:///etc/passwd', '//[', 'http://[::1', '/again',
    'Thu, 01 Jan 1970 00:00:00 GMT', 'Thu, 99 Jan 99999 99:99:99 GMT', '"' * 1000, 'W/"x"',
    'close', 'bytes 0-1/99999999999999999999', 'gzip', 'identity', '1e308', 'nan', '//x.invalid')


def huge_png() -> bytes:
    """Return the start of a PNG of 60000 by 60000 pixels."""
    import zlib
    header = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b'IHDR' + header
    return (b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + chunk
            + struct.pack('>I', zlib.crc32(chunk)))

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

"""Downloading one tile: the meaning of tile servers' answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
import re
import time

from fg2_ros.imagery.server.http_client import Answer, BodyLimit, HttpClient, HttpSettings
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import TileProblem

_PAGE_BYTES = 1 << 16  # of what is no tile: read for what it says, and to keep the connection
_KINDS = {'html': 'HTML', 'xhtml': 'HTML', 'xml': 'XML', 'json': 'JSON'}
_ABSENT = (204, 404, 410)
# By these some servers also say that there is no such tile: S3, where lists are private, by 403.
_REFUSED = (400, 401, 402, 403, 406, 416, 422, 451)
_OUT_OF_RANGE = re.compile(rb'(?i)tile ?out ?of ?range|\bis out of range\b|TileOutsideBounds')
_REPORT = re.compile(  # XML that is no page, whatever its header calls it
    rb'(?:\xef\xbb\xbf)?\s{0,99}<'
    rb'(?:\?xml(?!.{0,999}<html)|(?:\w{1,20}:)?(?:Service)?(?:Exception|Error))', re.S)


@dataclass(frozen=True)
class Download:
    """
    What a server answered.

    :param data: the encoded tile; None if the one we have is still the current one.
    :param etag: the tile's ETag, or ''.
    :param fresh_s: how long it may be used before asking again; None if the server does not say.
    :param may_store: whether it may be kept on disk.
    :param modified: the tile's Last-Modified, or ''.
    """

    data: bytes | None
    etag: str
    fresh_s: float | None
    may_store: bool
    modified: str = ''


class Downloader:
    """
    Fetches tiles of one source; any number of threads may share it.

    :param source: the tile pyramid.
    :param settings: time-outs, limits and who we say we are.
    """

    def __init__(self, source: TileSource, settings: HttpSettings):
        self._source = source
        self._most_bytes = settings.max_tile_bytes
        self._client = HttpClient(settings, source.secrets(), source.leaks_key)

    def fetch(self, tile: TileId, etag: str = '', modified: str = '') -> Download:
        """
        Return a tile's bytes, unchecked.

        :param etag: of the copy we have; then the answer may be that it is current.
        :param modified: Last-Modified of that copy.
        :raises TileProblem: whatever goes wrong.
        """
        conditions = {'If-None-Match': etag, 'If-Modified-Since': modified}
        headers = {name: value for name, value in conditions.items() if value}
        return _download(self._client.get(
            self._source.url(tile), {'Accept': 'image/webp,image/png,image/jpeg', **headers},
            self._limit))

    def close(self) -> None:
        """Break off what is under way and refuse to start anything new."""
        self._client.close()

    def _limit(self, status: int, headers: Mapping[str, str]) -> BodyLimit:
        kind = _kind(headers)
        if status == 200 and kind == 'HTML':  # a login page, perhaps: nothing to learn from it
            raise TileProblem('sent HTML instead of an image')
        if status == 200 and not kind:
            return BodyLimit(self._most_bytes)
        return BodyLimit(min(_PAGE_BYTES, self._most_bytes), cut=True)


def _download(answer: Answer) -> Download:
    """
    Return the tile in an answer.

    :raises TileProblem: if it holds none, with what that means.
    """
    status, headers, fresh_s = answer.status, answer.headers, _fresh_s(answer.headers)
    if status in _ABSENT:
        raise TileProblem(f'answered {status}', absent=True, believe_s=fresh_s)
    kind = _kind(headers) or ('XML' if _REPORT.match(answer.body) else '')
    if status != 304 and (status != 200 or kind):
        raise _refusal(answer, kind, fresh_s)
    if status == 200 and not answer.body:
        # Where nobody says that it is empty on purpose, it may have been broken off.
        is_said = 'Content-Length' in headers
        raise TileProblem('sent nothing', absent=is_said, refused=not is_said, believe_s=fresh_s)
    return Download(answer.body if status == 200 else None, headers.get('ETag', ''), fresh_s,
                    may_store='no-store' not in headers.get('Cache-Control', '').lower(),
                    modified=headers.get('Last-Modified', ''))


def _refusal(answer: Answer, kind: str, fresh_s: float | None) -> TileProblem:
    """Return what an answer means that is no tile."""
    status, wait = answer.status, answer.headers.get('Retry-After')
    if _OUT_OF_RANGE.search(answer.body):
        return TileProblem('says that the tile is out of range', absent=True, believe_s=fresh_s)
    if status == 200:
        return TileProblem(f'sent {kind} instead of an image', refused=True, believe_s=fresh_s)
    return TileProblem(f'answered {status}', refused=status in _REFUSED and wait is None,
                       retry_after_s=_seconds(wait), believe_s=fresh_s)


def _kind(headers: Mapping[str, str]) -> str:
    """
    Return what an answer says that it is if that is no image; '' if it may be one.

    Many servers do not know their images for what they are, so only what is surely none counts.
    """
    content_type = headers.get('Content-Type', '').partition(';')[0].strip().lower()
    return _KINDS.get(re.split(r'[/+._]', content_type)[-1], '')


def _fresh_s(headers) -> float | None:
    """Return for how long an answer is current (RFC 9111, 4.2.1); None if it does not say."""
    control = headers.get('Cache-Control', '').lower()
    if 'no-cache' in control:
        return 0.0
    max_age = re.search(r'(?<![\w-])max-age="?(\d{1,10})', control)
    if max_age:
        return max(0.0, float(max_age.group(1)) - (_seconds(headers.get('Age')) or 0.0))
    if 'Expires' not in headers:
        return None
    now = _unix_time(headers.get('Date', '')) or time.time()  # the server's clock: it set Expires
    until = _unix_time(headers['Expires'])
    return max(0.0, until - now) if until is not None else 0.0  # '0' and nonsense: out of date


def _seconds(value: str | None) -> float | None:
    """Return the seconds from now that a header of seconds or a date means; None if neither."""
    if value is None:
        return None
    if re.fullmatch(r'\d{1,10}', value.strip()):
        return float(value)
    until = _unix_time(value)
    return None if until is None else max(0.0, until - time.time())


def _unix_time(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None

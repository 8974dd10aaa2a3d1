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

"""Aerial patches from a cloud-optimised GeoTIFF on a web server; needs ``rasterio``."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
import logging
from pathlib import Path
import threading
import time
from urllib.parse import unquote, urlsplit

from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import (
    AerialPatch, FileProblem, ImageryError, ImageryNotReady, Label, PatchView, require_enough,
    require_within)
from fg2_ros.imagery.server.backoff import Backoff
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.stores.bands import RasterOptions
from fg2_ros.imagery.stores.cutting import Cutout
from fg2_ros.imagery.stores.files import LocalReads
from fg2_ros.imagery.stores.http_ranges import RangedFile
from fg2_ros.imagery.stores.raster_files import RasterFile
from fg2_ros.imagery.stores.sheets import Sheets

_MOST_PATCHES = 12  # that are kept or being cut
_logger = logging.getLogger(__name__)


class RemoteOrthophotoImagery:
    """
    Patches of a GeoTIFF on a web server; implements `fg2_ros.imagery.patch.Imagery`.

    A background thread fetches the parts of it that patches show. While the server fails it is
    left alone for a while. The file need not be reachable when this is made.

    :param url: the address, http or https.
    :param label: shown to the user; the file's copyright, if no attribution is given.
    :param options: what the user knows of the file and it does not say.
    :param http: time-outs and who we say we are.
    """

    def __init__(self, url: str, label: Label, options: RasterOptions = RasterOptions(),
                 http: HttpSettings | None = None):
        http = http or HttpSettings()
        self._label = label
        self._options = options
        self._file = RangedFile(url, shown_address(url), http)
        self._sheets: Sheets | None = None
        self._bounds: tuple[float, ...] | None = None
        self._doubts: tuple[str, ...] = ()
        self._said: set[str] = set()
        self._reads = LocalReads(label.name)
        self._backoff = Backoff(http.backoff_s, http.max_backoff_s)
        self._notices = LogThrottle(_logger)
        self._patches: OrderedDict[PatchView, Future[AerialPatch]] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix='fg2 remote orthophoto')

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`.

        :raises ImageryNotReady: if it is still being fetched after ``wait_s``.
        :raises ImageryError: if the file cannot be read or lacks more than half of the patch.
        """
        require_within(view, self._bounds, self._label.name)
        if (pause_s := self._backoff.remaining_s()) and not self._has(view):
            raise FileProblem(
                f'{self._reads.status().last_error}; it is tried again in {pause_s:.0f} s')
        try:
            return self._wished(view).result(wait_s)
        except TimeoutError:
            raise ImageryNotReady(
                f'a part of {self._label.name} is still being fetched') from None
        except CancelledError:
            raise ImageryNotReady(f'{self._label.name} is busy with other patches') from None
        except FileProblem:
            with self._lock:  # it is tried again by whoever asks after the pause
                self._patches.pop(view, None)
            raise

    def request(self, view: PatchView) -> None:
        """
        Start fetching what such a patch needs and return at once; see `Imagery.request`.

        :raises ImageryError: if the place is outside the bounds of the file, or it is closed.
        """
        require_within(view, self._bounds, self._label.name)
        if not self._backoff.remaining_s():
            self._wished(view)

    def status(self) -> ImageryStatus:
        """Return how it does, at once."""
        with self._lock:
            pending = sum(not patch.done() for patch in self._patches.values())
        return replace(self._reads.status(), pending=pending, doubts=self._doubts)

    def close(self) -> None:
        """Break off what is under way and wait for it; the source cannot be used any more."""
        self._file.close()
        self._worker.shutdown(cancel_futures=True)
        with self._reads.last():
            self._drop()

    def _wished(self, view: PatchView) -> Future[AerialPatch]:
        """Return a patch that is there, or will be; those wished for longest ago make room."""
        with self._lock:
            if view not in self._patches:
                try:
                    self._patches[view] = self._worker.submit(self._cut, view)
                except RuntimeError:
                    raise ImageryError(f'{self._label.name} is closed') from None
            self._patches.move_to_end(view)
            while len(self._patches) > _MOST_PATCHES:
                self._patches.popitem(last=False)[1].cancel()
            return self._patches[view]

    def _has(self, view: PatchView) -> bool:
        with self._lock:
            return view in self._patches and self._patches[view].done()

    def _cut(self, view: PatchView) -> AerialPatch:
        """Return a patch, fetched by the worker."""
        began_s = time.monotonic()
        with self._reads.one():
            try:
                cutout = self._cutout(view)
            except FileProblem as problem:
                self._backoff.failed(began_s)
                self._drop()
                self._notices.warn(str(problem))
                raise
            self._backoff.succeeded()
            self._reads.works()
            self._reads.misses += 1
        label = self._label
        return require_enough(AerialPatch(
            cutout.image, view, cutout.valid, label.name, label.vintage, label.attribution,
            cutout.resolution_m), cutout.problem)

    def _cutout(self, view: PatchView) -> Cutout:
        sheets = self._sheets = self._sheets or self._opened()
        self._bounds, self._doubts = sheets.bounds, sheets.doubts
        for sentence in {*sheets.doubts, sheets.notice} - {'', *self._said}:
            self._said.add(sentence)
            _logger.warning(sentence)
        return sheets.cut(view)

    def _opened(self) -> Sheets:
        path = Path(self._file.shown)
        sheets = Sheets(path, [RasterFile(path, str(self._file.begin()), 'GTiff',
                                          remote=self._file)], self._options)
        self._label = replace(
            self._label, attribution=self._label.attribution or sheets.attribution)
        return sheets

    def _drop(self) -> None:
        if self._sheets is not None:
            self._sheets.close()
        self._sheets = None
        self._file.drop()


def shown_address(url: str) -> str:
    """Return host and path of an address: what may be a key or a login is in neither."""
    parts = urlsplit(url)
    return f'{parts.netloc.rpartition("@")[2]}{unquote(parts.path)}'

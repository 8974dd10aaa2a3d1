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

"""Aerial patches from orthophotos in files, one or a folder of them; needs ``rasterio``."""

from __future__ import annotations

from dataclasses import replace
import logging
from pathlib import Path

from fg2_ros.imagery.patch import (
    AerialPatch, FileProblem, Label, PatchView, require_enough, require_within)
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.stores.bands import RasterOptions
from fg2_ros.imagery.stores.cutting import Cutout
from fg2_ros.imagery.stores.files import LocalReads, WatchedFile
from fg2_ros.imagery.stores.raster_files import rasters_in
from fg2_ros.imagery.stores.sheets import Sheets

_logger = logging.getLogger(__name__)


class OrthophotoImagery:
    """
    Patches of orthophotos in files; implements `fg2_ros.imagery.patch.Imagery`.

    Only the parts that a patch shows are read.

    :param path: a file, a zip archive or a folder of them.
    :param label: shown to the user; the file's copyright, if no attribution is given.
    :param options: what the user knows of it and the file does not say.
    :raises FileProblem: if nothing in it can be used.
    """

    def __init__(self, path: Path, label: Label, options: RasterOptions = RasterOptions()):
        self._said: set[str] = set()
        self._file = WatchedFile(path, lambda path: Sheets(path, rasters_in(path), options))
        self._reads = LocalReads(label.name)
        sheets = self._sheets()
        self._label = replace(label, attribution=label.attribution or sheets.attribution)

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`. There is never anything to wait for.

        :raises ImageryError: if the file cannot be read or lacks more than half of the patch.
        """
        with self._reads.one():
            cutout = self._cut(view)
            self._reads.works()
        label = self._label
        return require_enough(AerialPatch(
            cutout.image, view, cutout.valid, label.name, label.vintage, label.attribution,
            cutout.resolution_m), cutout.problem)

    def request(self, view: PatchView) -> None:
        """
        Do nothing: the file is read when a patch is asked for.

        :raises ImageryError: if the place is outside the bounds that were found at the last patch,
            so that another source is asked.
        """
        require_within(view, self._bounds, self._label.name)

    def status(self) -> ImageryStatus:
        """Return how it does, at once, also while a patch is being cut."""
        return replace(self._reads.status(), doubts=self._doubts)

    def close(self) -> None:
        """Close the file."""
        with self._reads.last():
            self._file.drop()

    def _cut(self, view: PatchView) -> Cutout:
        try:
            sheets = self._sheets()
            self._reads.hits += 1
            cutout = sheets.cut(view)
            self._say(sheets.notice)
            return cutout
        except FileProblem:
            self._file.drop()
            raise

    def _sheets(self) -> Sheets:
        """Return what is open now, and note what is to be said of it."""
        sheets = self._file.get()
        if not sheets.is_current():
            self._file.drop()
            sheets = self._file.get()
        self._bounds, self._doubts = sheets.bounds, sheets.doubts
        for sentence in (*sheets.doubts, sheets.notice):
            self._say(sentence)
        return sheets

    def _say(self, sentence: str) -> None:
        """Log a sentence once."""
        if sentence and sentence not in self._said:
            self._said.add(sentence)
            _logger.warning(sentence)

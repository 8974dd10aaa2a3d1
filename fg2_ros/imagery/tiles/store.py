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

"""The interface of tile stores: decoded tiles of a pyramid, wherever they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fg2_ros.imagery.patch import Label
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.tiles.address import TileId, TileLayout
import numpy as np


@dataclass(frozen=True)
class Lookup:
    """
    What is known of the tiles of a patch.

    :param tiles: decoded images of those there are, as `decode_tile` returns them.
    :param pending: how many are still being fetched.
    :param problem: why others cannot be had, a sentence; '' if there are no others.
    """

    tiles: dict[TileId, np.ndarray]
    pending: int = 0
    problem: str = ''


class TileStore(Protocol):
    """The tiles of a pyramid; every method may be called from any thread."""

    @property
    def label(self) -> Label:
        """Return the label that is shown to the user."""

    @property
    def patch_bytes(self) -> int:
        """Return how many bytes the decoded tiles of a patch may take."""

    def layout(self) -> TileLayout:
        """
        Return what there is now; called before each patch.

        :raises FileProblem: if files cannot be read or hold something else.
        """

    def get(self, tiles: Sequence[TileId], tile_px: int, wait_s: float) -> Lookup:
        """
        Return what there is of some tiles of a zoom, after at most ``wait_s``.

        :param tile_px: side of the images that are returned.
        :raises FileProblem: if files cannot be read.
        :raises ImageryError: if it is closed.
        """

    def request(self, tiles: Sequence[TileId]) -> None:
        """Start fetching tiles and return at once."""

    def lacks(self, tiles: Sequence[TileId]) -> int:
        """Return how many of some tiles would have to be fetched, without asking for any."""

    @property
    def tile_s(self) -> float:
        """Return the seconds in which one more tile usually comes; 0 if that is not known."""

    def status(self) -> ImageryStatus:
        """Return how it does, at once."""

    def close(self) -> None:
        """Stop what is under way and wait for it; it cannot be used any more."""

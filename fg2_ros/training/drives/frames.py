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

"""Keyframes of recorded drives as training frames."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from fg2_ros.datasets.drives import (
    Keyframe, KEYFRAMES_FILE, open_drives, RecordedDrive, require_images)
from fg2_ros.datasets.simulated import Frame, Surroundings
from fg2_ros.imagery.patch import PatchView
from fg2_ros.localizer.resize import resized, seen_resized
from fg2_ros.network.config import FG2Config
from fg2_ros.training.panorama.samples import SampleSettings


class RecordedFrames:
    """
    The keyframes of one split of a data set.

    Nothing but their poses is kept in memory, so that other processes can be given the object as
    long as no frame was asked for.

    :param split: 'train', 'validation' or 'test'.
    :param config: of the network that they are for.
    :raises ValueError: if there is none.
    """

    def __init__(self, data_set: Path, split: str, config: FG2Config):
        """Read the keyframes' poses."""
        self.drives = open_drives(data_set)
        require_images(self.drives)
        self._config, self._reach_m = config, reach_m(config)
        self._keyframes = [(drive, keyframe) for drive in self.drives
                           for keyframe in drive.keyframes if keyframe.split == split]
        if not self._keyframes:
            raise ValueError(f'no keyframe of {data_set} is of the split "{split}": record drives '
                             'through more ground, or build them with smaller blocks')

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keyframes)

    def __getitem__(self, index: int) -> Frame:
        """
        Return one of them.

        :raises UnreadableFrame: if its image cannot be read.
        :raises ImageryError: if most of the ground around it is missing.
        """
        drive, keyframe = self._keyframes[index]
        hw, seen = self._config.ground_image_hw, drive.seen(keyframe)
        return Frame(
            resized(drive.panorama(keyframe), hw, self._config.image_resize),
            drive.camera_of(keyframe).yaw, self._ground(drive, keyframe), layers=None,
            seen=None if seen is None else seen_resized(seen, hw))

    def _ground(self, drive: RecordedDrive, keyframe: Keyframe) -> Surroundings:
        """Return the ground around the camera, no finer than the network sees it."""
        camera, side_m = drive.camera_of(keyframe), 2 * self._reach_m
        size_px = round(side_m / max(drive.facts.ground.resolution_m, self._config.grid_extent_m
                                     / self._config.aerial_image_hw[0]))
        patch = drive.imagery.patch(
            PatchView(drive.map_frame, (camera.x, camera.y), side_m, size_px))
        return Surroundings(patch.image, side_m / size_px, (0.0, 0.0))


def reach_m(config: FG2Config) -> float:
    """Return how far from a camera any turned aerial patch of a sample may reach."""
    return math.sqrt(2) * (config.grid_extent_m / 2 + SampleSettings().prior_offset_m)


def identity_of(drives: list[RecordedDrive]) -> str:
    """Return a digest that changes if the keyframes do."""
    digest = hashlib.sha256()
    for drive in drives:
        digest.update(drive.name.encode() + (drive.folder / KEYFRAMES_FILE).read_bytes())
    return digest.hexdigest()

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

"""The VIGOR data set: panoramas and satellite images of four cities (Zhu et al., CVPR 2021)."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
import logging
from pathlib import Path
from typing import Sequence

from fg2_ros.datasets.frames import (
    BrokenLabel, CrossViewFrame, file_name, finite_numbers, label_lines, read_image, resized_rgb,
    rotation_of_yaw)
from fg2_ros.network.config import FG2Config
import numpy as np

_logger = logging.getLogger(__name__)
LABELLED_PX = 640  # side of the satellite images that the labels' offsets are pixels of
RESOLUTION_M = {  # metres per pixel of these
    'NewYork': 0.113248, 'Seattle': 0.100817, 'SanFrancisco': 0.118141, 'Chicago': 0.111262}
CITIES = {
    ('samearea', 'train'): ('NewYork', 'Seattle', 'SanFrancisco', 'Chicago'),
    ('samearea', 'test'): ('NewYork', 'Seattle', 'SanFrancisco', 'Chicago'),
    ('crossarea', 'train'): ('NewYork', 'Seattle'),
    ('crossarea', 'test'): ('SanFrancisco', 'Chicago')}
SATELLITES_OF_LABEL = 4  # the positive and three neighbours
CORRECTED = '__corrected'  # ends the names of SliceMatch's folder and files
LAYOUT = (
    'ROOT/<City>/panorama/, ROOT/<City>/satellite/ and ROOT/splits/<City>/ with '
    'satellite_list.txt, same_area_balanced_train.txt, same_area_balanced_test.txt and '
    f'pano_label_balanced.txt, or ROOT/splits{CORRECTED}/<City>/ with the corrected labels, for '
    'the cities ' + ', '.join(RESOLUTION_M))


@dataclass(frozen=True)
class VigorLabel:
    """
    One labelled panorama.

    :param offset_px: (row, column) offset of the label, in pixels of the 640 px satellite image.
    """

    city: str
    panorama: str
    satellite: str
    offset_px: tuple[float, float]


class VigorDataset:
    """
    One part of VIGOR; north-aligned panoramas, each with its positive satellite image.

    The labels that SliceMatch corrected are taken where they are.

    :param root: folder of the data set.
    :param area: 'samearea' or 'crossarea'.
    :param part: 'train' or 'test'.
    :param config: image sizes and grid of the network.
    :raises ValueError: if there is no such part, a label file is missing, or only some of the
        cities have corrected labels.
    """

    def __init__(self, root: str | Path, area: str, part: str,
                 config: FG2Config = FG2Config.preset('vigor')):
        if (area, part) not in CITIES:
            raise ValueError(f'VIGOR has no {part} part of {area!r}')
        self.root, self.config = Path(root), config
        self.labels: list[VigorLabel] = []
        self.problems: list[str] = []
        file = 'pano_label_balanced' if area == 'crossarea' else f'same_area_balanced_{part}'
        files = {city: _label_file(self.root, city, file) for city in CITIES[area, part]}
        self.has_corrected_labels = _all_corrected(files)
        if not self.has_corrected_labels:
            _logger.warning(
                'VIGOR: these are the original labels. Published figures of today are on those '
                'that SliceMatch corrected: put its folder splits%s beside splits', CORRECTED)
        for city, path in files.items():
            self._read_labels(city, path)

    @property
    def names(self) -> list[str]:
        """Return the panoramas' paths below the root, one for each frame."""
        return [f'{label.city}/panorama/{label.panorama}' for label in self.labels]

    @property
    def label_files(self) -> str:
        """Return which labels these are, in words."""
        return 'corrected by SliceMatch' if self.has_corrected_labels else 'original'

    def __len__(self) -> int:
        """Return the number of usable labels."""
        return len(self.labels)

    def __getitem__(self, index: int) -> CrossViewFrame:
        """
        Return a frame, its panorama north-aligned.

        :raises UnreadableFrame: if an image cannot be read.
        """
        label, config = self.labels[index], self.config
        folder = self.root / label.city
        panorama = read_image(folder / 'panorama' / label.panorama)
        satellite = read_image(folder / 'satellite' / label.satellite)
        row_px, column_px = label.offset_px
        # The grid spans the whole satellite image, whatever the size it is shown at.
        translation = np.array([-row_px, column_px]) * config.grid_extent_m / LABELLED_PX
        return CrossViewFrame(
            name=f'{label.city}/panorama/{label.panorama}', group=label.city,
            ground=resized_rgb(panorama, config.ground_image_hw),
            aerial=resized_rgb(satellite, config.aerial_image_hw),
            rotation=rotation_of_yaw(0.0), translation=translation.astype(np.float32),
            metres_per_grid_metre=RESOLUTION_M[label.city] * LABELLED_PX / config.grid_extent_m)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the frames are the same in all epochs."""

    def subset(self, indices: Sequence[int]) -> VigorDataset:
        """Return the data set of some of its frames, in the order given."""
        part = copy(self)
        part.labels = [self.labels[index] for index in indices]
        return part

    def _read_labels(self, city: str, file: Path) -> None:
        lists = [folder / 'satellite_list.txt'
                 for folder in (file.parent, self.root / 'splits' / city)]
        known = next((path for path in lists if path.is_file()), lists[0])
        satellites = {file_name(line) for _, line in label_lines(known, LAYOUT)}
        for number, line in label_lines(file, LAYOUT):
            try:
                self.labels.append(_parsed(city, line, satellites))
            except BrokenLabel as problem:
                self.problems.append(f'{file}, line {number}: {problem}')


def _label_file(root: Path, city: str, name: str) -> Path:
    """Return the file of labels to read, which is a corrected one if there is one."""
    candidates = [root / folder / city / f'{name}{end}.txt'
                  for folder, end in ((f'splits{CORRECTED}', CORRECTED), ('splits', CORRECTED),
                                      (f'splits{CORRECTED}', ''), ('splits', ''))]
    return next((path for path in candidates if path.is_file()), candidates[-1])


def _all_corrected(files: dict[str, Path]) -> bool:
    """Return whether labels are corrected ones; refuses a mixture."""
    corrected = [city for city, path in files.items()
                 if path.stem.endswith(CORRECTED) or path.parts[-3].endswith(CORRECTED)]
    if corrected and len(corrected) < len(files):
        lacking = sorted(set(files) - set(corrected))
        raise ValueError(
            f'there are corrected labels of {", ".join(corrected)}, but none of '
            f'{", ".join(lacking)}: numbers on a mixture compare with nothing; expected is '
            f'{LAYOUT}')
    return bool(corrected)


def _parsed(city: str, line: str, satellites: set[str]) -> VigorLabel:
    panorama, *fields = line.split()
    panorama = file_name(panorama)
    if len(fields) != 3 * SATELLITES_OF_LABEL:
        raise BrokenLabel(
            f'a panorama and {SATELLITES_OF_LABEL} times (satellite, row, column) are '
            f'{1 + 3 * SATELLITES_OF_LABEL} fields, not {1 + len(fields)}')
    fields[::3] = map(file_name, fields[::3])
    for name in fields[::3]:
        if name not in satellites:
            raise BrokenLabel(f'satellite_list.txt has no {name}')
    offsets = [finite_numbers(fields[first + 1:first + 3]) for first in range(0, len(fields), 3)]
    row_px, column_px = offsets[0]
    return VigorLabel(city, panorama, fields[0], (row_px, column_px))

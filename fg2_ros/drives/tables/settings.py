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

"""Settings of the import of images with poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fg2_ros.drives.settings import GroundSettings, PlaceSettings
from fg2_ros.drives.tables.columns import COMPASS, YAW
from fg2_ros.settings import setting


@dataclass(frozen=True)
class TableSettings:
    """How a table is read."""

    images: Path | None = setting(
        None, 'Folder of the images (default: that of the table).', of=Path,
        option={'metavar': 'FOLDER'})
    column: tuple = setting(
        (), 'What a column means, where its name does not tell: heading=bearing, latitude=y; '
        'again for others.', of=str, option={'metavar': 'MEANING=NAME'})
    heading: str = setting(
        '', 'Which way the headings of the table count. compass: degrees clockwise from north; '
        'yaw: counter-clockwise from east (default: compass, and a column named yaw is asked '
        'about).', choices=('', COMPASS, YAW))
    heading_offset_deg: float | None = setting(
        None, 'Added to each heading, clockwise: the declination, where they are magnetic, or '
        'what a camera is turned by.', unit='deg', of=float, between=(-360.0, 360.0),
        option={'name': 'heading_offset', 'metavar': 'DEG'})
    sigma_m: float | None = setting(
        None, 'How accurate positions are on each axis, one sigma, where the table does not '
        'tell.', unit='m', of=float, between=(0.001, 1000.0))
    sigma_deg: float | None = setting(
        None, 'How accurate headings are.', unit='deg', of=float, between=(0.001, 180.0))
    max_sigma_m: float | None = setting(
        None, 'Images whose position is said to be less accurate are left out.', unit='m',
        of=float, between=(0.001, 1000.0))

    def stated_columns(self) -> Mapping[str, str]:
        """
        Return names of columns by what they mean.

        :raises ValueError: if one is not written as ``meaning=name``.
        """
        pairs = [each.partition('=') for each in self.column]
        wrong = next((each for each in pairs if not (each[0] and each[2])), None)
        if wrong:
            raise ValueError(f'--column {"".join(wrong)} is not like heading=bearing')
        return {meaning.strip(): name.strip() for meaning, _, name in pairs}


@dataclass(frozen=True)
class ImportSettings(GroundSettings, PlaceSettings, TableSettings):
    """How drives are made of images with poses."""

    every_m: float = setting(
        2.0, 'Images are kept each so many metres.', unit='m', between=(0.0, 1000.0),
        option={'name': 'every'})
    image_rows: int = setting(
        512, 'Of the panoramas, which are twice as wide; smaller ones stay as they are.',
        unit='px', between=(64, 8192))
    camera: Path | None = setting(
        None, 'Parameter file of a node (fg2.yaml), of which the settings camera.* are taken: '
        'angles of cropped panoramas, bars, masks.', of=Path, option={'metavar': 'FILE.yaml'})

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

"""Settings of building data sets from recorded drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fg2_ros.datasets.drives import SPLITS
from fg2_ros.replay.settings import SourceSettings, VehicleSettings
from fg2_ros.settings import setting

AUTO, OFF = 'auto', 'off'


def clock_of(value: Any) -> str | float:
    """
    Return how clocks are compared: 'auto', 'off', or the stated offset in seconds.

    :raises ValueError: if it is none of these.
    """
    if value in (AUTO, OFF):
        return value
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f'{value!r} is neither auto nor off nor a number of seconds') from None
    if not abs(seconds) <= 1e4:
        raise ValueError(f'a clock offset of {seconds:g} s is none')
    return seconds


def shares_of(value: Any) -> tuple[float, float, float]:
    """
    Return the shares of training, validation and test, which sum up to 1.

    :param value: three numbers of any sum, or a text with them and slashes between.
    :raises ValueError: if they are none.
    """
    try:
        shares = [float(each) for each in (
            value.replace('-', '/').split('/') if isinstance(value, str) else value)]
    except (TypeError, ValueError):
        shares = []
    if len(shares) != 3 or not all(0 <= share < 1e6 for share in shares) or not sum(shares):
        raise ValueError(f'{value!r} is not like 80/10/10: training, validation and test')
    train, validation, test = (share / sum(shares) for share in shares)
    return train, validation, test


@dataclass(frozen=True)
class PlaceSettings:
    """Which places are of which split."""

    block_m: float = setting(
        250.0, 'Side of the blocks of ground that are dealt out to the splits.', unit='m',
        between=(10.0, 1e5), option={'name': 'block', 'metavar': 'M'})
    shares: tuple = setting(
        (0.8, 0.1, 0.1), 'Of the blocks: training/validation/test.', parse=shares_of,
        option={'metavar': '80/10/10'})
    split: str = setting(
        '', 'All is of this one, wherever it lies (default: by blocks).', choices=('', *SPLITS))
    patch_m: float = setting(
        40.0, 'An image whose square of this side touches blocks of several splits is of none.',
        unit='m', between=(1.0, 1000.0), option={'name': 'patch', 'metavar': 'M'})

    def __post_init__(self) -> None:
        """Refuse blocks that patches may hold."""
        if self.block_m < self.patch_m:
            raise ValueError(f'blocks of {self.block_m:g} m are smaller than patches of '
                             f'{self.patch_m:g} m')


@dataclass(frozen=True)
class GroundSettings(SourceSettings):
    """How the ground around the images is kept."""

    reach_m: float = setting(
        120.0, 'Ground is kept as far as this from the images.', unit='m', between=(10.0, 2000.0),
        option={'name': 'reach', 'metavar': 'M'})
    resolution_m: float = setting(
        0.15, 'Metres per pixel of the ground.', unit='m', between=(0.02, 2.0),
        option={'name': 'resolution', 'metavar': 'M_PER_PX'})
    offline_allowed: bool = setting(
        False, 'Of a URL: I have read its terms, and they allow to fetch and keep its imagery.')


@dataclass(frozen=True)
class TruthSettings:
    """What is believed of the truth."""

    truth_heading: str | None = setting(
        None, 'Truth of the heading beside a NavSatFix: sensor_msgs/Imu, QuaternionStamped, '
        'PoseWithCovarianceStamped, or the NavSatFix of a second antenna (default: the course, by '
        'odometry where there is one).', of=str, option={'metavar': 'TOPIC'})
    heading_axes: str = setting(
        'enu', 'Of --truth-heading. ned: 0 is north, clockwise.', choices=('enu', 'ned'))
    heading_offset_deg: float = setting(
        0.0, 'Added to --truth-heading, counter-clockwise.', unit='deg', between=(-360.0, 360.0))
    max_sigma_m: float = setting(
        0.2, 'Images are left out where the truth says that it may be further off.', unit='m',
        between=(0.001, 100.0))
    truth_sigma_m: float = setting(
        0.05, 'Of a truth whose messages have no covariance.', unit='m', between=(0.001, 100.0))
    truth_sigma_deg: float = setting(
        0.5, 'Of a heading that does not tell.', unit='deg', between=(0.01, 45.0))
    smooth: bool = setting(
        False, 'The truth is a NavSatFix that is metres off: it is smoothed over the whole drive, '
        'with odometry; see also `fg2 drives refine`.')
    clock_offset: str = setting(
        AUTO, "What the truth's stamps are ahead of the camera's: auto estimates it, off takes "
        'them for equal.', parse=clock_of, option={'metavar': 'auto|off|SECONDS'})


@dataclass(frozen=True)
class BuildSettings(VehicleSettings, GroundSettings, PlaceSettings, TruthSettings):
    """How a drive is made of a bag."""

    every_m: float = setting(
        2.0, 'Images are kept each so many metres.', unit='m', between=(0.0, 1000.0),
        option={'name': 'every', 'metavar': 'M'})
    image_rows: int = setting(
        512, 'Of the panoramas, which are twice as wide; smaller ones stay as they are.',
        unit='px', between=(64, 8192))

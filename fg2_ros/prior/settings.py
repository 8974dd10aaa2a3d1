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

"""How GNSS fixes, headings and odometry become the prior of an image."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting


@dataclass(frozen=True)
class PriorSettings:
    """How GNSS fixes, headings and odometry become the prior of an image."""

    window_s: float = setting(
        3.0, 'Fixes this old are carried along by odometry and averaged. Longer is smoother; '
        'odometry drift limits it.', unit='s', between=(0.0, 60.0))
    fix_timeout_s: float = setting(
        10.0, 'Without a fix for this long (and without a recent estimate) there is no prior, '
        'and no pose.', unit='s', between=(0.1, 600.0))
    heading_timeout_s: float = setting(
        0.5, 'An IMU heading must be at most this far from the image in time, unless odometry '
        'carries it.', unit='s', between=(0.01, 60.0))
    odometry_timeout_s: float = setting(
        0.5, 'Odometry is extrapolated by its last velocity for at most this long.',
        unit='s', between=(0.0, 10.0))
    default_fix_sigma_m: float = setting(
        5.0, 'Standard deviation of a fix that comes without covariance.',
        unit='m', between=(0.01, 1000.0))
    min_fix_sigma_m: float = setting(
        1.0, 'A fix is never believed better than this: receivers are optimistic between houses.',
        unit='m', between=(0.0, 1000.0))
    max_sigma_m: float = setting(
        20.0, 'With a prior worse than this no estimate is tried: the aerial patch would be a '
        'guess.', unit='m', between=(0.1, 1000.0))
    default_heading_sigma_deg: float = setting(
        5.0, 'Standard deviation of an IMU heading that comes without covariance.',
        unit='deg', between=(0.1, 180.0))
    imu_yaw_offset_deg: float = setting(
        0.0, 'Added to every IMU heading. 0 for an IMU that gives ENU headings (REP-103: 0 is '
        'east); 90 for one whose 0 is north; magnetic declination goes here too.',
        unit='deg', between=(-360.0, 360.0))
    course_distance_m: float = setting(
        5.0, 'Without an IMU heading, the course over ground is used once the fixes of the last '
        'seconds are this far apart. Wrong while reversing without odometry.',
        unit='m', between=(0.1, 1000.0))
    use_estimate: bool = setting(
        True, 'Start from the last accepted estimate, carried along by odometry, while GNSS does '
        'not contradict it. Bridges outages and centres the patch better than GNSS does.')
    estimate_gate_sigmas: float = setting(
        3.0, 'An estimate further than this from GNSS is forgotten: the way out of a wrong lock.',
        unit='sigma', between=(0.5, 100.0))
    estimate_timeout_s: float = setting(
        30.0, 'An estimate this old is forgotten.', unit='s', between=(0.1, 600.0))
    estimate_rejections: int = setting(
        5, 'After this many images in a row without an accepted estimate the last one is '
        'forgotten.', between=(1, 1000))
    min_estimate_sigma_m: float = setting(
        2.0, 'A prior from an estimate is never called better than this, so that the next '
        'estimate may correct it.', unit='m', between=(0.0, 100.0))
    drift_per_metre: float = setting(
        0.03, 'Growth of the position sigma with the distance that odometry carried it.',
        unit='m/m', between=(0.0, 1.0))
    drift_per_second: float = setting(
        0.1, 'Growth of the position sigma with time, odometry or not.',
        unit='m/s', between=(0.0, 100.0))
    speed_without_odometry: float = setting(
        10.0, 'Growth of the position sigma with time where there is no odometry.',
        unit='m/s', between=(0.0, 100.0))
    yaw_drift_deg_per_second: float = setting(
        0.2, 'Growth of the heading sigma with the time that odometry carried it.',
        unit='deg/s', between=(0.0, 90.0))

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

"""Settings of a replay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fg2_ros.settings import setting, SHIPPED_WEIGHTS

_TOPIC = {'metavar': 'TOPIC'}


@dataclass(frozen=True)
class TopicNames:
    """The topics of the inputs; None for the only one of its type."""

    image: str | None = setting(
        None, 'Of sensor_msgs/Image or CompressedImage.', of=str, option=_TOPIC)
    fix: str | None = setting(None, 'Of sensor_msgs/NavSatFix.', of=str, option=_TOPIC)
    odom: str | None = setting(None, 'Of nav_msgs/Odometry, or "none".', of=str, option=_TOPIC)
    imu: str | None = setting(None, 'Of sensor_msgs/Imu, or "none".', of=str, option=_TOPIC)
    camera_info: str | None = setting(
        None, 'Of sensor_msgs/CameraInfo; only pinhole cameras need it.', of=str, option=_TOPIC)
    truth: str | None = setting(
        None, 'Ground truth: sensor_msgs/NavSatFix, or PoseStamped, PoseWithCovarianceStamped or '
        'Odometry with the origin of its map, a NavSatFix, on "datum" beside it (default: '
        '/ground_truth/pose, if it is there).',
        of=str, option=_TOPIC)


@dataclass(frozen=True)
class SourceSettings:
    """Where imagery comes from."""

    source: tuple = setting(
        (), "Imagery, as the node's imagery.sources; again for where it has none or fails.",
        of=str, option={'metavar': 'NAME|URL|FILE'})
    catalogue: str = setting(
        '', 'Describes the sources. Empty: config/sources.yaml of the package.',
        option={'metavar': 'FILE'})
    cache: str = setting(
        '~/.cache/fg2_ros', 'Keeps downloaded tiles.', option={'metavar': 'FOLDER'})
    wait_s: float = setting(
        60.0, 'How long an image waits for its imagery.', unit='s', between=(0.0, 600.0),
        option={'name': 'wait', 'metavar': 'S'})


@dataclass(frozen=True)
class VehicleSettings:
    """What carries the camera, and what kind of camera it is."""

    base_frame: str = setting(
        'base_link', 'Whose pose is wanted.', option={'metavar': 'FRAME'})
    camera_frame: str = setting(
        '', 'Frame of the camera. Empty: the one that the images name.',
        option={'metavar': 'FRAME'})
    camera_axes: str = setting(
        'body', "Of the camera's frame.", choices=('body', 'optical'))
    camera: Path | None = setting(
        None, 'Parameter file of a node (fg2.yaml), of which the settings camera.* are taken: '
        'what kind of camera it is.', of=Path, option={'metavar': 'FILE.yaml'})


@dataclass(frozen=True)
class ReplaySettings(VehicleSettings, SourceSettings):
    """How the images of a bag are localized."""

    weights: Path = setting(SHIPPED_WEIGHTS, 'File that `fg2 train` or `fg2 convert` made.')
    device: str = setting('auto', 'Torch device.')
    precision: str = setting(
        'auto', 'auto: bf16 on a CPU with instructions for it, else fp32.',
        choices=('auto', 'fp32', 'fp16', 'bf16'))
    simulated_camera: bool = setting(
        False, 'The images are simulated ones: weights that saw nothing else are believed as they '
        'were calibrated, while with a real camera they claim a sigma of at least 1.5 m.')
    every: int = setting(1, 'Only each Nth image.', between=(1, 10 ** 9))
    limit: int | None = setting(None, 'At most N images.', of=int, between=(1, 10 ** 9))

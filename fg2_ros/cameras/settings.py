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

"""Settings of the cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fg2_ros.settings import checked, read_yaml, setting


@dataclass(frozen=True)
class CameraSettings:
    """How images come, and what they show."""

    layout: str = setting(
        'equirectangular', 'What panoramas are made of. equirectangular: images that are '
        'panoramas; fisheye: images with the circles of fisheye lenses, see camera.calibration; '
        'ring: the images of several cameras, see camera.topics. With weights for a pinhole '
        'camera it stays as it is.', choices=('equirectangular', 'fisheye', 'ring'),
        read_only=True)
    transport: str = setting(
        'auto', 'Which images are subscribed to: raw (topic image), compressed (image/compressed, '
        'JPEG or PNG), or auto for both, of which each image is used once. Name one where the '
        'camera is on another computer, so that not both are sent.',
        choices=('auto', 'raw', 'compressed'), read_only=True)
    vertical_fov_deg: tuple = setting(
        (), 'Of panoramas that are cropped or squeezed in height: the elevations of the lowest '
        'and the highest edge, [-45.0, 45.0]; one number is an angle that the horizon halves. '
        'Empty: from the nadir to the zenith, twice as wide as high.', unit='deg',
        read_only=True)
    bars_px: tuple = setting(
        (), 'Black bars around the panorama: [top, bottom, left, right]. Empty: they are looked '
        'for in panoramas that are not twice as wide as high, and what is always black at the '
        'top and the bottom of others is left out.', unit='px', of=int, read_only=True)
    masks: tuple = setting(
        (), 'Image file (PNG), of any size, drawn over the picture of the camera: what is black '
        "in it is left out, such as the vehicle's own body. Of a ring one for each camera, '' "
        'for none.', of=str, read_only=True)
    calibration: str = setting(
        '', 'YAML file with the lenses of the layout fisheye; docs/cameras.md describes it.',
        read_only=True)
    topics: tuple = setting(
        (), 'Of the layout ring: the image topics of its cameras, with a camera_info beside each '
        '(front/image_raw, front/camera_info).', of=str, read_only=True)
    sync_s: float = setting(
        0.02, 'Of the layout ring: images whose stamps differ by no more than this were taken at '
        'once.', unit='s', between=(0.0, 1.0), read_only=True)
    rectified: str = setting(
        'auto', 'Whether the images of pinhole cameras, one or a ring, are rectified. auto: they '
        'are if the last part of their topic has "rect" in it, or if camera_info knows no '
        'distortion.', choices=('auto', 'yes', 'no'), read_only=True)
    level_from_deg: float = setting(
        1.0, 'A panorama that is tilted by more than this, by the mount of its camera and by the '
        'vehicle, is levelled; less is not worth it. 180 switches that off.', unit='deg',
        between=(0.0, 180.0), read_only=True)
    level_with_imu: bool = setting(
        True, "Whether the IMU's roll and pitch at the stamp of an image count. Off for one whose "
        'roll and pitch are not to be believed while the vehicle accelerates.', read_only=True)


def camera_settings(parameters: Path | None) -> CameraSettings:
    """
    Return the settings `camera` in a parameter file of a node.

    :param parameters: None for the defaults.
    :raises ValueError: with the file's name, if it has none, or they make no sense.
    """
    if parameters is None:
        return CameraSettings()
    found: Any = read_yaml(parameters)
    nodes = [each['ros__parameters'] for each in found.values()
             if isinstance(each, Mapping) and isinstance(each.get('ros__parameters'), Mapping)]
    groups = [each['camera'] for each in nodes if isinstance(each.get('camera'), Mapping)]
    if not groups:
        raise ValueError(f'{parameters} has no parameters camera.* of a node')
    known = {declared.name: declared for declared in fields(CameraSettings)}
    return CameraSettings(**checked(groups[0], known, lambda name: f'{parameters}: camera.{name}'))

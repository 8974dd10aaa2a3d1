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

"""What a user may set of the cameras."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting


@dataclass(frozen=True)
class CameraSettings:
    """How images come, and what they show."""

    transport: str = setting(
        'auto', 'Which images are subscribed to: raw (topic image), compressed (image/compressed, '
        'JPEG or PNG), or auto for both, of which each image is used once. Name one where the '
        'camera is on another computer, so that not both are sent.',
        choices=('auto', 'raw', 'compressed'), read_only=True)
    topics: tuple = setting(
        (), 'Raw image topics of the cameras of a ring, with camera_info beside each.', of=str,
        read_only=True)
    sync_s: float = setting(
        0.02, 'Images of a ring whose stamps differ by no more than this were taken at once.',
        unit='s', between=(0.0, 1.0), read_only=True)

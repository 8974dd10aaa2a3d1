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

"""The offset between the clocks of the ground truth and of the camera."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

from fg2_ros.drives.clock import ClockOffset, offset_from_turns, SIGMAS
from fg2_ros.drives.images import BagImages
from fg2_ros.drives.optical import turns
from fg2_ros.drives.settings import AUTO, OFF
from fg2_ros.drives.truth import Truth
from fg2_ros.replay.tracks import SECOND_NS
from fg2_ros.ros.camera_images import CameraImage
import numpy as np

MOST_IMAGES = 800  # that are compared with the one before
TURNING_RADPS, AROUND_S = math.radians(3.0), 1.0  # images this near a turn tell most
CONTRADICTION_S = 0.02
UNTOLD, SWITCHED_OFF = 'nothing: the drive does not tell it', 'nothing: it is switched off'


@dataclass(frozen=True)
class CameraClock:
    """
    The offset between the truth's clock and the camera's.

    :param ahead_s: what the truth's stamps are ahead of the camera's, as it is applied.
    :param sigma_s: of it; 0 where it is stated or switched off.
    :param told_by: what it was measured with, as it is shown.
    :param camera: what the panoramas tell; ``odometry``: what the odometry's clock does.
    """

    ahead_s: float
    sigma_s: float
    told_by: str
    camera: ClockOffset | None = None
    odometry: ClockOffset | None = None

    def __str__(self) -> str:
        """Return the offset as it is shown."""
        if self.told_by in (UNTOLD, SWITCHED_OFF):
            return f'taken for that of the images, {self.told_by.removeprefix("nothing: ")}'
        return (f'{self.ahead_s * 1e3:+.0f} ms ahead of the images, sigma '
                f'{self.sigma_s * 1e3:.0f} ms, told by {self.told_by}')

    @property
    def ahead_ns(self) -> int:
        """Return the offset in whole nanoseconds."""
        return round(self.ahead_s * SECOND_NS)

    @property
    def remarks(self) -> list[str]:
        """Return warnings about it."""
        camera, odometry = self.camera, self.odometry
        if self.told_by == UNTOLD:
            return [
                'the drive does not tell whether the clocks of truth and images agree: neither '
                'turns of the images nor odometry do. 0.1 s are 1 m at 10 m/s: --clock-offset '
                'states what you know']
        if not (camera and odometry and camera.is_known and odometry.is_known) \
                or not _contradict(camera, odometry):
            return []
        return [f'the clock of the truth is {camera.seconds * 1e3:+.0f} ms ahead of the images, '
                f'but {odometry.seconds * 1e3:+.0f} ms ahead of the odometry: images and odometry '
                'are stamped by different clocks, or one of them late']

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            'ahead_s': round(self.ahead_s, 4), 'sigma_s': round(self.sigma_s, 4),
            'told_by': self.told_by, 'words': str(self),
            'by_images': self.camera.to_dict() if self.camera else None,
            'by_odometry': self.odometry.to_dict() if self.odometry else None}


def camera_clock(wanted: str | float, truth: Truth, images: BagImages, stamps_ns: np.ndarray
                 ) -> CameraClock:
    """
    Return the offset between the truth's clock and the camera's.

    :param wanted: 'auto', 'off' or the offset in seconds.
    """
    if wanted == OFF:
        return CameraClock(0.0, 0.0, SWITCHED_OFF)
    if wanted != AUTO:
        return CameraClock(float(wanted), 0.0, 'the user')
    return judged(_by_images(truth, images, stamps_ns), truth.odometry_clock)


def judged(camera: ClockOffset | None, odometry: ClockOffset | None) -> CameraClock:
    """Return which offset is applied: both if they agree, the images' own if they do not."""
    known = {name: each for name, each in (
        ('images', camera), ('odometry', odometry)) if each is not None and each.is_known}
    if len(known) == 2 and _contradict(*known.values()):
        del known['odometry']
    if not known:
        return CameraClock(0.0, 0.0, UNTOLD, camera, odometry)
    weights = np.array([1 / max(each.sigma_s, 1e-4) ** 2 for each in known.values()])
    mean = ClockOffset(
        float(np.average([each.seconds for each in known.values()], weights=weights)),
        float(1 / np.sqrt(weights.sum())))
    told_by = ' and '.join(known)
    if not mean.is_significant:
        return CameraClock(
            0.0, mean.sigma_s, f'{told_by}: none that is significant', camera, odometry)
    return CameraClock(mean.seconds, mean.sigma_s, told_by, camera, odometry)


def _contradict(first: ClockOffset, second: ClockOffset) -> bool:
    apart_s = abs(first.seconds - second.seconds)
    return apart_s > max(SIGMAS * math.hypot(first.sigma_s, second.sigma_s), CONTRADICTION_S)


def _by_images(truth: Truth, images: BagImages, stamps_ns: np.ndarray) -> ClockOffset | None:
    wanted = set(_near_turns(truth, np.unique(stamps_ns)).tolist())
    panoramas = (each for each in images.level(wanted) if isinstance(each, CameraImage))
    around_s = truth.odometry_ahead_ns / SECOND_NS
    return offset_from_turns(
        *turns(panoramas), truth.headings.stamp_ns, truth.headings.yaw_rad, around_s)


def _near_turns(truth: Truth, stamps_ns: np.ndarray) -> np.ndarray:
    """Return the stamps of images near turns, as many as are worth it; all if they are few."""
    headings = truth.headings
    if len(stamps_ns) <= MOST_IMAGES or len(headings.stamp_ns) < 2:
        return stamps_ns
    rate = np.abs(np.gradient(headings.yaw_rad, headings.stamp_ns / SECOND_NS))
    turning_ns = headings.stamp_ns[rate >= TURNING_RADPS] - truth.odometry_ahead_ns
    if not len(turning_ns):
        return stamps_ns[:0]
    after = np.searchsorted(turning_ns, stamps_ns)
    nearest_ns = np.minimum(
        np.abs(turning_ns[np.minimum(after, len(turning_ns) - 1)] - stamps_ns),
        np.abs(turning_ns[np.maximum(after - 1, 0)] - stamps_ns))
    return stamps_ns[nearest_ns <= AROUND_S * SECOND_NS][:MOST_IMAGES]

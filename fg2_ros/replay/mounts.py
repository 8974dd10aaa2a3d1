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

"""Mounts of a recorded vehicle's sensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fg2_ros.replay.recording import Recording
from fg2_ros.replay.settings import VehicleSettings
from fg2_ros.ros.guarded_buffer import GuardedBuffer
from fg2_ros.ros.transforms import mount_in, NoTransform
from geometry_msgs.msg import TransformStamped
import numpy as np

STATIC, MOVING = '/tf_static', '/tf'
LOOKED_AT_NS = 20 * 10 ** 9  # of the beginning of /tf: mounts are repeated there
LOOKED_AT = 5000  # messages, at most
STILL = 1e-6  # metres, and parts of a quaternion


class StaticMounts:
    """
    The sensors' places on the vehicle that a bag has on /tf_static, and on /tf what never moves.

    Of a bag without any all are taken to be at the vehicle's frame.
    """

    def __init__(self, recording: Recording):
        """Read them all."""
        self._buffer = GuardedBuffer()
        self._parents: dict[str, str] = {}
        self._known: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        for each in (*_still(recording), *_static(recording)):
            self._parents[each.child_frame_id] = each.header.frame_id
            self._buffer.set_transform_static(each, 'bag')

    def are_known(self, base_frame: str) -> bool:
        """Return whether the bag has any mount."""
        above, frame = {base_frame}, base_frame
        while (parent := self._parents.get(frame)) is not None and parent not in above:
            above.add(parent)
            frame = parent
        return bool(set(self._parents) - above)

    def mount(self, base_frame: str, sensor_frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return (translation (3,), quaternion (4,) x y z w) of a sensor on the vehicle.

        :raises NoTransform: if it is not known.
        """
        if not sensor_frame:
            raise NoTransform('the messages name no frame')
        if not self.are_known(base_frame):
            return np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        key = base_frame, sensor_frame
        if key not in self._known:
            self._known[key] = mount_in(self._buffer, base_frame, sensor_frame)
        return self._known[key]


def require_mounts(mounts: StaticMounts, bag: Path, vehicle: VehicleSettings) -> None:
    """
    Refuse a bag without the camera's mount, unless the camera is at the vehicle's frame.

    :raises ValueError: with a sentence.
    """
    if vehicle.camera_frame != vehicle.base_frame and not mounts.are_known(vehicle.base_frame):
        raise ValueError(
            f'{bag} has no {STATIC}, nor mounts on {MOVING}, which tell where the camera is on '
            f'the vehicle: record it, or say --camera-frame {vehicle.base_frame} if all sensors '
            'sit there and look ahead')


def _static(recording: Recording) -> Iterator[TransformStamped]:
    yield from _transforms(recording, STATIC, None)


def _still(recording: Recording) -> list[TransformStamped]:
    """Return what is on /tf and stays as it is."""
    first: dict[str, TransformStamped] = {}
    moving = set()
    for each in _transforms(recording, MOVING, LOOKED_AT_NS):
        before = first.setdefault(each.child_frame_id, each)
        if (before.header.frame_id != each.header.frame_id
                or np.abs(_numbers(before) - _numbers(each)).max() > STILL):
            moving.add(each.child_frame_id)
    return [each for child, each in first.items() if child not in moving]


def _transforms(recording: Recording, topic: str,
                within_ns: int | None) -> Iterator[TransformStamped]:
    """Yield the transforms on a topic, of its beginning only if ``within_ns`` says so."""
    begin_ns = None
    for count, recorded in enumerate(recording.messages([topic])):
        begin_ns = recorded.time_ns if begin_ns is None else begin_ns
        if within_ns is not None and (
                recorded.time_ns - begin_ns > within_ns or count >= LOOKED_AT):
            return
        try:
            transforms = recorded.message().transforms
        except (ValueError, AttributeError):
            continue  # a damaged one, or a topic of this name that is none of TF
        for each in transforms:
            each.header.frame_id = each.header.frame_id.lstrip('/')  # ROS 1 had such names
            each.child_frame_id = each.child_frame_id.lstrip('/')
            yield each


def _numbers(message: TransformStamped) -> np.ndarray:
    moved, turn = message.transform.translation, message.transform.rotation
    return np.array([moved.x, moved.y, moved.z, turn.x, turn.y, turn.z, turn.w])

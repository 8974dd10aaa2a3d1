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

"""The images of a bag as level panoramas, without a localizer."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from fg2_ros.cameras.settings import camera_settings
from fg2_ros.drives.settings import BuildSettings
from fg2_ros.replay.mounts import StaticMounts
from fg2_ros.replay.recording import Recorded, Recording, Topics
from fg2_ros.ros import conversions
from fg2_ros.ros.camera_images import CameraImage, Cameras
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.image_sets import AnyImage, ImageSet, ImageSets
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.vehicle_mounts import VehicleMounts

Taken = AnyImage | ImageSet


@dataclass(frozen=True)
class Unusable:
    """An image of which no panorama comes, and why."""

    stamp_ns: int
    sentence: str


class BagImages:
    """
    The images of a bag; each walk through them reads the bag anew.

    :param topics: of cameras and IMU, whose roll and pitch level the images.
    :raises ValueError: if the camera's settings make no sense.
    """

    def __init__(self, recording: Recording, topics: Topics, mounts: StaticMounts,
                 settings: BuildSettings):
        """Read nothing yet."""
        self._recording, self._topics, self._mounts = recording, topics, mounts
        self._node = NodeSettings(
            base_frame=settings.base_frame, camera_frame=settings.camera_frame,
            camera_axes=settings.camera_axes, camera=camera_settings(settings.camera),
            localizer=None)  # whose own settings take torch
        self._vehicle = VehicleMounts(mounts, settings.base_frame)
        self._rows = settings.image_rows

    def stamps(self) -> list[int]:
        """Return the stamps of all images in the order of the bag; their pixels stay packed."""
        return [conversions.stamp_ns(taken.header.stamp) for taken, _ in self._walk(False)]

    def level(self, wanted: Container[int],
              tell: Callable[[], None] = lambda: None) -> Iterator[CameraImage | Unusable]:
        """
        Yield the level panoramas at some stamps in the order of the bag.

        :param tell: called for each image of the bag.
        """
        for taken, cameras in self._walk():
            tell()
            stamp_ns = conversions.stamp_ns(taken.header.stamp)
            if stamp_ns not in wanted:
                continue
            try:
                yield cameras.image_of(taken)
            except Rejected as rejected:
                yield Unusable(stamp_ns, str(rejected))

    def _walk(self, levels: bool = True) -> Iterator[tuple[Taken, Cameras]]:
        """Yield what was taken, with cameras that have heard all that was recorded before."""
        names = [image for image, _ in self._topics.cameras]
        cameras = Cameras(self._node, False, self._rows, self._mounts, names)
        sets = ImageSets(len(names), cameras.sync_s)
        infos = {info: intrinsics.update for (_, info), intrinsics in zip(
            self._topics.cameras, cameras.intrinsics)}
        heard = (*names, *infos, self._topics.imu) if levels else tuple(names)
        for recorded in self._recording.messages(filter(None, heard)):
            try:
                taken = self._add(recorded, cameras, infos, names, sets)
            except ValueError:
                continue  # a damaged message
            if taken is not None:
                yield taken, cameras

    def _add(self, recorded: Recorded, cameras: Cameras, infos: dict, names: list[str],
             sets: ImageSets) -> Taken | None:
        message = recorded.message()
        if recorded.topic in infos:
            infos[recorded.topic](message)
        elif recorded.topic == self._topics.imu:
            mount = self._vehicle.of_sensor(message.header.frame_id)[1]
            cameras.attitude.add(message, mount)
        elif len(names) == 1:
            return message
        else:
            return sets.add(names.index(recorded.topic), 'bag', message)
        return None

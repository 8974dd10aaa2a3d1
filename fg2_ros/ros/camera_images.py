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

"""From image messages of a vehicle's cameras to level images for the localizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Sequence

from fg2_ros.cameras.cameras import EquirectangularCamera, FisheyeCamera, PinholeCamera, Ring
from fg2_ros.cameras.lenses import optical_from_body
from fg2_ros.cameras.levelling import LevelImage, tilt_of
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros import conversions
from fg2_ros.ros.attitude import Attitude
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.image_sets import AnyImage, ImageSet
from fg2_ros.ros.intrinsics import Intrinsics
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.serialized_image import SerializedImage
import numpy as np
from tf_transformations import quaternion_matrix

LYING_RAD = np.radians(5.0)  # around the tilt that mistaken axes (body, optical) lead to
MIN_ROWS = 640  # of panoramas that are made: twice those of the shipped network


class Mounts(Protocol):
    """Knows where the sensors are on the vehicle."""

    def mount(self, base_frame: str, sensor_frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return (translation (3,), quaternion (4,) x y z w) of a sensor on the vehicle.

        :raises NoTransform: if it is not known.
        """


@dataclass(frozen=True, eq=False)
class CameraImage:
    """
    A level image with the pose and the intrinsics of its camera.

    :param image: (H, W, 3) uint8 RGB, level.
    :param base_from_camera: where the camera is on the vehicle, in the plane.
    :param camera_k: (3, 3) intrinsics of a pinhole camera; None for a panorama.
    :param seen: (h, w) bool over a panorama, of any size: which parts were imaged; None: all.
    """

    stamp_ns: int
    image: np.ndarray
    base_from_camera: Pose2
    camera_k: np.ndarray | None = None
    seen: np.ndarray | None = None


class Cameras:
    """
    The cameras of a vehicle.

    :param is_pinhole: whether the weights are for a pinhole camera.
    :param rows: of the network's images.
    :param topics: of the images, which may tell whether they are rectified.
    :raises ValueError: if settings make no sense, or their files cannot be used.
    """

    def __init__(self, settings: NodeSettings, is_pinhole: bool, rows: int, mounts: Mounts,
                 topics: Sequence[str] = ()):
        """Compute what does not depend on the images."""
        self._settings, self._mounts = settings, mounts
        self.attitude = Attitude()
        wanted, height = settings.camera, max(rows, MIN_ROWS)
        names = topics or wanted.topics or ('image',)
        self.intrinsics = [Intrinsics(_rectified(wanted.rectified, name)) for name in names]
        self._pinhole = PinholeCamera(wanted) if is_pinhole else None
        self._ring: Ring | None = None
        self._panoramic: EquirectangularCamera | FisheyeCamera | None = None
        _require_consistent(settings, is_pinhole)
        if wanted.layout == 'ring':
            self._ring = Ring(wanted, height)
        elif wanted.layout == 'fisheye':
            self._panoramic = FisheyeCamera(wanted, height)
        elif not is_pinhole:
            self._panoramic = EquirectangularCamera(wanted, height)

    @property
    def sync_s(self) -> float:
        """Return by how much stamps of images that were taken at once may differ."""
        return self._settings.camera.sync_s

    @property
    def need_info(self) -> bool:
        """Whether a camera_info is needed for each image."""
        return self._panoramic is None

    def image_of(self, message: AnyImage | ImageSet) -> CameraImage:
        """
        Return a level image and where its camera is.

        :raises Rejected: if something is lacking, or the image cannot be used.
        """
        images = message.images if isinstance(message, ImageSet) else (message,)
        at_ns = conversions.stamp_ns(message.header.stamp)
        pixels = [None if image is None else _pixels(image) for image in images]
        turn = self._level_from_base(at_ns)
        places = [None if image is None else self._mount(image) for image in images]
        try:
            level = self._level(pixels, places, turn)
        except ValueError as error:
            raise Rejected('image', str(error)) from error
        x, y, _ = np.mean([place[0] for place in places if place is not None], axis=0)
        return CameraImage(at_ns, level.pixels, Pose2(float(x), float(y), level.yaw_rad),
                           level.camera_k, level.seen)

    def _level(self, pixels: list, places: list, level_from_base: np.ndarray) -> LevelImage:
        """Return what the layout's camera makes of the images of all cameras."""
        if self._ring is not None:
            turns = np.stack([np.eye(3) if place is None else place[1] for place in places])
            return self._ring.level(
                pixels, [each if each is None else self._calibration(index, each)
                         for index, each in enumerate(pixels)], turns, level_from_base)
        (image,), ((_, base_from_camera),) = pixels, places
        if self._pinhole is not None:
            return self._pinhole.level(image, self._calibration(0, image), base_from_camera)
        assert self._panoramic is not None
        return self._panoramic.level(image, level_from_base @ base_from_camera)

    def _calibration(self, index: int, image: np.ndarray):
        try:
            return self.intrinsics[index].of(image.shape[1], image.shape[0])
        except ValueError as error:
            raise Rejected('camera_info', str(error)) from error

    def _level_from_base(self, at_ns: int) -> np.ndarray:
        if not self._settings.camera.level_with_imu:
            return np.eye(3)
        return self.attitude.level_from_base(at_ns)

    def _mount(self, image: AnyImage) -> tuple[np.ndarray, np.ndarray]:
        """Return translation and rotation of a camera: optical axes in a ring, else body axes."""
        frame = self._settings.camera_frame if self._ring is None else ''
        frame = frame or image.header.frame_id
        if not frame:
            raise Rejected('transform', 'the images name no frame (header.frame_id is empty): '
                           'set the parameter camera_frame')
        try:
            translation, quaternion = self._mounts.mount(self._settings.base_frame, frame)
        except ValueError as error:
            raise Rejected('transform', str(error)) from error
        rotation = quaternion_matrix(quaternion)[:3, :3]
        axes = self._settings.camera_axes
        if self._ring is None and axes == 'optical':
            rotation = rotation @ optical_from_body()
        if self._ring is None and abs(tilt_of(rotation) - np.pi / 2) < LYING_RAD \
                and ('optical' in frame) != (axes == 'optical'):
            raise Rejected('transform', f'the mount of {frame} has the camera lie on its side or '
                           f'look up or down: is camera_axes = {axes!r} right for it?')
        return translation, rotation


def _pixels(image: AnyImage) -> np.ndarray:
    try:
        return conversions.rgb_from_image(
            image.message() if isinstance(image, SerializedImage) else image)
    except ValueError as error:
        raise Rejected('image', str(error)) from error


def _rectified(wanted: str, topic: str) -> bool | None:
    """Return whether the images of a topic are rectified; None if camera_info tells."""
    if wanted == 'auto':
        name = topic.removesuffix('/compressed').rpartition('/')[2]
        return True if 'rect' in name else None
    return wanted == 'yes'


def _require_consistent(settings: NodeSettings, is_pinhole: bool) -> None:
    layout, topics = settings.camera.layout, settings.camera.topics
    if is_pinhole and layout != 'equirectangular':
        raise ValueError(f'camera.layout is {layout}, which makes panoramas, but the weights are '
                         'for a pinhole camera')
    if (layout == 'ring') != bool(topics):
        raise ValueError('camera.topics names the cameras of camera.layout: ring, and only these: '
                         f'the layout is {layout}, the topics are {list(topics)}')

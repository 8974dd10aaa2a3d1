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

"""From messages to poses of base_link without a node: what the node and `fg2 replay` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TYPE_CHECKING

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.prior.tracker import BasePrior, Fix, NoPrior, PriorTracker
from fg2_ros.ros import conversions
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.intrinsics import Intrinsics
from fg2_ros.ros.loading import Loaded
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.transforms import base_from_camera_estimate, planar_mount
from nav_msgs.msg import Odometry
import numpy as np
from sensor_msgs.msg import Image, Imu, NavSatFix
from std_msgs.msg import Header

if TYPE_CHECKING:
    from fg2_ros.localizer import Estimate


class Mounts(Protocol):
    """Knows where the sensors are on the vehicle."""

    def mount(self, base_frame: str, sensor_frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return (translation (3,), quaternion (4,) x y z w) of a sensor on the vehicle.

        :raises NoTransform: if it is not known.
        """


@dataclass(frozen=True)
class LocalizationInput:
    """
    An image with all that the localizer is to know of it.

    :param image: (H, W, 3) uint8 RGB.
    :param prior: of base_link.
    :param base_from_camera: where the camera is on the vehicle, in the plane.
    :param camera_k: (3, 3) intrinsics of a pinhole camera; None for a panorama.
    """

    stamp_ns: int
    image: np.ndarray
    prior: BasePrior
    base_from_camera: Pose2
    camera_k: np.ndarray | None = None

    @property
    def camera_prior(self) -> Pose2 | None:
        """Return the prior pose of the camera; None where there is no heading."""
        if not self.prior.has_heading:
            return None
        return self.prior.of_camera(self.base_from_camera)[0]

    def base_of(self, estimate: Estimate) -> tuple[Pose2, np.ndarray]:
        """
        Return base_link's pose in the map and its (3, 3) covariance of the camera's estimate.

        :raises Rejected: if the covariance is not a sound one.
        """
        try:
            covariance = conversions.sound_covariance(estimate.covariance)
        except ValueError as error:
            raise Rejected('estimate', str(error)) from error
        camera = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
        return base_from_camera_estimate(camera, covariance, self.base_from_camera)


class Pipeline:
    """
    Takes the messages of a vehicle, keeps the prior, and localizes images.

    Messages may be added from one thread while another one localizes.

    :param mounts: asked whenever a sensor's place on the vehicle is needed.
    """

    def __init__(self, settings: NodeSettings, loaded: Loaded, mounts: Mounts):
        """Start knowing nothing but the datum, if the settings have one."""
        self._settings, self._loaded, self._mounts = settings, loaded, mounts
        self.tracker = PriorTracker(settings.prior)
        self.intrinsics = Intrinsics()
        self._accepted_ns = -1
        if settings.datum:
            self.set_datum(*settings.datum)

    def clear(self) -> None:
        """Forget everything that has a stamp: time has jumped."""
        self.tracker.clear()
        self._accepted_ns = -1

    def set_datum(self, latitude_deg: float, longitude_deg: float) -> None:
        """
        Put the origin of the map there.

        :raises ValueError: if there is no such place.
        """
        self._loaded.localizer.map_frame = MapFrame(latitude_deg, longitude_deg)

    @property
    def map_frame(self) -> MapFrame | None:
        """Return the localizer's map; None before there is a datum."""
        return self._loaded.localizer.map_frame

    # Messages ----------------------------------------------------------------------------------

    def add_fix(self, message: NavSatFix) -> None:
        """
        Remember a fix and fetch the imagery around it; the first one is the datum if none is set.

        :raises ValueError: if it is unusable.
        """
        place = conversions.position_from_fix(message, self._settings.prior)
        lever_m = self.mount_of(message.header.frame_id)[0][:2]
        if self.map_frame is None:
            self.set_datum(place.latitude_deg, place.longitude_deg)
        position_m = self.map_frame.map_from_geodetic(place.latitude_deg, place.longitude_deg)
        self.tracker.add_fix(
            conversions.stamp_ns(message.header.stamp),
            Fix(np.array(position_m), place.sigma_m, tuple(lever_m)))
        self._loaded.localizer.request_imagery(place.latitude_deg, place.longitude_deg)

    def add_odometry(self, message: Odometry) -> None:
        """
        Remember a pose in the odometry frame.

        :raises ValueError: if it is unusable.
        """
        self.tracker.add_odometry(
            conversions.stamp_ns(message.header.stamp), conversions.odometry_from_message(message))

    def add_imu(self, message: Imu) -> None:
        """
        Remember the heading of an IMU.

        :raises ValueError: if it is unusable.
        """
        _, base_from_imu = self.mount_of(message.header.frame_id)
        self.tracker.add_heading(
            conversions.stamp_ns(message.header.stamp),
            *conversions.heading_from_imu(message, self._settings.prior, base_from_imu))

    def mount_of(self, sensor_frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return the mount of a sensor; one that names no frame sits at base_link.

        :raises NoTransform: (a ValueError) if it is not known.
        """
        base_frame = self._settings.base_frame
        return self._mounts.mount(base_frame, sensor_frame or base_frame)

    # Images ------------------------------------------------------------------------------------

    def input_of(self, image: Image) -> LocalizationInput:
        """
        Return an image with its prior.

        :raises Rejected: if it is not newer than the last pose, or if something is lacking.
        """
        stamp_ns = conversions.stamp_ns(image.header.stamp)
        if stamp_ns <= self._accepted_ns:
            raise Rejected('order', 'an image is not newer than the last published pose')
        pixels = self._pixels(image)
        base_from_camera = self._camera_mount(image.header)
        prior = self._prior(stamp_ns)
        return LocalizationInput(stamp_ns, pixels, prior, base_from_camera, self._camera_k(image))

    def estimate(self, inputs: LocalizationInput) -> Estimate:
        """
        Localize the camera.

        :raises Rejected: if there is no imagery, or the image cannot be used.
        """
        from fg2_ros.localizer import MapPrior
        camera, sigma_m = inputs.prior.of_camera(inputs.base_from_camera)
        prior = MapPrior(camera, sigma_m, inputs.prior.yaw_sigma_rad)
        try:
            return self._loaded.localizer.estimate(inputs.image, prior, inputs.camera_k)
        except ImageryError as error:
            raise Rejected('imagery', str(error)) from error
        except ValueError as error:
            raise Rejected('image', str(error)) from error

    def accept(self, stamp_ns: int, base: Pose2, covariance: np.ndarray) -> None:
        """Let later priors stand on an estimate of base_link."""
        self._accepted_ns = stamp_ns
        self.tracker.add_estimate(stamp_ns, base, covariance)

    def _pixels(self, image: Image) -> np.ndarray:
        try:
            return conversions.rgb_from_image(image)
        except ValueError as error:
            raise Rejected('image', str(error)) from error

    def _camera_mount(self, header: Header) -> Pose2:
        frame = self._settings.camera_frame or header.frame_id
        if not frame:
            raise Rejected('transform', 'the images name no frame (header.frame_id is empty): '
                           'set the parameter camera_frame')
        try:
            mount = self._mounts.mount(self._settings.base_frame, frame)
            return planar_mount(*mount, self._settings.camera_axes)
        except ValueError as error:
            raise Rejected('transform', str(error)) from error

    def _prior(self, stamp_ns: int) -> BasePrior:
        try:
            return self.tracker.at(stamp_ns, needs_heading=not self._loaded.finds_headings)
        except NoPrior as error:
            raise Rejected('prior', str(error)) from error

    def _camera_k(self, image: Image) -> np.ndarray | None:
        """Return the intrinsics of a pinhole camera; None for a panorama."""
        if not self._loaded.needs_intrinsics:
            return None
        try:
            return self.intrinsics.of(image)
        except ValueError as error:
            raise Rejected('camera_info', str(error)) from error

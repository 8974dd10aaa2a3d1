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

"""From messages to poses of base_link without a node, for the node and for `fg2 replay`."""

from __future__ import annotations

from dataclasses import replace
import threading
from typing import Sequence, TYPE_CHECKING

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import AerialPatch, ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.camera_images import CameraImage, Cameras, Mounts
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.fix_guard import FixGuard, Position, require_position
from fg2_ros.ros.headings import Headings, Yaw
from fg2_ros.ros.image_sets import AnyImage, ImageSet
from fg2_ros.ros.loading import are_out_of_domain, Loaded
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.vehicle_mounts import VehicleMounts
from fg2_ros.ros.velocities import Velocities
from fg2_ros.tracker.inputs import Fix
from fg2_ros.tracker.results import Rejection, TrackedPose
from fg2_ros.tracker.settings import Calibration, TrackerSettings
from fg2_ros.tracker.tracker import Tracker
from geometry_msgs.msg import PoseWithCovarianceStamped, QuaternionStamped
from nav_msgs.msg import Odometry
import numpy as np
from sensor_msgs.msg import Imu, NavSatFix
from std_msgs.msg import Header

if TYPE_CHECKING:
    from fg2_ros.localizer import Estimate

SHOWN_M, SHOWN_RAD = 1.0, 0.1  # of the prior by which an image's matches are shown
OUTDATED = 'time jumped back, or a new search began, while an image was worked on'


class Pipeline:
    """
    Feeds the tracker with a vehicle's messages, and tracks it from image to image.

    Messages may be added from one thread while another one tracks.

    :param mounts: source of the sensors' mounts.
    :param topics: of the images, if they have other names than the settings say.
    :raises ValueError: if settings make no sense.
    """

    def __init__(self, settings: NodeSettings, loaded: Loaded, mounts: Mounts,
                 topics: Sequence[str] = ()):
        """Start knowing nothing but the datum, if the settings have one."""
        self._settings, self._loaded = settings, loaded
        self.vehicle = VehicleMounts(mounts, settings.base_frame)
        self.tracker = new_tracker(settings, loaded)
        self.headings = Headings(self.tracker)
        self.headings.least_speed_mps = settings.sensors.course_min_speed_mps
        self.altitude: conversions.Altitude | None = None  # of the last fix that had one
        self._fixes, self._velocities = FixGuard(), Velocities()
        self._datum_lock = threading.Lock()
        self._has_posed = False  # from then on the datum stays
        self.cameras = Cameras(
            settings, loaded.needs_intrinsics, loaded.localizer.config.ground_image_hw[0], mounts,
            topics)
        if settings.datum:
            self.set_datum(*settings.datum)

    def clear(self) -> None:
        """Forget everything that has a stamp: time has jumped."""
        self.tracker.clear()
        self.altitude = None
        self.headings.clear()
        self._fixes.clear()
        self._velocities.clear()
        self.cameras.attitude.clear()

    def apply(self, settings: NodeSettings) -> None:
        """Go on with other settings; what is known stays."""
        self._settings = settings
        self.headings.least_speed_mps = settings.sensors.course_min_speed_mps
        self.tracker.reconfigure(tracker_settings(settings, self._loaded))

    def set_datum(self, latitude_deg: float, longitude_deg: float) -> MapFrame:
        """
        Put the origin of the map there, and return the map.

        :raises ValueError: if there is no such place.
        """
        frame = MapFrame(latitude_deg, longitude_deg, self._settings.map_projection)
        self._loaded.localizer.map_frame = frame
        return frame

    def drop_datum(self) -> None:
        """Let the next fix be the origin of the map."""
        self._has_posed = False
        self._loaded.localizer.map_frame = None

    @property
    def map_frame(self) -> MapFrame | None:
        """Return the localizer's map; None before there is a datum."""
        return self._loaded.localizer.map_frame

    # Messages ----------------------------------------------------------------------------------

    def add_fix(self, message: NavSatFix) -> None:
        """
        Remember a fix and fetch the imagery around it; the first one is the datum if none is set.

        Where later ones show that the first was wrong, and there was no pose yet, they are.

        :raises ValueError: if it is unusable.
        """
        position = conversions.position_from_fix(message, self._settings.sensors)
        lever_m = self.mount_of(message.header.frame_id)[0]
        admitted = self._fixes.admit(position)
        if len(admitted) > 1:
            self._begin_elsewhere(position)
        frame = self.map_frame or self.set_datum(position.latitude_deg, position.longitude_deg)
        for each in admitted:
            place_m = frame.map_from_geodetic(each.latitude_deg, each.longitude_deg)
            fix = Fix(np.array(place_m), each.sigma_m, tuple(lever_m[:2]))
            self.tracker.add_fix(each.stamp_ns, fix)
            self.headings.add_fix(each.stamp_ns, fix)
        if admitted:
            self.altitude = conversions.altitude_from_fix(message, lever_m[2]) or self.altitude
        self._loaded.localizer.request_imagery(position.latitude_deg, position.longitude_deg)

    def _begin_elsewhere(self, position: Position) -> None:
        """Drop what the first, wrong fixes have led to, unless there were poses."""
        with self._datum_lock:
            if self._has_posed:
                return
            self.tracker.clear()
            self.headings.clear()
            if not self._settings.datum:
                self.set_datum(position.latitude_deg, position.longitude_deg)

    def add_odometry(self, message: Odometry) -> None:
        """
        Remember a pose in the odometry frame.

        :raises ValueError: if it is unusable.
        """
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        mount = self.vehicle.of_odometry(message.child_frame_id)
        self.tracker.add_odometry(stamp_ns, self._velocities.completed(
            stamp_ns, conversions.odometry_from_message(message, *mount)))

    def add_imu(self, message: Imu) -> None:
        """
        Remember the heading of an IMU, and roll and pitch.

        :raises ValueError: if it is unusable.
        """
        _, base_from_imu = self.mount_of(message.header.frame_id)
        self.cameras.attitude.add(message, base_from_imu)
        self.headings.add('imu', conversions.stamp_ns(message.header.stamp), Yaw(
            *conversions.heading_from_imu(message, self._settings.sensors, base_from_imu)))

    def add_heading(self, message: QuaternionStamped) -> None:
        """
        Remember the heading of a sensor whose frame TF connects with base_link.

        :raises ValueError: if it is unusable.
        """
        _, base_from_sensor = self.mount_of(message.header.frame_id)
        self._add_heading('heading', message.header, conversions.heading_of(
            message.quaternion, 0.0, self._settings.sensors, base_from_sensor))

    def add_heading_pose(self, message: PoseWithCovarianceStamped) -> None:
        """
        Remember the heading of a pose of base_link in axes that look east and north.

        :raises ValueError: if it is unusable.
        """
        pose = message.pose
        if conversions.is_unset(pose.pose.orientation, pose.covariance):
            raise ValueError('the pose has the identity for its orientation and a covariance of '
                             'zeros, which is what is left in if there is none: no heading')
        self._add_heading('heading_pose', message.header, conversions.heading_of(
            pose.pose.orientation, pose.covariance[35], self._settings.sensors))

    def _add_heading(self, source: str, header: Header, heading: tuple[float, float]) -> None:
        self.headings.add(source, conversions.stamp_ns(header.stamp), Yaw(*heading))

    def add_second_fix(self, message: NavSatFix) -> None:
        """
        Remember a fix of a second antenna, which makes a heading with one of the first.

        :raises ValueError: if it is unusable.
        """
        place = conversions.position_from_fix(message, self._settings.sensors)
        require_position(place)
        lever_m = self.mount_of(message.header.frame_id)[0][:2]
        if self.map_frame is not None:
            position_m = self.map_frame.map_from_geodetic(place.latitude_deg, place.longitude_deg)
            self.headings.add_second_fix(
                conversions.stamp_ns(message.header.stamp),
                Fix(np.array(position_m), place.sigma_m, tuple(lever_m)))

    def mount_of(self, sensor_frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return the mount of a sensor; one that names no frame sits at base_link.

        :raises NoTransform: (a ValueError) if it is not known.
        """
        return self.vehicle.of_sensor(sensor_frame)

    # Images ------------------------------------------------------------------------------------

    def camera_image(self, message: AnyImage | ImageSet) -> CameraImage:
        """
        Return the pixels of an image, or of a set of them, and where the camera is.

        :raises Rejected: if something is lacking, or the image cannot be used.
        """
        return self.cameras.image_of(message)

    def track(self, image: CameraImage) -> TrackedPose:
        """
        Update the tracker with an image and return the pose at its stamp.

        :raises Rejected: if there is no pose that may be published.
        """
        frame, plan = self.map_frame, self.tracker.search(
            image.stamp_ns, image.base_from_camera)
        if isinstance(plan, Rejection):
            raise rejected(plan)
        try:
            observation = self._loaded.localizer.observe(
                image.image, plan, image.base_from_camera, image.camera_k, image.seen)
        except ImageryError as error:
            raise Rejected('imagery', str(error)) from error
        except ValueError as error:
            raise Rejected('image', str(error)) from error
        if not all(np.isfinite(volume.values).all() for volume in observation.known):
            raise Rejected('image', 'what the network says of the image is not finite')
        try:
            result = self.tracker.update(image.stamp_ns, observation)
        except ValueError:
            raise Rejected('order', OUTDATED) from None
        if isinstance(result, Rejection):
            raise rejected(result)
        return self._settled(with_sound_covariances(result), frame)

    def _settled(self, pose: TrackedPose, frame: MapFrame | None) -> TrackedPose:
        """
        Return a pose, for which the datum stays from now on.

        :raises Rejected: if the datum has moved meanwhile.
        """
        with self._datum_lock:
            if self.map_frame != frame:
                raise Rejected('order', 'the datum moved while an image was worked on')
            self._has_posed = True
        return pose

    def explain(self, image: CameraImage, base: Pose2) -> Estimate:
        """
        Localize an image alone, near where the vehicle is believed to be, to show its matches.

        :raises ImageryError: if there is no imagery.
        :raises ValueError: if the image cannot be used.
        """
        from fg2_ros.localizer import MapPrior
        prior = MapPrior(base.compose(image.base_from_camera), SHOWN_M, SHOWN_RAD)
        return self._loaded.localizer.estimate(
            image.image, prior, image.camera_k, image.seen)

    def aerial_patch(self, base: Pose2) -> AerialPatch:
        """
        Return the aerial patch that images at a pose are compared with.

        :raises ImageryError: if there is none.
        """
        return self._loaded.localizer.aerial_patch(base[:2])


def rejected(rejection: Rejection) -> Rejected:
    """Return why no pose comes of an image, with what is wrong with the inputs."""
    return Rejected(rejection.kind, '; '.join((rejection.sentence, *rejection.remarks)))


def with_sound_covariances(pose: TrackedPose) -> TrackedPose:
    """
    Return a pose whose covariances are as symmetric and positive definite as a filter needs.

    :raises Rejected: if they are not finite.
    """
    measurement = pose.measurement
    try:
        if measurement is not None:
            measurement = replace(
                measurement, covariance=conversions.sound_covariance(measurement.covariance))
        return replace(pose, covariance=conversions.sound_covariance(pose.covariance),
                       measurement=measurement)
    except ValueError as error:
        raise Rejected('estimate', str(error)) from error


def new_tracker(settings: NodeSettings, loaded: Loaded) -> Tracker:
    """Return a tracker of a node's settings, calibrated as the weights say."""
    return Tracker(tracker_settings(settings, loaded), loaded.localizer.config.cell_m)


def tracker_settings(settings: NodeSettings, loaded: Loaded) -> TrackerSettings:
    """
    Return the part of a node's settings that the tracker has, with the weights' calibration.

    That of weights which saw nothing but simulation says nothing of a real camera.
    """
    metadata = loaded.localizer.metadata
    calibration = Calibration.of(metadata)
    if are_out_of_domain(metadata, settings.simulated_camera):
        calibration = calibration.with_caution()
    return TrackerSettings(
        settings.motion, settings.prior, settings.publication, calibration)

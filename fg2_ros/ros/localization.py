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

"""Following the vehicle while the node is configured: images in, poses and map -> odom out."""

from __future__ import annotations

from contextlib import contextmanager
import math
import threading
import time
import traceback
from typing import Iterator, NamedTuple

from builtin_interfaces.msg import Time
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.diagnostics import Health, Rejected
from fg2_ros.ros.image_inputs import ImageInputs
from fg2_ros.ros.image_sets import ImageSet
from fg2_ros.ros.initial_pose import pose_in_map
from fg2_ros.ros.inputs import Input, Inputs
from fg2_ros.ros.loading import Loaded
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.other_origins import OtherOrigins
from fg2_ros.ros.outputs import LATCHED_QOS, Outputs
from fg2_ros.ros.pipeline import CameraImage, OUTDATED, Pipeline
from fg2_ros.ros.transforms import map_from_odom, NoTransform, OdometryPose, Transforms
from fg2_ros.ros.worker import Worker
from fg2_ros.tracker.remarks import NOTES
from fg2_ros.tracker.results import TrackedPose
from geometry_msgs.msg import PoseWithCovarianceStamped, QuaternionStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.timer import Timer
from sensor_msgs.msg import Imu, NavSatFix
from std_msgs.msg import Header

INITIAL_POSE_QOS = QoSProfile(depth=1)
LAST_IMAGE_S = 0.5  # is all that the image at hand gets after Ctrl-C
STAMP_BELIEVED_NS = 10 * 10 ** 9  # an initial pose that is older, or of another clock, is of now


class Arrival(NamedTuple):
    """Images of one time, with the time and the epoch of their arrival."""

    image: ImageSet
    epoch: int  # grows with each reset, so that poses of earlier images are dropped
    monotonic_s: float


class Parts(NamedTuple):
    """What a configured node is made of."""

    settings: NodeSettings
    loaded: Loaded
    transforms: Transforms
    outputs: Outputs
    pipeline: Pipeline

    def close(self) -> None:
        """Give everything back."""
        self.outputs.close()
        self.transforms.close()
        self.loaded.close()


class Localization:
    """
    Follows the vehicle.

    Callbacks only store what arrived; one worker thread does the rest.

    :param parts: closed with it.
    """

    def __init__(self, node: LifecycleNode, parts: Parts, health: Health):
        """Know nothing yet."""
        self.parts = parts
        self._node, self._health = node, health
        self._worker: Worker | None = None
        self._broadcast_timer: Timer | None = None
        self._was_lost = True  # since the last pose
        self._epoch = 0
        self._epoch_lock = threading.Lock()  # keeps a pose and its epoch together
        self._is_paused = False
        self.inputs = Inputs(node, health, self.start_again)
        self.other_origins = OtherOrigins(node, parts.settings.map_frame)
        self._images = ImageInputs(node, parts.settings.camera, self._on_images)

    def listen(self) -> None:
        """Listen to the sensors; images are worked on only between `start` and `stop`."""
        if self.parts.pipeline.map_frame is not None:
            self._announce_datum(self.parts.pipeline.map_frame)
        self.inputs.listen(self._topics())

    def _topics(self) -> list[Input]:
        """Return the topics to subscribe to."""
        pipeline = self.parts.pipeline
        inputs = [
            *self._images.image_topics(),
            Input(NavSatFix, 'fix', self._on_fix),
            Input(Odometry, 'odom', pipeline.add_odometry),
            Input(Imu, 'imu', self._on_imu),
            Input(QuaternionStamped, 'heading', pipeline.add_heading),
            Input(PoseWithCovarianceStamped, 'heading_pose', pipeline.add_heading_pose),
            Input(NavSatFix, 'fix_second', pipeline.add_second_fix),
            Input(PoseWithCovarianceStamped, 'initialpose', self._on_initial_pose,
                  INITIAL_POSE_QOS, carries_time=False),
            Input(NavSatFix, 'datum', self.other_origins.on_datum, LATCHED_QOS,
                  carries_time=False)]
        if pipeline.cameras.need_info:
            inputs += self._images.calibration_topics(pipeline.cameras.intrinsics)
        return inputs

    def start(self) -> None:
        """Start to publish and to take images."""
        self._health.reset()
        if self.parts.pipeline.map_frame is not None:
            self.parts.outputs.publish_datum(self.parts.pipeline.map_frame)
        self._is_paused = False
        self._worker = Worker(self._work)
        self._start_broadcast()

    def stop(self) -> None:
        """Finish the image at hand, unless Ctrl-C was pressed; sensors are still listened to."""
        self._stop_broadcast()
        if self._worker is not None:
            self._worker.stop(None if self._node.context.ok() else LAST_IMAGE_S)
            self._worker = None

    def close(self) -> None:
        """Give everything back."""
        self.stop()
        self.inputs.close()
        self.other_origins.close()
        self.parts.close()

    @property
    def dropped(self) -> int:
        """Return how many images a newer one has replaced before they were worked on."""
        return self._worker.mailbox.dropped if self._worker is not None else 0

    def input_diagnostics(self) -> dict[str, str]:
        """Return what diagnostics show of the inputs besides their rates."""
        settings, tracker = self.parts.settings, self.parts.pipeline.tracker
        now_ns, (offset_m, turn_rad) = self.inputs.now_ns(), tracker.offsets()
        values = {
            'images dropped for newer ones': str(self.dropped), 'prior': tracker.prior(now_ns),
            'heading from': self.parts.pipeline.headings.summary, **self.inputs.clocks(),
            **self.parts.transforms.state(settings.odom_frame, settings.base_frame, now_ns)}
        if offset_m is not None:
            values['GNSS less pose [m]'] = f'{offset_m[0]:+.1f} east, {offset_m[1]:+.1f} north'
        if turn_rad is not None:
            values['heading less pose [deg]'] = f'{math.degrees(turn_rad):+.1f}'
        return values

    def _start_broadcast(self) -> None:
        if self.parts.settings.publish_tf:
            self._broadcast_timer = self._node.create_timer(
                1 / self.parts.settings.transform.rate_hz, self._broadcast,
                clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _stop_broadcast(self) -> None:
        if self._broadcast_timer is not None:
            self._node.destroy_timer(self._broadcast_timer)
            self._broadcast_timer = None

    # Callbacks: nothing here may take time -----------------------------------------------------

    def _on_images(self, images: ImageSet) -> None:
        if self._worker is not None and not self._is_paused:
            self._worker.mailbox.put(Arrival(images, self._epoch, time.monotonic()))

    def _on_fix(self, message: NavSatFix) -> None:
        before = self.parts.pipeline.map_frame
        self.parts.pipeline.add_fix(message)
        frame = self.parts.pipeline.map_frame
        if frame is not None and frame != before:
            if before is not None:
                self._node.get_logger().warning(
                    'the first fixes were wrong, as the later ones show: the datum moves')
            self._announce_datum(frame)
            self.parts.outputs.publish_datum(frame)

    def _on_imu(self, message: Imu) -> None:
        try:
            self.parts.pipeline.add_imu(message)
        except conversions.NoHeading as error:
            self._health.note('IMU', str(error))
        else:
            self._health.note('IMU', '')

    # Requests of an operator -------------------------------------------------------------------

    def reset(self) -> str:
        """Forget all that was heard and seen, but not the datum; return what was done."""
        self.start_again('a reset was asked for')
        return 'forgot the pose and all inputs; a new search begins'

    def relocalize(self) -> str:
        """Forget where the vehicle is, but not what was heard; return what was done."""
        sigma_m = self.parts.settings.relocalize_sigma_m
        with self._new_epoch():
            self.parts.pipeline.tracker.relocalize(sigma_m or None)
        around = f'within {sigma_m:g} m (one sigma) of' if sigma_m else 'around'
        when = ' once images are taken again' if self._is_paused else ''
        return f'forgot the pose; a new search {around} GNSS begins{when}'

    def pause(self, paused: bool) -> str:
        """Take no images, or take them again; return what was done."""
        if self._worker is None:
            raise ValueError('the node is not active: it takes no images anyway')
        self._is_paused, self._health.state = paused, 'paused' if paused else 'active'
        if not paused:
            return 'images are taken again'
        self._worker.mailbox.clear()
        return 'paused: no image is taken; GNSS and odometry are still listened to'

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        """Start from a given pose, as RViz sends it, and log each time what came of it."""
        try:
            self._search_at(message)
        except ValueError as error:
            self._node.get_logger().warning(str(error))

    def _search_at(self, message: PoseWithCovarianceStamped) -> None:
        """
        Look for the vehicle around a pose.

        :raises ValueError: if it cannot be used.
        """
        if self.parts.pipeline.map_frame is None:
            raise ValueError('initialpose cannot be used yet: the map has no origin before there '
                             'is a datum or a fix')
        pose, covariance = pose_in_map(
            message, self.parts.settings.map_frame, self.parts.transforms)
        now_ns, stamp_ns = self.inputs.now_ns(), conversions.stamp_ns(message.header.stamp)
        if abs(now_ns - stamp_ns) > STAMP_BELIEVED_NS:
            stamp_ns = now_ns
        with self._new_epoch():
            self.parts.pipeline.tracker.set_pose(stamp_ns, pose, covariance)
        self._node.get_logger().info(
            f'initialpose: searching around ({pose.x:.1f} m, {pose.y:.1f} m), yaw '
            f'{math.degrees(pose.yaw):.0f} degrees in {self.parts.settings.map_frame}')

    def apply(self, settings: NodeSettings) -> None:
        """Go on with other settings."""
        before = self.parts.settings
        self.parts = self.parts._replace(settings=settings)
        self.parts.pipeline.apply(settings)
        self.parts.outputs.apply(settings)
        if settings.transform.rate_hz != before.transform.rate_hz and self._broadcast_timer:
            self._stop_broadcast()
            self._start_broadcast()
        if settings.datum != before.datum:
            self._move_origin(settings.datum)

    def _move_origin(self, datum: tuple) -> None:
        """Move the origin of the map, and forget everything that was in the map."""
        frame = self.parts.pipeline.set_datum(*datum) if datum else None
        if frame is None:
            self.parts.pipeline.drop_datum()
        self.start_again('the datum has changed')
        if frame is not None:
            self._announce_datum(frame)
            self.parts.outputs.publish_datum(frame)

    # Time --------------------------------------------------------------------------------------

    def start_again(self, why: str) -> None:
        """Forget everything that has a stamp: a recording is played again."""
        self._node.get_logger().info(f'{why}: starting again')
        with self._new_epoch():
            self.parts.pipeline.clear()
        self.parts.transforms.clear()
        self.parts.outputs.forget_path()
        self._images.clear()
        self.inputs.forget_time()

    @contextmanager
    def _new_epoch(self) -> Iterator[None]:
        """Invalidate images that are being processed; the next pose may be anywhere."""
        with self._epoch_lock:
            self._epoch += 1
            yield
            self.parts.outputs.held.drop()
            self._was_lost = True
        if self._worker is not None:
            self._worker.mailbox.clear()

    def notice_other_origins(self) -> None:
        """Warn if others place the origin of the map elsewhere."""
        complaint = self.other_origins.complaint(self.parts.pipeline.map_frame)
        if complaint:
            self._health.trouble('datum', complaint)

    def _announce_datum(self, frame: MapFrame) -> None:
        latitude_deg, longitude_deg = frame.datum
        self._health.notes['datum'] = f'{latitude_deg:.8f}, {longitude_deg:.8f}'
        self._node.get_logger().info(
            f'the origin of {self.parts.settings.map_frame} is at latitude {latitude_deg:.8f}, '
            f'longitude {longitude_deg:.8f}')

    # The worker thread -------------------------------------------------------------------------

    def _work(self, arrival: Arrival) -> None:
        """Process an image; whatever happens, the thread goes on to the next."""
        try:
            self.process(arrival)
        except Rejected as rejection:
            self._was_lost |= rejection.kind == 'start'
            self._health.image_rejected(rejection)
        except Exception:
            if self._node.context.ok():
                self._health.image_rejected(Rejected('bug', traceback.format_exc()))

    def process(self, arrival: Arrival) -> None:
        """
        Turn an image into a pose.

        :raises Rejected: if no pose comes of it, with the reason.
        """
        image = self.parts.pipeline.camera_image(arrival.image)
        pose = self.parts.pipeline.track(image)
        self._publish(arrival, pose)
        self._health.note(
            'drive', '; '.join(remark for remark in pose.remarks if remark in NOTES))
        for remark in pose.remarks:
            if remark not in NOTES:
                self._health.trouble('inputs', remark)
        if self.parts.outputs.are_pictures_due:
            self._show(arrival.image.header, image, pose)

    def _publish(self, arrival: Arrival, pose: TrackedPose) -> None:
        """Publish where base_link is, at the stamp of the image."""
        header = arrival.image.header
        odometry = self._odometry_pose(header)
        with self._epoch_lock:
            frame = self.parts.pipeline.map_frame
            if arrival.epoch != self._epoch or frame is None:
                raise Rejected('order', OUTDATED)
            if self.parts.settings.publish_tf:
                self._correct(header.stamp, pose.base, odometry.pose)
            self.parts.outputs.publish_pose(
                header.stamp, pose, odometry, frame, self.parts.pipeline.altitude)
            self._was_lost = False
        self._health.pose_published(pose, time.monotonic() - arrival.monotonic_s)

    def _correct(self, stamp: Time, base: Pose2, odom_from_base: Pose2) -> None:
        """Let map -> odom follow a pose; where there was none, from the stamp of its image on."""
        outputs, now_ns = self.parts.outputs, self.inputs.now_ns()
        begins = self._was_lost or outputs.held.is_empty
        jumped = self._was_lost or outputs.held.is_far(now_ns / 1e9, base, odom_from_base)
        outputs.held.correct(now_ns / 1e9, map_from_odom(base, odom_from_base), jumped)
        if begins:
            outputs.broadcast(now_ns, since=stamp)

    def _show(self, header: Header, image: CameraImage, pose: TrackedPose) -> None:
        """Publish the pictures for RViz and Foxglove."""
        outputs, pipeline = self.parts.outputs, self.parts.pipeline
        try:
            found = pipeline.explain(image, pose.base) if outputs.want_matches else None
            patch = found.patch if found else pipeline.aerial_patch(pose.base)
            outputs.publish_pictures(header, image.image, patch, found)
        except (ImageryError, ValueError) as error:
            self._health.trouble('matches', f'the matches cannot be shown: {error}')

    def _broadcast(self) -> None:
        """Repeat map -> odom; executor's thread."""
        settings, outputs = self.parts.settings, self.parts.outputs
        with self._epoch_lock:
            was_held = not outputs.held.is_empty
            if outputs.broadcast(self.inputs.now_ns()) or not was_held:
                return
            outputs.held.drop()
        self._health.trouble(
            'transform', f'{settings.map_frame} -> {settings.odom_frame} is no longer '
            f'broadcast: there was no pose for {settings.transform.timeout_s:g} s')

    def _odometry_pose(self, header: Header) -> OdometryPose:
        """Return odom_from_base at the image's stamp; not needed where we broadcast nothing."""
        settings = self.parts.settings
        if not settings.publish_tf:
            return OdometryPose(Pose2(0.0, 0.0, 0.0))
        try:
            return self.parts.transforms.odometry_at(
                settings.odom_frame, settings.base_frame, header.stamp, settings.transform.wait_s)
        except NoTransform as error:
            raise Rejected('transform', str(error)) from error

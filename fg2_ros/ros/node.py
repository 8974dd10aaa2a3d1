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

"""The lifecycle node: panoramas, GNSS and odometry in; poses, map -> odom and diagnostics out."""

from __future__ import annotations

from contextlib import closing, ExitStack
import gc
import signal
import sys
import threading
import time
import traceback
from typing import Any, Callable, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.diagnostics import Health, Rejected
from fg2_ros.ros.loading import load_localizer, Loaded, trained_in_simulation, trained_on
from fg2_ros.ros.log_bridge import LogBridge
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.other_origins import OtherOrigins
from fg2_ros.ros.outputs import Outputs, RESULT_QOS
from fg2_ros.ros.parameters import Parameters
from fg2_ros.ros.pipeline import CameraImage, Pipeline
from fg2_ros.ros.transforms import map_from_odom, NoTransform, OdometryPose, Transforms
from fg2_ros.ros.worker import keep_memory, Worker
from fg2_ros.tracker.results import TrackedPose
from nav_msgs.msg import Odometry
import rclpy
from rclpy.clock import Clock, ClockType, JumpHandle, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image, Imu, NavSatFix
from std_msgs.msg import Header

NEWEST_IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
SENSOR_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
TIME_JUMP_S = 1.0  # an input whose stamps go back this far has been started again

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Arrival(NamedTuple):
    """An image with what is known only on its arrival."""

    image: Image
    epoch: int  # grows when time jumps back
    monotonic_s: float


class Parts(NamedTuple):
    """What a configured node is made of."""

    settings: NodeSettings
    loaded: Loaded
    transforms: Transforms
    other_origins: OtherOrigins
    outputs: Outputs
    pipeline: Pipeline

    def close(self) -> None:
        """Give everything back."""
        self.outputs.close()
        self.other_origins.close()
        self.transforms.close()
        self.loaded.close()


class FG2Node(LifecycleNode):
    """
    Localize a vehicle in aerial imagery.

    Callbacks only note what arrived; one worker thread does what takes time.

    :param load: makes the localizer out of the settings; tests give another one.
    :param options: of `rclpy.node.Node`.
    """

    def __init__(self, load: Callable[[NodeSettings], Loaded] = load_localizer, **options: Any):
        """Declare the parameters; everything else is made by the transitions."""
        super().__init__('fg2', **options)
        self._load = load
        self._user_parameters = Parameters(self, NodeSettings())
        self._health = Health(self.get_logger())
        self._parts: Parts | None = None
        self._worker: Worker | None = None
        self._inputs: list = []
        self._broadcast_timer: Timer | None = None
        self._log_bridge: LogBridge | None = None
        self._jumps: JumpHandle | None = None
        self._newest_ns: dict[str, int] = {}
        self._was_lost = True  # since the last pose
        self._epoch = 0
        self._epoch_lock = threading.Lock()  # a pose is of the epoch it is published in
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', RESULT_QOS)
        self._diagnostics_timer = self.create_timer(  # ticks before there is a /clock, too
            1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # Transitions -------------------------------------------------------------------------------

    def autostart(self) -> bool:
        """Configure and activate; return whether the node is active."""
        return self.trigger_configure() == _SUCCESS and self.trigger_activate() == _SUCCESS

    @property
    def wants_autostart(self) -> bool:
        """Whether the parameter asks for `autostart`."""
        return bool(self.get_parameter('autostart').value)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make everything that takes memory or time to make."""
        return self._transition('configure', 'inactive', self._configure, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to publish and to take images."""
        super().on_activate(state)
        return self._transition('activate', 'active', self._start_work, self._stop_work)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the image at hand; GNSS and odometry are still listened to."""
        self._stop_work()
        super().on_deactivate(state)
        return self._transition('deactivate', 'inactive')

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        return self._transition('clean up', 'unconfigured', self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, from any state."""
        return self._transition('shut down', 'finalized', self._release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to the unconfigured state."""
        return self._transition('recover', 'unconfigured', self._release)

    def destroy_node(self) -> None:
        """Give everything back before the node goes."""
        self._release()
        super().destroy_node()

    def _transition(self, name: str, next_state: str, act: Callable[[], None] = lambda: None,
                    undo: Callable[[], None] = lambda: None) -> TransitionCallbackReturn:
        """Act; rclpy swallows exceptions of transitions, so say here what went wrong."""
        try:
            act()
        except Exception as error:
            if not self.context.ok():  # Ctrl-C came first
                undo()
                return _FAILURE
            expected = isinstance(error, (ValueError, OSError, ImageryError))
            self.get_logger().error(
                f'cannot {name}: {error}' if expected else
                f'cannot {name}: {traceback.format_exc()}')
            self._health.setup_error = f'cannot {name}: {error}'
            undo()
            return _FAILURE
        self._health.setup_error = ''
        self._health.state = next_state
        self.get_logger().info(next_state)
        return _SUCCESS

    def _configure(self) -> None:
        self._log_bridge = LogBridge(self.get_logger())
        settings = self._read_parameters()
        self._parts = self._make_parts(settings)
        self._warn_of_simulated_weights()
        if self._pipeline.map_frame is not None:
            self._tell_datum(self._pipeline.map_frame)
        self._create_subscriptions()
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1),
                          on_clock_change=False),
            post_callback=lambda _: self._start_again('the ROS clock went back'))

    def _make_parts(self, settings: NodeSettings) -> Parts:
        """Return all parts; if one cannot be made, what the others hold is given back."""
        with ExitStack() as made:
            loaded = made.enter_context(closing(self._load(settings)))
            transforms = made.enter_context(closing(
                Transforms(self, broadcasts=settings.publish_tf)))
            others = made.enter_context(closing(OtherOrigins(self, settings.map_frame)))
            outputs = made.enter_context(closing(Outputs(self, settings, transforms)))
            parts = Parts(settings, loaded, transforms, others, outputs,
                          Pipeline(settings, loaded, transforms))
            made.pop_all()
        return parts

    def _start_work(self) -> None:
        self._health.reset()
        if self._pipeline.map_frame is not None:
            self._outputs.publish_datum(self._pipeline.map_frame)
        self._worker = Worker(self._work)
        if self._settings.publish_tf:
            self._broadcast_timer = self.create_timer(
                1 / self._settings.transform.rate_hz, self._broadcast,
                clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _stop_work(self) -> None:
        if self._broadcast_timer is not None:
            self.destroy_timer(self._broadcast_timer)
            self._broadcast_timer = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _release(self) -> None:
        self._stop_work()
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._parts is not None:
            self._parts.close()
            self._parts = None
        if self._log_bridge is not None:
            self._log_bridge.close()
            self._log_bridge = None
        if self._jumps is not None:
            self._jumps.unregister()
            self._jumps = None
        self._forget_time()

    @property
    def _made(self) -> Parts:
        assert self._parts is not None, 'only a configured node has these'
        return self._parts

    @property
    def _settings(self) -> NodeSettings:
        return self._made.settings

    @property
    def _loaded(self) -> Loaded:
        return self._made.loaded

    @property
    def _transforms(self) -> Transforms:
        return self._made.transforms

    @property
    def _outputs(self) -> Outputs:
        return self._made.outputs

    @property
    def _pipeline(self) -> Pipeline:
        return self._made.pipeline

    def _forget_time(self) -> None:
        self._newest_ns.clear()
        self._was_lost = True

    def _read_parameters(self) -> NodeSettings:
        for name in self._user_parameters.unknown():
            self.get_logger().warning(f'there is no parameter {name!r}: is it a typo?')
        return self._user_parameters.read()

    def _warn_of_simulated_weights(self) -> None:
        metadata = self._loaded.localizer.metadata
        self._health.notes['weights trained on'] = trained_on(metadata)
        if trained_in_simulation(metadata) and not self._settings.simulated_camera:
            self.get_logger().warning(
                'the weights were trained on simulation only: do not rely on their poses with a '
                'real camera (set simulated_camera: true if the images are simulated)')

    def _create_subscriptions(self) -> None:
        inputs = [
            (Image, 'image', self._on_image, NEWEST_IMAGE_QOS),
            (NavSatFix, 'fix', self._on_fix, SENSOR_QOS),
            (Odometry, 'odom', self._on_odometry, SENSOR_QOS),
            (Imu, 'imu', self._on_imu, SENSOR_QOS)]
        if self._loaded.needs_intrinsics:
            inputs.append((CameraInfo, 'camera_info', self._pipeline.intrinsics.hear, SENSOR_QOS))
        for kind, topic, callback, qos in inputs:
            self._inputs.append(self.create_subscription(
                kind, topic, self._guarded(topic, callback), qos))

    # Callbacks: nothing here may take time -----------------------------------------------------

    def _guarded(self, topic: str, callback: Callable) -> Callable:
        """Return a callback that no message can make raise, for that would end the node."""
        def guarded(message) -> None:
            try:
                callback(message)
            except (ValueError, ImageryError) as error:
                self._health.trouble(topic, str(error))
            except Exception:
                self._health.trouble(topic, f'{topic}: {traceback.format_exc()}')
        return guarded

    def _on_image(self, image: Image) -> None:
        if self._worker is not None:
            self._health.image_arrived()
            self._worker.mailbox.put(Arrival(image, self._epoch, time.monotonic()))

    def _on_fix(self, message: NavSatFix) -> None:
        self._notice_stamp('fix', message.header)
        before = self._pipeline.map_frame
        self._pipeline.add_fix(message)
        frame = self._pipeline.map_frame
        if before is None and frame is not None:
            self._tell_datum(frame)
            self._outputs.publish_datum(frame)

    def _on_odometry(self, message: Odometry) -> None:
        self._notice_stamp('odom', message.header)
        self._pipeline.add_odometry(message)

    def _on_imu(self, message: Imu) -> None:
        self._notice_stamp('imu', message.header)
        self._pipeline.add_imu(message)

    # Time --------------------------------------------------------------------------------------

    def _notice_stamp(self, topic: str, header: Header) -> None:
        """
        Start again if a sender's stamps go far back: it has been started again.

        :raises ValueError: if the message has no stamp.
        """
        stamp_ns = conversions.stamp_ns(header.stamp)
        if not stamp_ns:
            raise ValueError(f'a message on {topic} has no stamp and is not used')
        newest_ns = self._newest_ns.get(topic, stamp_ns)
        if newest_ns - stamp_ns > TIME_JUMP_S * 1e9:
            self._start_again(f'the stamps of {topic} went back by '
                              f'{(newest_ns - stamp_ns) / 1e9:.1f} s')
        self._newest_ns[topic] = max(stamp_ns, self._newest_ns.get(topic, stamp_ns))

    def _start_again(self, why: str) -> None:
        """Forget everything that has a stamp: a recording is played again."""
        self.get_logger().info(f'{why}: starting again')
        with self._epoch_lock:
            self._epoch += 1
            self._pipeline.clear()
        self._transforms.clear()
        self._outputs.held.drop()
        self._forget_time()
        if self._worker is not None:
            self._worker.mailbox.clear()

    def _tell_datum(self, frame: MapFrame) -> None:
        latitude_deg, longitude_deg = frame.datum
        self._health.notes['datum'] = f'{latitude_deg:.8f}, {longitude_deg:.8f}'
        self.get_logger().info(
            f'the origin of {self._settings.map_frame} is at latitude {latitude_deg:.8f}, '
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
            if self.context.ok():
                self._health.image_rejected(Rejected('bug', traceback.format_exc()))

    def process(self, arrival: Arrival) -> None:
        """
        Turn an image into a pose.

        :raises Rejected: if no pose comes of it, with the reason.
        """
        image = self._pipeline.camera_image(arrival.image)
        pose = self._pipeline.track(image)
        self._publish(arrival, pose)
        for remark in pose.remarks:
            self._health.trouble('inputs', remark)
        if self._outputs.wants_matches:
            self._show_matches(arrival.image.header, image, pose)

    def _publish(self, arrival: Arrival, pose: TrackedPose) -> None:
        """Publish where base_link is, at the stamp of the image."""
        header = arrival.image.header
        odometry, frame = self._odometry_pose(header), self._pipeline.map_frame
        assert frame is not None  # or there would be no pose
        with self._epoch_lock:
            if arrival.epoch != self._epoch:
                raise Rejected('order', 'time jumped back while an image was worked on')
            self._outputs.publish_pose(
                header.stamp, pose, odometry, frame, self._pipeline.altitude)
            if self._settings.publish_tf:
                self._outputs.held.correct(
                    self._now_ns() / 1e9, map_from_odom(pose.base, odometry.pose), self._was_lost)
            self._was_lost = False
        self._health.pose_published(pose, time.monotonic() - arrival.monotonic_s)

    def _show_matches(self, header: Header, image: CameraImage, pose: TrackedPose) -> None:
        try:
            self._outputs.publish_matches(
                header, image.image, self._pipeline.explain(image, pose.base))
        except (ImageryError, ValueError) as error:
            self._health.trouble('matches', f'the matches cannot be shown: {error}')

    def _broadcast(self) -> None:
        """Repeat map -> odom; executor's thread."""
        with self._epoch_lock:
            was_held = not self._outputs.held.is_empty
            if self._outputs.broadcast(self._now_ns()) or not was_held:
                return
            self._outputs.held.drop()
        self._health.trouble(
            'transform', f'{self._settings.map_frame} -> {self._settings.odom_frame} is no longer '
            f'broadcast: there was no pose for {self._settings.transform.timeout_s:g} s')

    def _now_ns(self) -> int:
        """
        Return the time by the sensors' clock.

        That is the ROS time, unless they have another one: a recording is played without it.
        """
        now_ns = self.get_clock().now().nanoseconds
        newest_ns = max(self._newest_ns.values(), default=now_ns)
        return now_ns if abs(now_ns - newest_ns) < TIME_JUMP_S * 1e9 else newest_ns

    def _odometry_pose(self, header: Header) -> OdometryPose:
        """Return odom_from_base at the image's stamp; not needed where we broadcast nothing."""
        if not self._settings.publish_tf:
            return OdometryPose(Pose2(0.0, 0.0, 0.0))
        try:
            return self._transforms.odometry_at(
                self._settings.odom_frame, self._settings.base_frame, header.stamp,
                self._settings.transform.wait_s)
        except NoTransform as error:
            raise Rejected('transform', str(error)) from error

    # Diagnostics -------------------------------------------------------------------------------

    def _notice_other_origins(self) -> None:
        if self._parts is not None:
            complaint = self._parts.other_origins.complaint(self._pipeline.map_frame)
            if complaint:
                self._health.trouble('datum', complaint)

    def _publish_diagnostics(self) -> None:
        imagery = self._parts.loaded.imagery.status() if self._parts is not None else None
        self._notice_other_origins()
        dropped = self._worker.mailbox.dropped if self._worker is not None else 0
        self._diagnostics.publish(self._health.report(
            self.get_fully_qualified_name(), self.get_clock().now().to_msg(),
            {'images dropped for newer ones': dropped}, imagery))


def main(args: list[str] | None = None) -> None:
    """Run the node until Ctrl-C."""
    # rclpy's handler ends `spin`; Python's would raise wherever it strikes, and `ros2 launch`
    # sends the signal twice.
    signal.signal(signal.SIGINT, lambda *_: None)
    keep_memory()
    sys.setswitchinterval(0.0005)  # so that callbacks do not keep the worker waiting
    node = None
    try:
        rclpy.init(args=args)
        executor = SingleThreadedExecutor()  # rclpy's own is None once Ctrl-C was pressed
        node = FG2Node()
        executor.add_node(node)
        if node.wants_autostart:
            node.autostart()
        node.get_logger().debug('ready')
        executor.spin()
    except ExternalShutdownException:
        pass
    except RuntimeError:
        if rclpy.ok():
            raise  # else the context ended between two waits, which rclpy takes for an error
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        gc.freeze()  # or else the interpreter searches all of torch for garbage before it ends


if __name__ == '__main__':
    main()

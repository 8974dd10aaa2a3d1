"""The lifecycle node: panoramas, GNSS and odometry in; poses, map -> odom and diagnostics out."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
import traceback
from typing import Any, Callable, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.diagnostics import Health, Rejected
from fg2_ros.ros.loading import load_localizer, Loaded, trained_in_simulation, trained_on
from fg2_ros.ros.log_bridge import LogBridge
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.outputs import Outputs, RESULT_QOS
from fg2_ros.ros.parameters import Parameters
from fg2_ros.ros.pipeline import LocalizationInput, Pipeline
from fg2_ros.ros.transforms import NoTransform, OdometryPose, Transforms
from fg2_ros.ros.worker import keep_memory, Worker
from nav_msgs.msg import Odometry
import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
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
        self._settings: NodeSettings | None = None
        self._loaded: Loaded | None = None
        self._transforms: Transforms | None = None
        self._pipeline: Pipeline | None = None
        self._worker: Worker | None = None
        self._outputs: Outputs | None = None
        self._inputs: list = []
        self._log_bridge: LogBridge | None = None
        self._forget_time()
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
        self._settings = self._read_parameters()
        self._loaded = self._load(self._settings)
        self._warn_of_simulated_weights()
        self._transforms = Transforms(self, broadcasts=self._settings.publish_tf)
        self._outputs = Outputs(self, self._settings, self._transforms)
        self._pipeline = Pipeline(self._settings, self._loaded, self._transforms)
        if self._settings.datum:
            self._tell_datum()
        self._create_subscriptions()
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1),
                          on_clock_change=False),
            post_callback=lambda _: self._start_again('the ROS clock went back'))

    def _start_work(self) -> None:
        self._health.reset()
        if self._pipeline.map_frame is not None:
            self._outputs.publish_datum(self._pipeline.map_frame)
        self._worker = Worker(self._work)

    def _stop_work(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _release(self) -> None:
        self._stop_work()
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        for name in ('_outputs', '_transforms', '_loaded', '_log_bridge'):
            if getattr(self, name) is not None:
                getattr(self, name).close()
                setattr(self, name, None)
        if self._jumps is not None:
            self._jumps.unregister()
        self._pipeline = None  # which holds on to the localizer
        self._forget_time()

    def _forget_time(self) -> None:
        self._jumps = None
        self._newest_ns: dict[str, int] = {}

    def _read_parameters(self) -> NodeSettings:
        for name in self._user_parameters.unknown():
            self.get_logger().warning(f'there is no parameter {name!r}: is it a typo?')
        settings = self._user_parameters.read()
        if len(settings.datum) not in (0, 2):
            raise ValueError('parameter datum must be [latitude, longitude] or empty, not '
                             f'{list(settings.datum)}')
        return settings

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
        had_datum = self._pipeline.map_frame is not None
        self._pipeline.add_fix(message)
        if not had_datum:
            self._tell_datum()
            self._outputs.publish_datum(self._pipeline.map_frame)

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
        self._newest_ns.clear()
        if self._worker is not None:
            self._worker.mailbox.clear()

    def _tell_datum(self) -> None:
        latitude_deg, longitude_deg = self._pipeline.map_frame.datum
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
            self._health.image_rejected(rejection)
        except Exception:
            if self.context.ok():
                self._health.image_rejected(Rejected('bug', traceback.format_exc()))

    def process(self, arrival: Arrival) -> None:
        """
        Turn an image into a pose.

        :raises Rejected: if no pose comes of it, with the reason.
        """
        inputs = self._pipeline.input_of(arrival.image)
        self._health.last_prior = inputs.prior
        estimate = self._pipeline.estimate(inputs)
        if estimate.accepted:
            self._publish(arrival, inputs, estimate)
        else:
            self._pipeline.tracker.estimate_rejected()
            self._health.image_rejected(Rejected('estimate', estimate.rejection))
        self._outputs.publish_matches(
            arrival.image.header, inputs.image, estimate, inputs.camera_prior)

    def _publish(self, arrival: Arrival, inputs: LocalizationInput, estimate) -> None:
        """Publish an accepted estimate as base_link's, at the stamp of its image."""
        header = arrival.image.header
        base, covariance = inputs.base_of(estimate)
        odometry = self._odometry_pose(header)
        with self._epoch_lock:
            if arrival.epoch != self._epoch:
                raise Rejected('order', 'time jumped back while an image was worked on')
            self._pipeline.accept(inputs.stamp_ns, base, covariance)
            self._outputs.publish_pose(
                header.stamp, base, covariance, odometry, self._pipeline.map_frame)
        self._health.estimate_published(time.monotonic() - arrival.monotonic_s)

    def _odometry_pose(self, header: Header) -> OdometryPose:
        """Return odom_from_base at the image's stamp; not needed where we broadcast nothing."""
        if not self._settings.publish_tf:
            return OdometryPose(Pose2(0.0, 0.0, 0.0))
        try:
            return self._transforms.odometry_at(
                self._settings.odom_frame, self._settings.base_frame, header.stamp,
                self._settings.tf_wait_s)
        except NoTransform as error:
            raise Rejected('transform', str(error)) from error

    # Diagnostics -------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        imagery = self._loaded.imagery.stats() if self._loaded is not None else {}
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

"""The lifecycle node: panoramas, GNSS and odometry in; poses, map -> odom and diagnostics out."""

from __future__ import annotations

import gc
import signal
import time
import traceback
from typing import Any, Callable, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.diagnostics import Health, Rejected
from fg2_ros.ros.loading import load_localizer, Loaded, trained_in_simulation
from fg2_ros.ros.log_bridge import LogBridge
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.outputs import Outputs, RESULT_QOS
from fg2_ros.ros.parameters import Parameters
from fg2_ros.ros.prior import BasePrior, Fix, NoPrior, PriorTracker
from fg2_ros.ros.transforms import (
    base_from_camera_estimate, NoTransform, OdometryPose, planar_mount, Transforms)
from fg2_ros.ros.worker import Worker
from nav_msgs.msg import Odometry
import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, Imu, NavSatFix
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
        self._worker: Worker | None = None
        self._outputs: Outputs | None = None
        self._inputs: list = []
        self._log_bridge: LogBridge | None = None
        self._forget_time()
        self._epoch = 0
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
            expected = isinstance(error, (ValueError, OSError, ImageryError))
            self.get_logger().error(
                f'cannot {name}: {error}' if expected else
                f'cannot {name}: {traceback.format_exc()}')
            self._health.setup_error = f'cannot {name}: {error}'
            undo()
            return _FAILURE
        self._health.setup_error = ''
        self._health.state = next_state
        return _SUCCESS

    def _configure(self) -> None:
        self._log_bridge = LogBridge(self.get_logger())
        self._settings = self._read_parameters()
        self._tracker = PriorTracker(self._settings.prior)
        self._loaded = self._load(self._settings)
        self._warn_of_simulated_weights()
        self._transforms = Transforms(self, broadcasts=self._settings.publish_tf)
        self._outputs = Outputs(self, self._settings, self._transforms)
        self._map_frame = None
        if self._settings.datum:
            self._set_datum(*self._settings.datum)
        self._create_subscriptions()
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1),
                          on_clock_change=False),
            post_callback=lambda _: self._start_again('the ROS clock went back'))

    def _start_work(self) -> None:
        self._health.reset()
        if self._map_frame is not None:
            self._outputs.publish_datum(self._map_frame)
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
        self._forget_time()

    def _forget_time(self) -> None:
        self._jumps = None
        self._newest_ns: dict[str, int] = {}
        self._published_ns = -1

    def _read_parameters(self) -> NodeSettings:
        for name in self._user_parameters.unknown():
            self.get_logger().warning(f'there is no parameter {name!r}: is it a typing error?')
        settings = self._user_parameters.read()
        if len(settings.datum) not in (0, 2):
            raise ValueError('parameter datum must be [latitude, longitude] or empty, not '
                             f'{list(settings.datum)}')
        return settings

    def _warn_of_simulated_weights(self) -> None:
        simulated = trained_in_simulation(self._loaded.localizer.metadata)
        self._health.notes['weights trained on'] = 'simulation only' if simulated else 'real data'
        if simulated and not self._settings.simulated_camera:
            self.get_logger().warning(
                'the weights were trained on simulation only: do not rely on their poses with a '
                'real camera (set simulated_camera: true if the images are simulated)')

    def _create_subscriptions(self) -> None:
        for kind, topic, callback, qos in (
                (Image, 'image', self._on_image, NEWEST_IMAGE_QOS),
                (NavSatFix, 'fix', self._on_fix, SENSOR_QOS),
                (Odometry, 'odom', self._on_odometry, SENSOR_QOS),
                (Imu, 'imu', self._on_imu, SENSOR_QOS)):
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
        stamp_ns = self._notice_stamp('fix', message.header)
        place = conversions.position_from_fix(message, self._settings.prior)
        if self._map_frame is None:
            self._set_datum(place.latitude_deg, place.longitude_deg)
            self._outputs.publish_datum(self._map_frame)
        position_m = self._map_frame.map_from_geodetic(place.latitude_deg, place.longitude_deg)
        lever_m = self._mount_of(message.header.frame_id)[0][:2]
        self._tracker.add_fix(stamp_ns, Fix(np.array(position_m), place.sigma_m, tuple(lever_m)))
        self._loaded.localizer.request_imagery(place.latitude_deg, place.longitude_deg)

    def _on_odometry(self, message: Odometry) -> None:
        stamp_ns = self._notice_stamp('odom', message.header)
        self._tracker.add_odometry(stamp_ns, conversions.odometry_from_message(message))

    def _on_imu(self, message: Imu) -> None:
        stamp_ns = self._notice_stamp('imu', message.header)
        _, base_from_imu = self._mount_of(message.header.frame_id)
        yaw_rad, sigma_rad = conversions.heading_from_imu(
            message, self._settings.prior, base_from_imu)
        self._tracker.add_heading(stamp_ns, yaw_rad, sigma_rad)

    def _mount_of(self, sensor_frame: str):
        """Return a sensor's mount; without a transform it is taken to sit at base_link."""
        try:
            return self._transforms.mount(self._settings.base_frame, sensor_frame)
        except NoTransform:
            return np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])

    # Time --------------------------------------------------------------------------------------

    def _notice_stamp(self, topic: str, header: Header) -> int:
        """Return a stamp in ns; a sender whose stamps go far back has been started again."""
        stamp_ns = conversions.stamp_ns(header.stamp)
        newest_ns = self._newest_ns.get(topic, stamp_ns)
        if newest_ns - stamp_ns > TIME_JUMP_S * 1e9:
            self._start_again(f'the stamps of {topic} went back by '
                              f'{(newest_ns - stamp_ns) / 1e9:.1f} s')
        self._newest_ns[topic] = max(stamp_ns, self._newest_ns.get(topic, stamp_ns))
        return stamp_ns

    def _start_again(self, why: str) -> None:
        """Forget everything that has a stamp: a recording is played again."""
        self.get_logger().info(f'{why}: starting again')
        self._epoch += 1
        self._tracker.clear()
        self._transforms.clear()
        self._newest_ns.clear()
        self._published_ns = -1
        if self._worker is not None:
            self._worker.mailbox.clear()

    def _set_datum(self, latitude_deg: float, longitude_deg: float) -> None:
        frame = MapFrame(latitude_deg, longitude_deg)
        self._loaded.localizer.map_frame = frame
        self._map_frame = frame
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
        header = arrival.image.header
        self._require_newer(header)
        panorama = self._panorama(arrival.image)
        base_from_camera = self._camera_mount(header)
        base_prior = self._prior(header)
        camera_prior = base_prior.pose.compose(base_from_camera)
        estimate = self._estimate(panorama, camera_prior, base_prior)
        if estimate.accepted:
            self._publish(arrival, estimate, base_from_camera)
        else:
            self._tracker.estimate_rejected()
            self._health.image_rejected(Rejected('estimate', estimate.rejection))
        self._outputs.publish_matches(header, panorama, estimate, camera_prior)

    def _require_newer(self, header: Header) -> None:
        if conversions.stamp_ns(header.stamp) <= self._published_ns:
            raise Rejected('order', 'an image is not newer than the last published pose')

    def _panorama(self, image: Image) -> np.ndarray:
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
            mount = self._transforms.mount(self._settings.base_frame, frame)
            return planar_mount(*mount, self._settings.camera_axes)
        except (NoTransform, ValueError) as error:
            raise Rejected('transform', str(error)) from error

    def _prior(self, header: Header) -> BasePrior:
        try:
            prior = self._tracker.at(conversions.stamp_ns(header.stamp))
        except NoPrior as error:
            raise Rejected('prior', str(error)) from error
        self._health.last_prior = prior
        return prior

    def _estimate(self, panorama: np.ndarray, camera: Pose2, prior: BasePrior):
        from fg2_ros.localizer import Prior
        latitude_deg, longitude_deg = self._map_frame.geodetic_from_map(camera.x, camera.y)
        try:
            return self._loaded.localizer.estimate(panorama, Prior(
                latitude_deg=latitude_deg, longitude_deg=longitude_deg, sigma_m=prior.sigma_m,
                yaw_rad=camera.yaw, yaw_sigma_rad=prior.yaw_sigma_rad))
        except ImageryError as error:
            raise Rejected('imagery', str(error)) from error
        except ValueError as error:
            raise Rejected('image', str(error)) from error

    def _publish(self, arrival: Arrival, estimate, base_from_camera: Pose2) -> None:
        """Publish an accepted estimate as base_link's, at the stamp of its image."""
        header = arrival.image.header
        camera = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
        base, covariance = base_from_camera_estimate(
            camera, self._sound_covariance(estimate), base_from_camera)
        odometry = self._odometry_pose(header)
        if arrival.epoch != self._epoch:
            raise Rejected('order', 'time jumped back while an image was worked on')
        self._outputs.publish_pose(header.stamp, base, covariance, odometry, self._map_frame)
        self._published_ns = conversions.stamp_ns(header.stamp)
        self._tracker.add_estimate(self._published_ns, base, covariance)
        self._health.estimate_published(time.monotonic() - arrival.monotonic_s)

    def _sound_covariance(self, estimate) -> np.ndarray:
        try:
            return conversions.sound_covariance(estimate.covariance)
        except ValueError as error:
            raise Rejected('estimate', str(error)) from error

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
    node = None
    try:
        rclpy.init(args=args)
        node = FG2Node()
        if node.wants_autostart:
            node.autostart()
        node.get_logger().debug('ready')
        rclpy.spin(node)
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

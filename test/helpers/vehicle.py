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

"""Test helpers: a vehicle that sends messages and hears what the node says, and a fake core."""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import count
import math
from test.helpers.processes import join_all
import threading
import time

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery import AerialPatch
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.localizer import Estimate, Matches
from fg2_ros.network import FG2Config
from fg2_ros.ros.loading import Loaded
from fg2_ros.ros.node import FG2Node
from fg2_ros.tracker.inputs import Observation, SearchPlan
from fg2_ros.tracker.settings import Calibration, METADATA_KEY
from geometry_msgs.msg import PoseWithCovarianceStamped, QuaternionStamped, TransformStamped
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from nav_msgs.msg import Odometry
import numpy as np
from rcl_interfaces.msg import Log, SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, Imu, NavSatFix
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf_transformations import quaternion_from_euler

FRAME = MapFrame(47.37, 8.54)
MOUNT = Pose2(1.5, 0.2, 0.1)  # base_from_camera
ODOMETRY = Pose2(-3.0, 7.0, 2.0)  # odom_from_base
TRUTH = Pose2(12.0, -8.0, 0.7)  # map_from_base
COVARIANCE = np.array([[0.5, 0.1, 0.02], [0.1, 0.3, -0.01], [0.02, -0.01, 0.004]])
SIGMA_M, SIGMA_RAD, FARTHEST = 0.5, 0.03, 10.0  # of what an image says; beyond that it is flat
# Of a localizer that is never wrong.
CALIBRATION = Calibration(
    temper=1.0, nothing_share=0.01, odds_begin=12.0, bias_m=0.1, bias_deg=0.2,
    measurement_temper=1.0, measurement_bias_m=0.1, measurement_bias_deg=0.2)
EVERY_IMAGE = {  # the vehicle of most tests stands
    'publication.min_distance_m': 0.0, 'publication.pose_every_m': 0.0}
PATIENCE_S = 60.0
RELIABLE = QoSProfile(depth=50)
_NUMBERS = count(1)
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                     reliability=ReliabilityPolicy.RELIABLE)


class FakeImagery:
    """Counts nothing."""

    def status(self) -> ImageryStatus:
        """Return some counters."""
        return ImageryStatus('fake', hits=3, misses=1)

    def close(self) -> None:
        """Do nothing."""


class FakeLocalizer:
    """Answers every panorama with the truth, or as told."""

    def __init__(self):
        """Start honest."""
        self.metadata = {METADATA_KEY: CALIBRATION.to_dict()}
        self.config = FG2Config.preset('sim')
        self.map_frame = None
        self.truth = TRUTH
        self.plans = []
        self.panoramas = []
        self.masks = []
        self.mounts = []
        self.intrinsics = []
        self.requests = []
        self.raises = None
        self.sees_nothing = self.says_nan = False
        self.entered = threading.Event()
        self.proceed = threading.Event()
        self.proceed.set()

    def request_imagery(self, latitude_deg: float, longitude_deg: float) -> None:
        """Note the place."""
        self.requests.append((latitude_deg, longitude_deg))

    def observe(self, panorama, plan, base_from_camera, camera_k=None, seen=None) -> Observation:
        """Return the likelihood of the camera's poses, which is greatest at the true one."""
        self.panoramas.append(panorama)
        self.masks.append(seen)
        self.mounts.append(base_from_camera)
        self.intrinsics.append(camera_k)
        self.plans.append(plan)
        self.entered.set()
        assert self.proceed.wait(PATIENCE_S)
        if self.raises is not None:
            raise self.raises
        return Observation(tuple(
            PoseVolume(grid, self._log_likelihood(grid)) for grid in plan.grids),
            base_from_camera)

    def _log_likelihood(self, grid: PoseGrid) -> np.ndarray:
        if self.sees_nothing or self.says_nan:
            return np.full(grid.shape, np.nan if self.says_nan else 0.0, np.float32)
        return log_likelihood(grid, self.truth.compose(MOUNT))

    def aerial_patch(self, place_m) -> AerialPatch:
        """Return a grey patch whose middle is 2 m east and 1 m south of a place."""
        return AerialPatch(
            np.full((64, 64, 3), 90, np.uint8),
            PatchView(self.map_frame, (place_m[0] + 2, place_m[1] - 1), 50.0, 64), None, 'fake',
            attribution='Fake Imagery')

    def estimate(self, panorama, prior, camera_k=None, seen=None) -> Estimate:
        """Return the camera's true pose."""
        camera = self.truth.compose(MOUNT)
        latitude, longitude = self.map_frame.geodetic_from_map(camera.x, camera.y)
        patch = self.aerial_patch(camera[:2])
        matches = Matches(
            aerial_map_m=np.array([[camera.x, camera.y], [camera.x + 9, camera.y + 4]]),
            ground_grid_m=np.zeros((2, 2)), ground_map_m=np.full((2, 2), camera[:2]),
            panorama_px=np.array([[10.0, 20.0], [50.0, 40.0]]),
            weight=np.array([1.0, 0.4]), inlier=np.array([True, False]))
        return Estimate(
            accepted=True, rejection='', east_m=camera.x, north_m=camera.y,
            latitude_deg=latitude, longitude_deg=longitude, yaw_rad=camera.yaw,
            covariance=COVARIANCE, inlier_ratio=0.5, match_count=2, matches=matches,
            patch=patch, timings_ms={'total': 1.0})


def log_likelihood(grid: PoseGrid, camera: Pose2) -> np.ndarray:
    """Return the (headings, norths, easts) logarithm of a Gaussian around a pose of a camera."""
    turns = wrap_angle(grid.middle.yaw + grid.turns_rad - camera.yaw) / SIGMA_RAD
    norths, easts = (grid.norths_m - camera.y) / SIGMA_M, (grid.easts_m - camera.x) / SIGMA_M
    squares = turns[:, None, None] ** 2 + norths[:, None] ** 2 + easts ** 2
    return (-0.5 * np.minimum(squares, FARTHEST ** 2)).astype(np.float32)


class Vehicle:
    """One executor thread that spins the nodes under test and a node that plays the sensors."""

    def __init__(self):
        """Start to spin, in a namespace of its own."""
        self.namespace = f'/vehicle_{next(_NUMBERS)}'
        self.node = Node('vehicle', namespace=self.namespace)
        self.changed = threading.Condition()
        self.heard = defaultdict(list)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.under_test: list[FG2Node] = []
        self.localizer = FakeLocalizer()
        self._publishers = {
            Image: self.node.create_publisher(Image, 'image', RELIABLE),
            CompressedImage: self.node.create_publisher(
                CompressedImage, 'image/compressed', RELIABLE),
            NavSatFix: self.node.create_publisher(NavSatFix, 'fix', RELIABLE),
            Odometry: self.node.create_publisher(Odometry, 'odom', RELIABLE),
            Imu: self.node.create_publisher(Imu, 'imu', RELIABLE),
            PoseWithCovarianceStamped: self.node.create_publisher(
                PoseWithCovarianceStamped, 'initialpose', RELIABLE),
            QuaternionStamped: self.node.create_publisher(
                QuaternionStamped, 'heading', RELIABLE)}
        self._clock = self.node.create_publisher(Clock, '/clock', LATCHED)
        self.tf = self.node.create_publisher(TFMessage, '/tf', RELIABLE)
        self.tf_static = self.node.create_publisher(TFMessage, '/tf_static', LATCHED)
        self.hear(PoseWithCovarianceStamped, 'fg2/pose')
        self.hear(DiagnosticArray, '/diagnostics')
        self.hear(Log, '/rosout')
        self.hear(TFMessage, '/tf')
        self._thread = threading.Thread(target=self.executor.spin)
        self._thread.start()

    def close(self) -> None:
        """Stop everything."""
        self.executor.shutdown()
        join_all(self._thread)
        for node in (*self.under_test, self.node):
            node.destroy_node()

    # Nodes under test --------------------------------------------------------------------------

    def start(self, load=None, active: bool = True, arguments: tuple = (),
              **parameters) -> FG2Node:
        """
        Start a node; with a fake localizer unless told how to load one.

        :param arguments: what follows `--ros-args` on the node's command line.
        """
        values = EVERY_IMAGE | {
            name.replace('__', '.'): value for name, value in parameters.items()}
        node = FG2Node(
            load or (lambda settings: self.loaded()),
            namespace=self.namespace, cli_args=['--ros-args', *arguments], parameter_overrides=[
                Parameter(name, value=value) for name, value in values.items()])
        self.under_test.append(node)
        self.executor.add_node(node)
        if active:
            assert self.change(node, 'configure')
            assert self.change(node, 'activate')
            self.meet(node)
        return node

    def loaded(self) -> Loaded:
        """Return the fake core."""
        return Loaded(self.localizer, FakeImagery())

    def meet(self, node: FG2Node) -> None:
        """Wait until the node hears this vehicle and this vehicle the node."""
        self.until(lambda: all(
            self.node.count_subscribers(publisher.topic_name) > 0
            and publisher.get_subscription_count() > 0
            for publisher in (*self._publishers.values(), self.tf_static)), 'the node hears')
        self.until(lambda: all(
            publisher.get_subscription_count() > 0
            for publisher in (node.parts.outputs.pose, node._diagnostics)), 'the node is heard')

    def change(self, node: FG2Node, label: str) -> bool:
        """Request a transition, if it is one that can be made; return whether it succeeded."""
        name = node.get_fully_qualified_name()
        answer = self.call(GetAvailableTransitions, f'{name}/get_available_transitions',
                           GetAvailableTransitions.Request())
        ids = {item.transition.label: item.transition.id for item in answer.available_transitions}
        request = ChangeState.Request()
        request.transition.id = ids[label]
        return self.call(ChangeState, f'{name}/change_state', request).success

    def call(self, kind, name: str, request):
        """Call a service and return its answer."""
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(PATIENCE_S), name
            future = client.call_async(request)
            done = threading.Event()
            future.add_done_callback(lambda _: done.set())
            assert done.wait(2 * PATIENCE_S), name
            return future.result()
        finally:
            self.node.destroy_client(client)

    def set_parameter(self, node: FG2Node, name: str, value) -> SetParametersResult:
        """Ask a node to change a parameter; return its answer."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, f'{node.get_fully_qualified_name()}/set_parameters',
                         request).results[0]

    # Hearing -----------------------------------------------------------------------------------

    def hear(self, kind, topic: str, qos=RELIABLE) -> None:
        """Collect the messages of a topic in ``heard[topic]``."""
        def remember(message):
            with self.changed:
                self.heard[topic].append(message)
                self.changed.notify_all()
        self.node.create_subscription(kind, topic, remember, qos)

    def until(self, condition, what: str, patience_s: float = PATIENCE_S):
        """Wait for something to become true; return it."""
        deadline = time.monotonic() + patience_s
        with self.changed:
            while not (result := condition()):
                assert time.monotonic() < deadline, (
                    f'waited in vain until {what}; log: {[m.msg for m in self.heard["/rosout"]]}')
                self.changed.wait(0.02)
        return result

    def pose_at(self, stamp: Time) -> PoseWithCovarianceStamped:
        """Wait for the pose of a stamp."""
        return self.until(lambda: next(
            (pose for pose in self.heard['fg2/pose'] if pose.header.stamp == stamp), None),
            f'a pose of {stamp}')

    def logged(self, words: str) -> list[Log]:
        """Return the log messages with these words."""
        return [message for message in self.heard['/rosout'] if words in message.msg]

    def until_logged(self, words: str) -> Log:
        """Wait for a log message."""
        return self.until(lambda: self.logged(words), f'{words!r} is logged')[0]

    def diagnosed(self, name: str = 'localization', index: int = -1) -> dict:
        """Return level, message and values of the newest diagnostics of one status."""
        for array_ in reversed(self.heard['/diagnostics']):
            for status in array_.status:
                if status.name.endswith(name):
                    return {'level': status.level, 'message': status.message,
                            **{item.key: item.value for item in status.values}}
        return {}

    def until_diagnosed(self, condition, what: str, name: str = 'localization') -> dict:
        """Wait for diagnostics that fulfil a condition."""
        return self.until(lambda: (found := self.diagnosed(name)) and condition(found) and found,
                          what)

    # Sending -----------------------------------------------------------------------------------

    def send(self, message) -> None:
        """Publish a sensor's message."""
        self._publishers[type(message)].publish(message)

    def deliver(self, *messages) -> None:
        """Publish messages, and wait until every node under test has heard as many."""
        def heard() -> list[int]:
            return [sum(each.count for each in node.localization.inputs.arrivals.values())
                    for node in self.under_test]
        before = heard()
        for message in messages:
            self.send(message)
        self.until(lambda: all(now - then >= len(messages)
                               for now, then in zip(heard(), before)), 'they are heard')

    def send_clock(self, seconds: float) -> None:
        """Publish the time of a made-up day until the nodes under test have it."""
        self._clock.publish(Clock(clock=at(seconds)))
        self.until(lambda: all(
            node.get_clock().now().to_msg() == at(seconds) for node in self.under_test),
            'the clock is heard')

    def send_mount(self) -> None:
        """Publish the camera's mount."""
        self.send_transforms([transform('base_link', 'camera', Time(), MOUNT)])

    def send_transforms(self, transforms: list[TransformStamped]) -> None:
        """Publish static transforms."""
        self.tf_static.publish(TFMessage(transforms=transforms))

    def send_odometry_tf(self, stamp: Time, pose: Pose2 = ODOMETRY) -> None:
        """Publish odom -> base_link just before, at, and just after a stamp."""
        self.tf.publish(TFMessage(transforms=[
            transform('odom', 'base_link', later(stamp, offset), pose)
            for offset in (-0.05, 0.0, 0.05)]))

    def send_prior(self, stamp: Time) -> None:
        """Publish what a good prior needs."""
        self.deliver(fix(stamp), imu(stamp), odometry(stamp))

    def send_all(self, stamp: Time) -> None:
        """Publish everything that a pose needs, the image last."""
        self.send_mount()
        self.send_odometry_tf(stamp)
        self.send_prior(stamp)
        self.until(lambda: self.is_ready(stamp), 'the prior has arrived')
        self.send(image(stamp))

    def is_ready(self, stamp: Time) -> bool:
        """Return whether the nodes under test have heard everything but the image."""
        return self.has_prior(stamp) and all(
            _answers(node.parts.transforms.odometry_at, 'odom', 'base_link', stamp, 0.0)
            for node in self.under_test)

    def has_prior(self, stamp: Time) -> bool:
        """Return whether the nodes under test know the camera's mount and a prior."""
        stamp_ns = stamp.sec * 10 ** 9 + stamp.nanosec
        return self.has_mount() and all(
            isinstance(node.parts.pipeline.tracker.search(stamp_ns), SearchPlan)
            for node in self.under_test)

    def has_mount(self) -> bool:
        """Return whether the nodes under test know where the camera is."""
        return all(_answers(node.parts.transforms.mount, 'base_link', 'camera')
                   for node in self.under_test)


def searched_east_m(plan: SearchPlan) -> tuple[float, float]:
    """Return the westernmost and easternmost place that is searched at a plan's first heading."""
    ends = [grid.middle.x + sign * grid.reach_m[0] for grid in plan.grids for sign in (-1, 1)
            if grid.middle.yaw == plan.grids[0].middle.yaw]
    return min(ends), max(ends)


def _answers(question, *about) -> bool:
    """Return whether a question can be answered by now."""
    try:
        question(*about)
    except Exception:
        return False
    return True


# Messages --------------------------------------------------------------------------------------

def at(seconds: float) -> Time:
    """Return a stamp on a made-up day, with an odd nanosecond to lose."""
    return Time(sec=1_700_000_000 + int(seconds), nanosec=int(seconds % 1 * 1e9) + 7)


def later(stamp: Time, seconds: float) -> Time:
    """Return a later stamp."""
    nanoseconds = stamp.sec * 10 ** 9 + stamp.nanosec + round(seconds * 1e9)
    return Time(sec=nanoseconds // 10 ** 9, nanosec=nanoseconds % 10 ** 9)


def image(stamp: Time, encoding: str = 'rgb8', width: int = 64, height: int = 32,
          channels: int = 3, frame: str = 'camera') -> Image:
    """Return a noisy panorama."""
    message = Image(header=Header(stamp=stamp, frame_id=frame), width=width, height=height,
                    encoding=encoding, step=width * channels)
    pixels = np.random.default_rng(1).integers(0, 255, height * width * channels, np.uint8)
    message.data = array('B', pixels.tobytes())
    return message


def fix(stamp: Time, pose: Pose2 = TRUTH, sigma_m: float = 2.0) -> NavSatFix:
    """Return a good fix at a place."""
    latitude, longitude = FRAME.geodetic_from_map(pose.x, pose.y)
    covariance = np.zeros(9)
    covariance[[0, 4, 8]] = sigma_m ** 2
    return NavSatFix(header=Header(stamp=stamp, frame_id='base_link'), latitude=latitude,
                     longitude=longitude, position_covariance=covariance,
                     position_covariance_type=NavSatFix.COVARIANCE_TYPE_DIAGONAL_KNOWN)


def imu(stamp: Time, yaw_rad: float = TRUTH.yaw, known: bool = True) -> Imu:
    """Return an orientation."""
    message = Imu(header=Header(stamp=stamp, frame_id='base_link'))
    _set_yaw(message.orientation, yaw_rad)
    message.orientation_covariance[0] = 0.01 if known else -1.0
    message.orientation_covariance[8] = 0.01
    return message


def odometry(stamp: Time, pose: Pose2 = ODOMETRY) -> Odometry:
    """Return an odometry message of a vehicle that stands."""
    message = Odometry(header=Header(stamp=stamp, frame_id='odom'), child_frame_id='base_link')
    message.pose.pose.position.x, message.pose.pose.position.y = pose.x, pose.y
    _set_yaw(message.pose.pose.orientation, pose.yaw)
    return message


def transform(parent: str, child: str, stamp: Time, pose: Pose2,
              optical_deg: float | None = None) -> TransformStamped:
    """Return a planar transform; of optical axes, if it is said to which yaw they look."""
    message = TransformStamped(header=Header(stamp=stamp, frame_id=parent), child_frame_id=child)
    message.transform.translation.x, message.transform.translation.y = pose.x, pose.y
    _set_yaw(message.transform.rotation, pose.yaw)
    if optical_deg is not None:
        rotation = message.transform.rotation
        rotation.x, rotation.y, rotation.z, rotation.w = map(float, quaternion_from_euler(
            -math.pi / 2, 0.0, math.radians(optical_deg) - math.pi / 2))
    return message


def planar(translation, rotation) -> Pose2:
    """Return the pose of a message's translation (or position) and rotation."""
    return Pose2(translation.x, translation.y, 2 * math.atan2(rotation.z, rotation.w))


def _set_yaw(quaternion, yaw_rad: float) -> None:
    quaternion.x, quaternion.y, quaternion.z, quaternion.w = (
        float(value) for value in quaternion_from_euler(0.0, 0.0, yaw_rad))

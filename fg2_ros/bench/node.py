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

"""Overhead of the node over the localizer: time per image and callback, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any, Callable

from fg2_ros.bench.camera import DATUM_DEG, NAMESPACE
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.catalogue import shipped_catalogue
from fg2_ros.imagery.patch import NoImagery
from fg2_ros.network import FG2Config
from fg2_ros.ros.diagnostics import resident_memory_mb
from fg2_ros.ros.loading import Loaded
from fg2_ros.ros.node import FG2Node
from fg2_ros.ros.qos import FAST_DDS_PROFILES
from fg2_ros.ros.worker import keep_memory
from fg2_ros.tracker.inputs import Observation, SearchPlan
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter

LARGE_WIDTH, LARGE_RATE_HZ, LARGE_IMAGES = 4096, 30.0, 300  # 8 megapixels
# A minute of odometry is kept, which is full after 600 images at 10 Hz.
SMALL_WIDTH, SETTLED = 64, 1000
ESTIMATE_S = 0.02
TOLD_EVERY_S = 10.0
SIGMA_M, SIGMA_RAD, FARTHEST = 0.5, 0.03, 10.0
PARAMETERS = {
    'autostart': False, 'simulated_camera': True, 'datum': list(DATUM_DEG),
    'publication.min_distance_m': 0.0, 'publication.min_mass': 0.0,
    'publication.pose_every_m': 0.0,
    f'qos_overrides.{NAMESPACE}/image.subscription.reliability': 'reliable'}  # on busy machines
Tell = Callable[[str], None]


class TimedLocalizer:
    """
    Stands in for the localizer: it sees the vehicle at the origin of the map.

    :param seconds: that it waits for each image.
    """

    def __init__(self, seconds: float):
        """Start without a map."""
        self.metadata: dict[str, Any] = {}
        self.config = FG2Config.preset('sim')
        self.map_frame = None
        self.taken_s = 0.0  # of the processor, for all images
        self._seconds = seconds

    def request_imagery(self, latitude_deg: float, longitude_deg: float) -> None:
        """Need none."""

    def observe(self, image: np.ndarray, plan: SearchPlan, base_from_camera: Pose2,
                camera_k: np.ndarray | None = None,
                seen: np.ndarray | None = None) -> Observation:
        """Return how likely the poses are."""
        began_s = time.thread_time()
        volumes = tuple(PoseVolume(grid, _log_likelihood(grid)) for grid in plan.grids)
        time.sleep(self._seconds)
        self.taken_s += time.thread_time() - began_s
        return Observation(volumes, base_from_camera)


def measure_node(images: int, tell: Tell = lambda line: None) -> dict[str, float]:
    """
    Return what the node adds, in milliseconds of the processor and megabytes.

    ``overhead_ms`` is the time that the worker needs for an image beside the localizer, and
    ``tracker_ms`` the tracker's part of it (medians); ``callback_p95_ms`` that of callbacks in
    the executor's thread, and ``executor_ms`` all of that thread for each image, rclpy's part and
    all other messages included; ``growth_mb`` is by how much memory grows after the image at
    which it has settled, and ``second_half_mb`` over the second half of all images.

    :param images: small ones, after the large ones that are timed.
    :param tell: called with each line of the results.
    :raises ValueError: if no poses come.
    """
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    for variable in FAST_DDS_PROFILES:
        os.environ.setdefault(variable, str(shipped_catalogue().with_name('fastdds.xml')))
    keep_memory()  # as the node's own process does
    rclpy.init()
    rclpy.logging.set_logger_level(f'{NAMESPACE[1:]}.fg2', LoggingSeverity.WARN)
    try:
        return _timed(tell) | _memory(images, tell)
    finally:
        rclpy.try_shutdown()


def _timed(tell: Tell) -> dict[str, float]:
    tell(f'time: {LARGE_IMAGES} images of {LARGE_WIDTH} x {LARGE_WIDTH // 2} pixels at '
         f'{LARGE_RATE_HZ:.0f} Hz, odometry, IMU and TF with each ...')
    with RunningNode(ESTIMATE_S) as running:
        running.send(LARGE_WIDTH, LARGE_RATE_HZ, LARGE_IMAGES, tell)
    callbacks_ms = np.array(running.callbacks_ms)
    return {'images': running.images, 'worked_on': len(running.overhead_ms),
            'poses': running.poses, 'overhead_ms': float(np.median(running.overhead_ms)),
            'tracker_ms': float(np.median(running.tracker_ms)),
            'callback_p95_ms': float(np.percentile(callbacks_ms, 95)),
            'callback_max_ms': float(callbacks_ms.max()),
            'executor_ms': 1e3 * running.executor_s / running.images}


def _memory(images: int, tell: Tell) -> dict[str, float]:
    tell(f'memory: {images} images of {SMALL_WIDTH} x {SMALL_WIDTH // 2} pixels, each after the '
         'pose of the last ...')
    resident_mb = []
    with RunningNode(0.0) as running:
        for count in parts_of(images):
            running.send(SMALL_WIDTH, 0.0, count, tell)
            resident_mb.append(resident_memory_mb())
    first, half, last = resident_mb
    return {'small_images': running.images, 'small_poses': running.poses,
            'settled_mb': first, 'growth_mb': last - first, 'second_half_mb': last - half}


def parts_of(images: int) -> tuple[int, int, int]:
    """Return the images until memory has settled, until half of all, and the others."""
    half = images // 2
    first = min(SETTLED, half)
    return first, half - first, images - half


class RunningNode:
    """
    An active node in this process, which another one sends to; its figures are there at the end.

    :param seconds: that its localizer waits for an image.
    """

    def __init__(self, seconds: float):
        """Make it."""
        self.localizer: Any = TimedLocalizer(seconds)
        self.executor_s = 0.0  # of the processor, as all times
        self.images = self.poses = 0
        self.overhead_ms: list[float] = []  # of each image
        self.tracker_ms: list[float] = []
        self.callbacks_ms: list[float] = []
        self._node = FG2Node(
            lambda settings: Loaded(self.localizer, NoImagery()), namespace=NAMESPACE,
            enable_rosout=False, parameter_overrides=[
                Parameter(name, value=value) for name, value in PARAMETERS.items()])
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin)

    def __enter__(self) -> RunningNode:
        """Activate and spin it."""
        if self._node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            raise ValueError('the node could not be configured')
        localization = self._node.localization
        pipeline: Any = localization.parts.pipeline
        pipeline.track = self._beside_localizer(pipeline.track, self.tracker_ms)
        worked: Any = localization
        worked._work = self._beside_localizer(localization._work, self.overhead_ms)
        self._node.trigger_activate()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop it and read its figures."""
        self._executor.shutdown()
        self._thread.join()
        inputs, health = self._node.localization.inputs, self._node.health
        self.images, self.poses = inputs.arrivals['image'].count, health.accepted
        self.callbacks_ms = list(inputs.callbacks_ms)
        self._node.destroy_node()
        if not self.poses:
            raise ValueError(f'there were no poses: {health.last_reason}')

    def send(self, width: int, rate_hz: float, count: int, tell: Tell) -> None:
        """
        Let another process send images, and wait for its end.

        :raises ValueError: if it fails.
        """
        before = self._heard
        with subprocess.Popen(
                [sys.executable, '-m', 'fg2_ros.bench.camera', str(width), str(rate_hz),
                 str(count), str(before)], stderr=subprocess.PIPE, text=True) as child:
            while (code := self._end_of(child)) is None:
                tell(f'  {self._heard - before} of {count} images; {resident_memory_mb():.0f} MB')
            if code and child.stderr is not None:
                raise ValueError(
                    f'no images could be sent: {child.stderr.read().strip().splitlines()[-1]}')

    @property
    def _heard(self) -> int:
        return self._node.localization.inputs.arrivals['image'].count

    def _end_of(self, child: subprocess.Popen) -> int | None:
        """Return a child's code; None if it has not ended after a while."""
        try:
            return child.wait(TOLD_EVERY_S)
        except subprocess.TimeoutExpired:
            return None

    def _spin(self) -> None:
        self._executor.spin()
        self.executor_s = time.thread_time()

    def _beside_localizer(self, call: Callable, times_ms: list[float]) -> Callable:
        """Return a function that notes how long another one takes beside the localizer."""
        def timed(*arguments: Any) -> Any:
            began_s, before_s = time.thread_time(), self.localizer.taken_s
            try:
                return call(*arguments)
            finally:
                times_ms.append(1e3 * (time.thread_time() - began_s
                                       - self.localizer.taken_s + before_s))
        return timed


def _log_likelihood(grid: PoseGrid) -> np.ndarray:
    """Return the (headings, norths, easts) logarithm of a Gaussian around the map's origin."""
    turns = (grid.middle.yaw + grid.turns_rad) / SIGMA_RAD
    squares = turns[:, None, None] ** 2 + (
        grid.norths_m[:, None] ** 2 + grid.easts_m ** 2) / SIGMA_M ** 2
    return (-0.5 * np.minimum(squares, FARTHEST ** 2)).astype(np.float32)

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

"""The buffer of transforms that a node keeps."""

from __future__ import annotations

from threading import RLock
import time as wall_time
from typing import Callable

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_py import BufferCore
from tf2_py.buffer_core import DEFAULT_CACHE_TIME

POLL_PERIOD_S = 0.02
NO_TIMEOUT = Duration()


class Buffer(BufferCore):
    """
    Transforms between frames, with time-outs; emptied when the node's clock jumps back.

    Unlike the ROS package's, it offers no ``tf2_frames`` service.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        """
        Create an empty buffer.

        :param cache_time: how far back a frame's history reaches; ten seconds if None.
        :param node: whose clock (perhaps a simulated one) is watched for jumps.
        """
        super().__init__(cache_time or DEFAULT_CACHE_TIME)
        self._waiting: list[Callable[[], None]] = []
        self._waiting_lock = RLock()
        self.clock = node.get_clock() if node else Clock()
        self.jump_handle = self.clock.create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True),
            post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget what was before the clock jumped back: a bag that starts over."""
        get_logger('tf2_buffer').warning('Detected jump back in time. Clearing tf buffer.')
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform of its stamp."""
        super().set_transform(transform, authority)
        self._tell_waiting()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times."""
        super().set_transform_static(transform, authority)
        self._tell_waiting()

    def lookup_transform(
            self, target_frame: str, source_frame: str, time: Time,
            timeout: Duration = NO_TIMEOUT) -> TransformStamped:
        """
        Return the transform that maps coordinates in the source to the target frame.

        :param time: 0 for the newest known.
        :param timeout: how long to wait for it, blocking; another thread must fill the buffer.
        :raises TransformException: if there is none.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
            self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
            fixed_frame: str, timeout: Duration = NO_TIMEOUT) -> TransformStamped:
        """Return the transform between frames at two times, over a frame that stands still."""
        question = (target_frame, target_time, source_frame, source_time, fixed_frame)
        self.can_transform_full(*question, timeout)
        return self.lookup_transform_full_core(*question)

    def can_transform(
            self, target_frame: str, source_frame: str, time: Time,
            timeout: Duration = NO_TIMEOUT,
            return_debug_tuple: bool = False) -> bool | tuple[bool, str]:
        """Return whether a lookup would succeed; with the reason, if a tuple is asked for."""
        answer = poll(
            lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return answer if return_debug_tuple else answer[0]

    def can_transform_full(
            self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
            fixed_frame: str, timeout: Duration = NO_TIMEOUT,
            return_debug_tuple: bool = False) -> bool | tuple[bool, str]:
        """Return whether a lookup across times would succeed; as `can_transform`."""
        question = (target_frame, target_time, source_frame, source_time, fixed_frame)
        answer = poll(lambda: self.can_transform_full_core(*question), timeout)
        return answer if return_debug_tuple else answer[0]

    async def lookup_transform_async(
            self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """Return the transform as soon as it is known."""
        return await self.wait_for_transform_async(target_frame, source_frame, time)

    def wait_for_transform_async(
            self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future of the transform, done as soon as it is known."""
        future = Future()

        def answer_if_known() -> None:
            if self.can_transform_core(target_frame, source_frame, time)[0]:
                future.set_result(self.lookup_transform_core(target_frame, source_frame, time))

        with self._waiting_lock:
            answer_if_known()
            if not future.done():
                self._waiting.append(answer_if_known)
                future.add_done_callback(lambda _: self._forget(answer_if_known))
        return future

    def _tell_waiting(self) -> None:
        with self._waiting_lock:
            for answer_if_known in tuple(self._waiting):
                answer_if_known()

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._waiting_lock:
            if callback in self._waiting:
                self._waiting.remove(callback)


def poll(ask: Callable[[], tuple[bool, str]], timeout: Duration) -> tuple[bool, str]:
    """Ask until the answer is yes or the time (of the wall, as in tf2) is up."""
    deadline_s = wall_time.monotonic() + timeout.nanoseconds / 1e9
    while not (answer := ask())[0] and wall_time.monotonic() < deadline_s:
        wall_time.sleep(POLL_PERIOD_S)
    return answer

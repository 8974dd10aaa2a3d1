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

"""A tf2 buffer that rejects invalid transforms and recovers from wrong stamps and loops."""

from __future__ import annotations

from collections import defaultdict
import math
import time
from typing import Callable

from fg2_ros.ros.arrivals import Arrivals
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from tf2_ros import Buffer

CACHE_S = 30.0
JUMP_NS = 5 * 10 ** 9  # stamps that go back further were ahead of time, or the sender restarted
NOT_NORMALISED = 0.01  # of a quaternion's length: tf2 ignores such transforms without a word
STALE_S = 2.0  # after which the sender of a transform is taken to have stopped


class GuardedBuffer(Buffer):
    """
    Keeps transforms as tf2 does, except invalid ones.

    Rotations that are no unit quaternions and numbers that are not finite are left out, as are
    transforms that would close a loop. Where the stamps of a transform go back by seconds, those
    kept so far were ahead of time and are dropped: tf2 would refuse the right ones until then.

    :param warn: called with a sentence for each transform that is left out.
    """

    def __init__(self, warn: Callable[[str], None] = lambda sentence: None):
        """Start empty."""
        super().__init__(cache_time=Duration(seconds=CACHE_S))
        self._warn = warn
        self._parents: dict[str, str] = {}
        self._heard_s: dict[str, float] = {}  # of moving frames
        self._newest_ns: dict[str, int] = {}
        self._wrong: dict[str, str] = {}  # sentences by child
        self.arrivals: defaultdict[str, Arrivals] = defaultdict(Arrivals)  # by child

    def clear(self) -> None:
        """Forget all transforms that move."""
        super().clear()
        for child in self._heard_s:
            self._parents.pop(child, None)
        self._heard_s.clear()
        self._newest_ns.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform of its stamp."""
        parent, child = _edge(transform)
        self.arrivals[child].note()
        if not self._is_sound(transform, parent, child, is_static=False):
            return
        stamp = transform.header.stamp
        stamp_ns = stamp.sec * 10 ** 9 + stamp.nanosec
        if self._newest_ns.get(child, stamp_ns) - stamp_ns > JUMP_NS:
            self._warn(f'the stamps of the transform {parent} -> {child} went back by '
                       f'{(self._newest_ns[child] - stamp_ns) / 1e9:.1f} s: those before are '
                       'forgotten')
            self.clear()
        self._parents[child], self._heard_s[child] = parent, time.monotonic()
        self._newest_ns[child] = max(stamp_ns, self._newest_ns.get(child, stamp_ns))
        super().set_transform(transform, authority)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times."""
        parent, child = _edge(transform)
        if not self._is_sound(transform, parent, child, is_static=True):
            return
        self._parents[child] = parent
        self._heard_s.pop(child, None)
        super().set_transform_static(transform, authority)

    def problem_between(self, frame: str, other: str) -> str:
        """Return which transforms between two frames and their roots were left out; '' if none."""
        below = [*self._ancestors(frame), *self._ancestors(other)]
        return '; '.join(dict.fromkeys(
            self._wrong[child] for child in below if child in self._wrong))

    def ahead_s(self, child: str, stamp_ns: int) -> float:
        """Return how much later than a stamp a frame's newest transform is; 0 without any."""
        return (self._newest_ns.get(child, stamp_ns) - stamp_ns) / 1e9

    def _is_sound(self, transform: TransformStamped, parent: str, child: str,
                  is_static: bool) -> bool:
        """Return whether a transform is valid; else remember and report why not."""
        wrong = _invalidity(transform) or self._loop(parent, child, is_static)
        if not wrong:
            self._wrong.pop(child, None)
            return True
        self._wrong[child] = f'the transform {parent} -> {child} is not used: {wrong}'
        self._warn(self._wrong[child])
        return False

    def _loop(self, parent: str, child: str, is_static: bool) -> str:
        """Return the loop that a transform would close; '' if none, or one of stale transforms."""
        above = self._ancestors(parent)
        if self._parents.get(child) == parent or child not in above:
            return ''
        others = above[:above.index(child)]
        loop = f'{" -> ".join([child, *reversed(others), child])} is a loop'
        if is_static or any(map(self._is_fresh, [child, *others])):
            return loop
        # The sender of the others has stopped, or they are static, which nobody can take back.
        self._warn(f'the transforms close a loop: {loop}; {parent} -> {child} is believed')
        self.clear()
        return ''

    def _is_fresh(self, child: str) -> bool:
        """Return whether a frame moves and its transform is still being sent."""
        return time.monotonic() - self._heard_s.get(child, -math.inf) <= STALE_S

    def _ancestors(self, frame: str) -> list[str]:
        """Return a frame and those above it, the nearest first."""
        found = [frame]
        while (parent := self._parents.get(found[-1])) is not None and parent not in found:
            found.append(parent)
        return found


def _edge(transform: TransformStamped) -> tuple[str, str]:
    """Return parent and child without the slash that they begin with in ROS 1."""
    return transform.header.frame_id.lstrip('/'), transform.child_frame_id.lstrip('/')


def _invalidity(transform: TransformStamped) -> str:
    """Return why a transform is invalid; '' if it is valid."""
    moved, turn = transform.transform.translation, transform.transform.rotation
    if not all(map(math.isfinite, (moved.x, moved.y, moved.z, turn.x, turn.y, turn.z, turn.w))):
        return 'it is not finite'
    length = math.hypot(turn.x, turn.y, turn.z, turn.w)
    if abs(length - 1) > NOT_NORMALISED:
        return f'its rotation is a quaternion of length {length:.3g}'
    return ''

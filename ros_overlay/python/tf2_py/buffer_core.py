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

"""A tree of frames over time: what `tf2_ros.Buffer` keeps its transforms in."""

from __future__ import annotations

from math import hypot, isnan
from threading import RLock

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time
from std_msgs.msg import Header
from tf2_py.exceptions import (
    ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException,
    TransformException)
from tf2_py.rigid import Rigid
from tf2_py.time_cache import LATEST, Sample, StaticCache, TimeCache

DEFAULT_CACHE_TIME = Duration(seconds=10)
MAX_DEPTH = 1000  # a longer path to the root can only be a loop


class BufferCore:
    """
    Transforms between frames, interpolated in time.

    Safe to use from several threads.  Times are `rclpy.time.Time` or `builtin_interfaces` times;
    0 asks for the newest time at which the whole path is known.
    """

    def __init__(self, cache_time: Duration = DEFAULT_CACHE_TIME) -> None:
        """
        Create an empty buffer.

        :param cache_time: how far back from its newest transform a frame's history reaches.
        """
        self._span_ns = nanoseconds(cache_time)
        self._caches: dict[str, StaticCache | TimeCache] = {}  # by child frame
        self._frames: set[str] = set()
        self._lock = RLock()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform of its stamp; an invalid one is logged and ignored."""
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times; an invalid one is logged and ignored."""
        self._insert(transform, authority, is_static=True)

    def clear(self) -> None:
        """Forget the transforms that move; static ones stay."""
        with self._lock:
            for cache in self._caches.values():
                cache.clear()

    def can_transform_core(
            self, target_frame: str, source_frame: str, time: Time) -> tuple[bool, str]:
        """Return whether a lookup would succeed, and if not, why."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ''

    def can_transform_full_core(
            self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
            fixed_frame: str) -> tuple[bool, str]:
        """Return whether a lookup across times would succeed, and if not, why."""
        try:
            self.lookup_transform_full_core(
                target_frame, target_time, source_frame, source_time, fixed_frame)
        except TransformException as error:
            return False, str(error)
        return True, ''

    def lookup_transform_core(
            self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """
        Return the transform that maps coordinates in the source to the target frame.

        :raises LookupException: if a frame does not exist or the tree contains a loop.
        :raises InvalidArgumentException: if a name is empty or begins with a slash.
        :raises ConnectivityException: if no path connects the frames.
        :raises ExtrapolationException: if the path is not known at that time.
        """
        with self._lock:
            stamp_ns, motion = self._lookup(target_frame, source_frame, nanoseconds(time))
        return transform_message(target_frame, source_frame, stamp_ns, motion)

    def lookup_transform_full_core(
            self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
            fixed_frame: str) -> TransformStamped:
        """
        Return the transform from the source frame at one to the target frame at another time.

        :param fixed_frame: the frame that stands still between the two times.
        :raises TransformException: as `lookup_transform_core`.
        """
        with self._lock:
            for role, frame in (('target_frame', target_frame), ('source_frame', source_frame),
                                ('fixed_frame', fixed_frame)):
                self._check_frame(frame, role)
            _, to_fixed = self._lookup(fixed_frame, source_frame, nanoseconds(source_time))
            stamp_ns, to_target = self._lookup(
                target_frame, fixed_frame, nanoseconds(target_time))
        return transform_message(
            target_frame, source_frame, stamp_ns, to_target.compose(to_fixed))

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which the path between two frames is known."""
        with self._lock:
            return Time(nanoseconds=self._latest_common_ns(target_frame, source_frame))

    def all_frames_as_string(self) -> str:
        """Return one line for each frame, naming its parent."""
        with self._lock:
            latest = {frame: cache.latest() for frame, cache in self._caches.items()}
        return ''.join(
            f'Frame {frame} exists with parent {sample.parent if sample else "NO_PARENT"}.\n'
            for frame, sample in latest.items())

    def _insert(self, transform: TransformStamped, authority: str, is_static: bool) -> None:
        parent = transform.header.frame_id.removeprefix('/')
        child = transform.child_frame_id.removeprefix('/')
        motion = motion_of(transform.transform)
        flaw = flaw_of(parent, child, motion)
        if not flaw:
            sample = Sample(nanoseconds(transform.header.stamp), parent, motion)
            with self._lock:
                if not self._cache_of(child, is_static).insert(sample):
                    flaw = 'it is older than the cache reaches'
                self._frames |= {parent, child}
        if flaw:
            get_logger('tf2').error(
                f'Ignoring transform "{parent}" -> "{child}" from authority "{authority}": {flaw}')

    def _cache_of(self, child: str, is_static: bool) -> StaticCache | TimeCache:
        cache = self._caches.get(child)
        if cache is None or cache.is_static != is_static:
            cache = StaticCache() if is_static else TimeCache(self._span_ns)
            self._caches[child] = cache
        return cache

    def _lookup(self, target: str, source: str, stamp_ns: int) -> tuple[int, Rigid]:
        if target == source:
            return self._latest_ns(target) if stamp_ns == LATEST else stamp_ns, Rigid()
        self._check_frame(target, 'target_frame')
        self._check_frame(source, 'source_frame')
        if stamp_ns == LATEST:
            stamp_ns = self._latest_common_ns(target, source)
        return stamp_ns, self._walk(target, source, stamp_ns)

    def _walk(self, target: str, source: str, stamp_ns: int) -> Rigid:
        """Return the motion from source to target, over the first frame above both."""
        top, top_from_source, source_obstacle = self._ascend(source, {target}, stamp_ns)
        if top == target:
            return top_from_source
        end, end_from_target, target_obstacle = self._ascend(target, {source, top}, stamp_ns)
        if end == source:
            return end_from_target.inverse()
        if end == top:
            return end_from_target.inverse().compose(top_from_source)
        obstacle = target_obstacle or source_obstacle
        if obstacle:
            raise ExtrapolationException(
                f'{obstacle}, when looking up transform from frame [{source}] to frame [{target}]')
        raise unconnected(target, source)

    def _ascend(
            self, frame: str, stops: set[str], stamp_ns: int) -> tuple[str, Rigid, str | None]:
        """Return the frame reached, the motion to it, and what kept from going on (or None)."""
        motion = Rigid()
        for _ in range(MAX_DEPTH):
            cache = self._caches.get(frame)
            if cache is None or frame in stops:
                return frame, motion, None
            try:
                sample = cache.at(stamp_ns)
            except ExtrapolationException as error:
                return frame, motion, str(error)
            motion, frame = sample.motion.compose(motion), sample.parent
        raise self._loop()

    def _latest_common_ns(self, target: str, source: str) -> int:
        above_source = self._latest_path(source, {target})
        above_target = self._latest_path(target, set(above_source))
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            raise unconnected(target, source)
        stamps = [
            stamp for path in (above_source, above_target) for stamp in stamps_below(path, common)
            if stamp != LATEST]
        return min(stamps, default=LATEST)

    def _latest_path(self, frame: str, stops: set[str]) -> dict[str, int]:
        """Return the frames from ``frame`` up to a stop or its root, with their newest stamps."""
        path = {}
        while frame not in path:
            sample = self._caches[frame].latest() if frame in self._caches else None
            path[frame] = sample.stamp_ns if sample else LATEST
            if sample is None or frame in stops:
                return path
            frame = sample.parent
        raise self._loop()

    def _latest_ns(self, frame: str) -> int:
        sample = self._caches[frame].latest() if frame in self._caches else None
        return sample.stamp_ns if sample else LATEST

    def _check_frame(self, frame: str, role: str) -> None:
        if not frame or frame.startswith('/'):
            rule = 'begin with a "/"' if frame else 'be empty'
            raise InvalidArgumentException(
                f'Invalid argument "{frame}" - in tf2 frame_ids cannot {rule}')
        if frame not in self._frames:
            raise LookupException(
                f'"{frame}" passed to lookupTransform argument {role} does not exist. ')

    def _loop(self) -> LookupException:
        return LookupException(
            'The tf tree is invalid because it contains a loop.\n' + self.all_frames_as_string())


def unconnected(target: str, source: str) -> ConnectivityException:
    """Return the exception for frames of different trees."""
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not part "
        'of the same tree. Tf has two or more unconnected trees.')


def stamps_below(path: dict[str, int], top: str) -> list[int]:
    """Return the stamps of the frames of a path that come before ``top``."""
    frames = list(path)
    return [path[frame] for frame in frames[:frames.index(top)]]


def flaw_of(parent: str, child: str, motion: Rigid) -> str:
    """Return why a transform cannot be used, '' if it can."""
    if not parent or not child:
        return 'a frame has no name'
    if parent == child:
        return 'the two frames are the same'
    if any(isnan(value) for value in (*motion.translation, *motion.rotation)):
        return 'it contains a NaN'
    if not any(motion.rotation):
        return 'its quaternion is all zeros'
    return ''


def nanoseconds(time) -> int:
    """Return the nanoseconds of a time or duration, of rclpy or of a message."""
    if hasattr(time, 'nanoseconds'):
        return time.nanoseconds
    if hasattr(time, 'sec') and hasattr(time, 'nanosec'):
        return time.sec * 10**9 + time.nanosec
    raise TypeError('time must have sec and nanosec, or nanoseconds.')


def motion_of(transform: Transform) -> Rigid:
    """Return the motion that a message holds; as in tf2, any length of its quaternion will do."""
    q, t = transform.rotation, transform.translation
    length = hypot(q.x, q.y, q.z, q.w) or 1.0
    return Rigid(tuple(value / length for value in (q.x, q.y, q.z, q.w)),
                 (float(t.x), float(t.y), float(t.z)))


def transform_message(
        target: str, source: str, stamp_ns: int, motion: Rigid) -> TransformStamped:
    """Return a motion as a message: the target is the header's frame, the source the child."""
    sec, nanosec = divmod(stamp_ns, 10**9)
    return TransformStamped(
        header=Header(stamp=TimeMessage(sec=sec, nanosec=nanosec), frame_id=target),
        child_frame_id=source,
        transform=Transform(
            translation=Vector3(**dict(zip('xyz', motion.translation))),
            rotation=Quaternion(**dict(zip('xyzw', motion.rotation)))))

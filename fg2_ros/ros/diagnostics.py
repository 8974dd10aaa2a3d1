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

"""The node's health: counters, latencies and reasons, in /diagnostics and in the log."""

from __future__ import annotations

from collections import Counter, deque
import os
from pathlib import Path
import re
import threading
import time
from typing import Mapping, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.ros.arrivals import Arrivals
from fg2_ros.tracker.results import BeliefState, TrackedPose
import numpy as np

REPEAT_LOG_S = 10.0
OVER_S = 60.0  # what has not happened for this long is logged again
_RECENT_S = 3.0
LASTING_S = 2.0  # a shorter trouble needs no action
SEARCHING = ('start', 'mass', 'order')  # kinds of rejections that end by driving on
COARSE = 2.0  # imagery coarser than wanted by this factor asks for a finer source


class Trouble(NamedTuple):
    """Something wrong: what, since when, and when last."""

    reason: str
    since_s: float
    last_s: float

    @property
    def is_recent(self) -> bool:
        """Whether it was noticed in the last seconds."""
        return _is_recent(self.last_s)

    @property
    def lasts(self) -> bool:
        """Whether it is recent, and not of a moment only."""
        return self.is_recent and self.last_s - self.since_s >= LASTING_S


class Rejected(Exception):
    """
    No pose comes of an image, or a message is unusable.

    :param kind: what was wrong, one of few words; it is counted under this name.
    :param reason: a sentence for the user.
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


class Health:
    """
    Counts what happens, from any thread, and reports it once a second.

    :param logger: of the node; every trouble is logged once, and again each ten seconds while it
        lasts, as a warning if somebody has to act.
    """

    def __init__(self, logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._logged_s: dict[tuple[str, bool], float] = {}  # when, by sentence and as a warning
        self.state = 'unconfigured'
        self.setup_error = ''  # why the node could not be configured
        self.notes: dict[str, str] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the counts; a new activation begins."""
        with self._lock:
            self.accepted = 0
            self.rejected: Counter[str] = Counter()
            self.last_reason = ''
            self.last_belief: BeliefState | None = None
            self._latencies_ms: deque[float] = deque(maxlen=200)
            self._troubles: dict[str, Trouble] = {}
            self._last_accepted_s = -np.inf
            self._begin_s = time.monotonic()

    def pose_published(self, pose: TrackedPose, latency_s: float) -> None:
        """Note a published pose, and how long after the image's arrival it left."""
        with self._lock:
            self.accepted += 1
            self.last_belief = pose.belief
            self._latencies_ms.append(1e3 * latency_s)
            self._last_accepted_s = time.monotonic()

    def image_rejected(self, rejection: Rejected) -> None:
        """Count an image of which no pose came, and say why."""
        with self._lock:
            self.rejected[rejection.kind] += 1
            self.last_reason = str(rejection)
        self.trouble(rejection.kind, f'no pose: {rejection}')

    def trouble(self, kind: str, reason: str, once: bool = False, may_pass: bool = False) -> None:
        """
        Report something wrong: in the log, and in /diagnostics while it is recent.

        It is logged as a warning if somebody has to act on it, else as information.

        :param once: do not repeat it in the log while it lasts.
        :param may_pass: nobody has to act unless it lasts.
        """
        now = time.monotonic()
        with self._lock:
            before = self._troubles.get(kind)
            since_s = before.since_s if before and before.is_recent else now
            trouble = self._troubles[kind] = Trouble(reason, since_s, now)
            warns = kind not in SEARCHING and (trouble.lasts or not may_pass)
            due = self._is_due(re.sub(r'[-\d.]+', '#', reason), warns, now, once)
        if due and warns:  # rclpy refuses to log with two severities from one line
            self._logger.warning(reason)
        elif due:
            self._logger.info(reason)

    def _is_due(self, pattern: str, warns: bool, now_s: float, once: bool) -> bool:
        """Return whether a sentence without its numbers is to be logged; note that it is."""
        self._logged_s = {said: when_s for said, when_s in self._logged_s.items()
                          if now_s - when_s < max(OVER_S, REPEAT_LOG_S)}
        before_s = self._logged_s.get((pattern, warns), -np.inf)
        due = now_s - before_s >= (OVER_S if once else REPEAT_LOG_S)
        if due or once:
            self._logged_s[pattern, warns] = now_s
        return due

    def note(self, kind: str, sentence: str) -> None:
        """Keep a sentence on an optional input that is missing; '' once it is there."""
        if sentence and self.notes.get(kind) != sentence:
            self._logger.info(sentence)
        if sentence:
            self.notes[kind] = sentence
        else:
            self.notes.pop(kind, None)

    def report(self, name: str, stamp, arrivals: Mapping[str, Arrivals], values: dict,
               imagery: ImageryStatus | None) -> DiagnosticArray:
        """
        Return the diagnostics of now.

        :param name: of the node; it begins every status' name.
        :param stamp: builtin_interfaces Time of now.
        :param arrivals: of the messages of each topic that is listened to.
        :param values: further ones about the inputs.
        :param imagery: how the imagery does, None if there is none.
        """
        message = DiagnosticArray()
        message.header.stamp = stamp
        with self._lock:
            message.status = [
                _status(f'{name}: localization', *self._localization()),
                _status(f'{name}: inputs', *self._inputs(arrivals, values)),
                _status(f'{name}: imagery', *self._imagery(imagery)),
            ]
        return message

    def _localization(self):
        values = {
            'state': self.state,
            'accepted': self.accepted,
            'rejected': sum(self.rejected.values()),
            **{f'rejected: {kind}': count for kind, count in sorted(self.rejected.items())},
            'last rejection': self.last_reason,
            **self._belief(),
            'latency p50 [ms]': _percentile(self._latencies_ms, 50),
            'latency p95 [ms]': _percentile(self._latencies_ms, 95),
            'resident memory [MB]': f'{resident_memory_mb():.0f}',
            **self.notes,
        }
        return *self._verdict(), values

    def _verdict(self) -> tuple[bytes, str]:
        """Return level and summary: a warning only where somebody has to do something."""
        if self.setup_error:
            return DiagnosticStatus.ERROR, self.setup_error
        if self.state != 'active':
            return DiagnosticStatus.OK, self.state
        recent = {kind: each for kind, each in self._troubles.items() if each.is_recent}
        lasting = [each.reason for kind, each in recent.items()
                   if each.lasts and kind not in SEARCHING]
        if lasting:
            return DiagnosticStatus.WARN, '; '.join(lasting)
        if _is_recent(self._last_accepted_s):
            return DiagnosticStatus.OK, 'localizing'
        searching = [each.reason for each in recent.values()]
        return DiagnosticStatus.OK, '; '.join(searching) or 'waiting for images'

    def _belief(self) -> dict[str, str]:
        """Return how sure the last published pose was."""
        belief = self.last_belief
        if belief is None:
            return {}
        sigma = np.sqrt(np.diag(belief.covariance))
        return {'probability of the pose': f'{belief.mass:.3f}',
                'agreement of the images': f'{belief.agreement:.2f}',
                'sigma [m]': f'{np.hypot(*sigma[:2]) / np.sqrt(2):.2f}',
                'sigma [deg]': f'{np.degrees(sigma[2]):.2f}'}

    def _inputs(self, arrivals: Mapping[str, Arrivals], values: dict):
        values = dict(values)
        for topic, each in arrivals.items():
            values[f'{topic} rate [Hz]'] = f'{each.rate_hz:.1f}'
            values[f'{topic} age [s]'] = f'{each.age_s:.2f}'
        images = [each for topic, each in arrivals.items() if topic.startswith('image')]
        age_s = min((each.age_s for each in images), default=np.inf)
        rate_hz = max((each.rate_hz for each in images), default=0.0)
        if self.state == 'active' and not _is_recent(self._begin_s) and age_s > _RECENT_S:
            return DiagnosticStatus.WARN, 'no images', values
        return DiagnosticStatus.OK, f'{rate_hz:.1f} images/s', values

    def _imagery(self, imagery: ImageryStatus | None):
        values = _imagery_values(imagery) if imagery else {}
        trouble = self._troubles.get('imagery')
        problem = trouble.reason if trouble and trouble.lasts else ''
        problem = problem or (_imagery_problem(imagery) if imagery else '')
        if problem:
            return DiagnosticStatus.WARN, problem, values
        return DiagnosticStatus.OK, 'ok' if imagery else 'not configured', values


def _is_recent(when_s: float) -> bool:
    return time.monotonic() - when_s <= _RECENT_S


def resident_memory_mb() -> float:
    """Return the resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


def _imagery_problem(imagery: ImageryStatus) -> str:
    """Return what is wrong with the imagery for longer than a moment, '' if nothing is."""
    if imagery.offline:
        return f'{imagery.last_error or "offline"}: only cached tiles of it are used'
    for cache in imagery.caches:
        if not cache.is_sound:
            return f'cache: {cache}' if cache.is_open else f'the cache is {cache}'
    if imagery.stale:
        return f'{imagery.stale} tiles are out of date and cannot be had anew'
    patch = imagery.last_patch
    if patch and (patch.native_resolution_m or 0.0) > COARSE * patch.resolution_m:
        return (f'the imagery of {patch.source} has {patch.native_resolution_m:.2f} m per pixel, '
                f'coarser than the {patch.resolution_m:.2f} m that the network wants')
    return imagery.doubts[0] if imagery.doubts else ''


def _imagery_values(imagery: ImageryStatus) -> dict:
    """Return how the imagery does as diagnostics show it: flat, with units."""
    values = {'source': imagery.source, **imagery.counters,
              'cache': '; '.join(map(str, imagery.caches)) or 'none',
              'offline': imagery.offline, 'last_error': imagery.last_error,
              'doubts': '; '.join(imagery.doubts) or 'none'}
    if imagery.last_patch:
        patch = imagery.last_patch
        native_m = patch.native_resolution_m
        values |= {
            'patch_source': patch.source, 'patch_vintage': patch.vintage,
            'patch_attribution': patch.attribution,
            'patch_resolution [m]': f'{patch.resolution_m:.3f}',
            'imagery_resolution [m]': 'unknown' if native_m is None else f'{native_m:.3f}'}
    for number, member in enumerate(imagery.members, 1):
        state = member.last_error if member.offline else 'ok'
        values[f'source {number}'] = f'{member.source}: {state}'
    return values


def _status(name: str, level: bytes, summary: str, values: dict) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level, name=name, message=summary, hardware_id='fg2_ros',
        values=[KeyValue(key=str(key), value=str(value)) for key, value in values.items()])


def _percentile(samples, percent: float) -> str:
    return f'{np.percentile(samples, percent):.0f}' if samples else ''

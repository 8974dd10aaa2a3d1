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

"""Several sources of imagery as one: what the first lacks, the next gives."""

from __future__ import annotations

from collections.abc import Sequence
import logging
import math
import time
from typing import Any

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import (
    AerialPatch, Imagery, ImageryError, ImageryGaps, ImageryNotReady, MAX_MISSING,
    require_fine_enough)

_logger = logging.getLogger(__name__)


class FallbackImagery:
    """
    Patches of the first source that has them; implements `fg2_ros.imagery.patch.Imagery`.

    A source is passed over where it has nothing, or nothing fine enough, and while it fails. One
    that is only slow is waited for: the imagery does not change from patch to patch by chance.
    Gaps of a patch are filled from the sources after its own; so parts that are too little alone
    may together be enough.

    :param members: the sources, first choice first; closed with the chain.
    :param coarsest_m: imagery with more metres per pixel is refused.
    :raises ValueError: if there are none.
    """

    def __init__(self, members: Sequence[Imagery], coarsest_m: float = math.inf):
        """Take the sources over; nothing is fetched yet."""
        if not members:
            raise ValueError('a chain of sources needs at least one')
        self.members = tuple(members)
        self._coarsest_m = coarsest_m
        self._asked = 1  # how many members the last patch took, so that these are requested ahead
        self._last: dict[str, object] = {}
        self._notices = LogThrottle(_logger)

    @property
    def name(self) -> str:
        """Return what messages call the chain: its members' names."""
        return ', '.join(str(member.stats().get('source', '?')) for member in self.members)

    def patch(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
              size_px: int, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`.

        :raises ImageryNotReady: if a source that works is still fetching after ``wait_s``.
        :raises ImageryError: if no source has it; says why, of each.
        :raises ValueError: if the patch asked for makes no sense.
        """
        deadline = time.monotonic() + wait_s
        patch, problems = None, []
        for asked, member in enumerate(self.members, 1):
            waits = asked == len(self.members) or not _fails(member)
            left_s = max(0.0, deadline - time.monotonic()) if waits else 0.0
            part, problem = self._part_of(member, frame, centre_m, size_m, size_px, left_s)
            if problem is not None:
                problems.append(problem)
            if part is not None:
                patch = part if patch is None else patch.filled_from(part)
            if patch is not None and patch.valid is None or (
                    isinstance(problem, ImageryNotReady) and not _fails(member)):
                break
        self._asked = asked
        if patch is None or patch.valid_share < 1 - MAX_MISSING:
            raise _united(problems)
        self._note(patch)
        return patch

    def _part_of(self, member: Imagery, *patch: Any) -> tuple[
            AerialPatch | None, ImageryError | None]:
        """Return what a source has of a patch, however little, and what it has to say to that."""
        try:
            try:
                part, problem = member.patch(*patch), None
            except ImageryGaps as gaps:
                part, problem = gaps.patch, gaps
            require_fine_enough(part.native_resolution_m, self._coarsest_m, part.source)
        except ImageryError as error:
            return None, error
        return part, problem

    def request(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
                size_px: int) -> None:
        """
        Start fetching such a patch from as many sources as the last one took.

        Those that have nothing at the place do not count: the next is asked instead.
        """
        members, left = iter(self.members), self._asked
        while left and (member := next(members, None)):
            try:
                member.request(frame, centre_m, size_m, size_px)
                left -= 1
            except ImageryError as error:
                _logger.debug('nothing is fetched ahead: %s', error)

    def close(self) -> None:
        """Close all sources."""
        for member in self.members:
            member.close()

    def stats(self) -> dict:
        """
        Return the sum of the members' counters, see `Imagery.stats`.

        ``offline`` is true while a source fails; ``sources`` holds the statistics of each. Of the
        last patch: ``patch_source``, ``patch_vintage``, ``patch_attribution``,
        ``patch_resolution_m`` and ``imagery_resolution_m``, None if it is not known.
        """
        each = [member.stats() for member in self.members]
        failing = [stats for stats in each if stats.get('offline')]
        states = dict.fromkeys(str(stats['cache']) for stats in each if 'cache' in stats)
        problems = [stats.get('last_error', '') for stats in (*failing, *each)]
        return {
            **_summed(each), 'source': ', '.join(str(stats.get('source', '')) for stats in each),
            'cache': '; '.join(sorted(states, key=lambda state: not state.startswith('off'))),
            'offline': bool(failing), 'last_error': next(filter(None, problems), ''),
            'sources': each, **self._last}

    def _note(self, patch: AerialPatch) -> None:
        """Remember where a patch came from, and say so when that is not the first choice."""
        first = self.members[0].stats().get('source', '')
        if patch.source not in (first, self._last.get('patch_source')):
            self._notices.warn(
                f'the aerial imagery is now from {patch.source}: {first} fails or has gaps here')
        self._last = {
            'patch_source': patch.source, 'patch_vintage': patch.vintage,
            'patch_attribution': patch.attribution, 'patch_resolution_m': patch.resolution_m,
            'imagery_resolution_m': patch.native_resolution_m}


def _fails(member: Imagery) -> bool:
    return bool(member.stats().get('offline'))


def _united(problems: list[ImageryError]) -> ImageryError:
    """Return one error of several: not ready if one of them may still become a patch."""
    waiting = any(isinstance(problem, ImageryNotReady) for problem in problems)
    kind = ImageryNotReady if waiting else ImageryError
    return kind('; '.join(str(problem) for problem in problems))


def _summed(each: list[dict]) -> dict:
    """Return the sums of the counters, in the order in which they first appear."""
    counters = [key for stats in each for key, value in stats.items()
                if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return {key: sum(stats.get(key, 0) for stats in each) for key in dict.fromkeys(counters)}

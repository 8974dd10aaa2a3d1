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

"""Several sources of imagery as one: the next fills in where the first has none."""

from __future__ import annotations

from collections.abc import Sequence
import logging
import math
import time

from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import (
    AerialPatch, Imagery, ImageryError, ImageryGaps, ImageryNotReady, MAX_MISSING, PatchView,
    require_fine_enough)
from fg2_ros.imagery.status import combined, ImageryStatus, PatchOrigin

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
        self._last: PatchOrigin | None = None
        self._notices = LogThrottle(_logger)

    @property
    def name(self) -> str:
        """Return the name of the chain in messages: its members' names."""
        return ', '.join(member.status().source for member in self.members)

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`.

        :raises ImageryNotReady: if a source that works is still fetching after ``wait_s``.
        :raises ImageryGaps: if all together have less than half of it.
        :raises ImageryError: if no source has it; says why, of each.
        """
        deadline = time.monotonic() + wait_s
        patch, problems = None, []
        for asked, member in enumerate(self.members, 1):
            waits = asked == len(self.members) or not member.status().offline
            left_s = max(0.0, deadline - time.monotonic()) if waits else 0.0
            part, problem = self._part_of(member, view, left_s)
            if problem is not None:
                problems.append(problem)
            if part is not None:
                patch = part if patch is None else patch.filled_from(part)
            if patch is not None and patch.valid is None or (
                    isinstance(problem, ImageryNotReady) and not member.status().offline):
                break
        self._asked = asked
        if patch is None or patch.valid_share < 1 - MAX_MISSING:
            raise _united(problems, patch)
        self._note(patch)
        return patch

    def _part_of(self, member: Imagery, view: PatchView, wait_s: float) -> tuple[
            AerialPatch | None, ImageryError | None]:
        """Return what a source has of a patch, however little, and its error."""
        try:
            try:
                part, problem = member.patch(view, wait_s), None
            except ImageryGaps as gaps:
                part, problem = gaps.patch, gaps
            require_fine_enough(part.native_resolution_m, self._coarsest_m, part.source)
        except ImageryError as error:
            return None, error
        return part, problem

    def request(self, view: PatchView) -> None:
        """
        Start fetching such a patch from as many sources as the last one took.

        Those that have nothing at the place do not count: the next is asked instead.
        """
        members, left = iter(self.members), self._asked
        while left and (member := next(members, None)):
            try:
                member.request(view)
                left -= 1
            except ImageryError as error:
                _logger.debug('nothing is fetched ahead: %s', error)

    def close(self) -> None:
        """Close all sources."""
        for member in self.members:
            member.close()

    def status(self) -> ImageryStatus:
        """Return the status of all sources, and where the last patch came from."""
        return combined([member.status() for member in self.members], self._last)

    def _note(self, patch: AerialPatch) -> None:
        """Remember the source of a patch, and log it when that is not the first choice."""
        first = self.members[0].status().source
        if patch.source not in (first, self._last.source if self._last else None):
            self._notices.warn(
                f'the aerial imagery is now from {patch.source}: {first} fails or has gaps here')
        self._last = PatchOrigin(
            patch.source, patch.vintage, patch.attribution, resolution_m=patch.resolution_m,
            native_resolution_m=patch.native_resolution_m)


def _united(problems: list[ImageryError], patch: AerialPatch | None) -> ImageryError:
    """
    Return one error of several: not ready if one of them may still become a patch.

    :param patch: what there is, all sources together.
    """
    sentence = '; '.join(str(problem) for problem in problems)
    if any(isinstance(problem, ImageryNotReady) for problem in problems):
        return ImageryNotReady(sentence)
    return ImageryError(sentence) if patch is None else ImageryGaps(sentence, patch)

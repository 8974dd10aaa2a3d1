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

"""Why a belief is not to be published: what its images, GNSS and the heading say against it."""

from __future__ import annotations

import math

from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker.belief import Belief, Mode
from fg2_ros.tracker.evidence import agreement, Recent, strength
from fg2_ros.tracker.inputs_memory import InputsMemory
from fg2_ros.tracker.results import BeliefState
from fg2_ros.tracker.settings import TrackerSettings
import numpy as np

SUPPORT = 0.85  # agreement of an image that is in favour of a belief
USUALLY_SEARCHED = 4  # boxes: the four headings of a start
USUAL_SIGMAS = 2.0  # of GNSS from a place that is found
CHANCES = 0.4  # times more distance for each doubling of what was searched


class Doubts:
    """
    Judge beliefs.

    :param inputs: GNSS and headings that may contradict them.
    """

    def __init__(self, settings: TrackerSettings, inputs: InputsMemory):
        """Start with nothing searched."""
        self.settings, self._inputs = settings, inputs
        self.searched = 0  # boxes, since a pose was published
        self._contradicted_ns: int | None = None

    def begin_again(self) -> None:
        """Forget since when the belief is contradicted: it is given up."""
        self._contradicted_ns = None

    def of(self, summary: BeliefState, belief: Belief, mode: Mode, valid_share: float,
           recent: list[Recent]) -> tuple[str, str] | None:
        """
        Return (kind, sentence) why a belief is not to be published; None if it is.

        :param valid_share: how much of the aerial patches shows imagery.
        :param recent: the images of the last metres.
        """
        settings = self.settings.publication
        if valid_share < settings.min_valid_share:
            return 'imagery', (f'only {valid_share:.0%} of the aerial patch shows '
                               'imagery')
        if doubt := self._too_early(summary, recent) or self._disagreement(summary, recent):
            return doubt
        if mode.mass < settings.min_mass:
            other, mass = belief.second(mode)
            return 'mass', (
                f'the likeliest place has a probability of {mode.mass:.0%} only, '
                f'{settings.min_mass:.0%} is needed; another {_away(mode.peak, other)} has '
                f'{mass:.0%}')
        sigma_m = math.sqrt(np.linalg.eigvalsh(summary.covariance[:2, :2])[-1])
        if sigma_m > settings.max_sigma_m:
            return 'vague', (f'the position is uncertain by {sigma_m:.1f} m (one sigma), at most '
                             f'{settings.max_sigma_m:.1f} m are allowed')
        return None

    def is_clear(self, summary: BeliefState, recent: list[Recent]) -> bool:
        """Return whether images disagree so much with a belief that it is no matter of luck."""
        since = self._since_contradiction(recent)
        return not agreement(summary.mean, since) >= self.settings.calibration.agreement

    def _too_early(
            self, summary: BeliefState, recent: list[Recent]) -> tuple[str, str] | None:
        """Return (kind, sentence) if there are too few images to tell whether they agree."""
        settings = self.settings.publication
        is_long = length_m(recent) >= settings.min_distance_m
        tells = self._telling_m(summary, recent) >= settings.min_distance_m or (
            summary.agreement < self._level(summary, recent))
        if len(recent) >= settings.min_images and is_long and tells:
            return None
        return 'start', (
            f'only {len(recent)} images over {length_m(recent):.0f} m so far, '
            f'{settings.min_images} over {settings.min_distance_m:g} m are needed, over more '
            'where images match weakly')

    def _telling_m(self, summary: BeliefState, images: list[Recent]) -> float:
        """Return the distance that images tell as much over as strongly matching ones."""
        told_m = self.settings.calibration.telling_m(
            length_m(images), strength(summary.mean, images))
        # The more has been searched, the likelier something agrees by chance.
        chances = 1 + CHANCES * math.log2(max(self.searched / USUALLY_SEARCHED, 1.0))
        return told_m / chances / self._surprise(summary)

    def _surprise(self, summary: BeliefState) -> float:
        """Return how much more must agree for a place that GNSS makes unlikely; 1 for others."""
        offset = self._inputs.offset_m(summary.stamp_ns, summary.mean)
        if not self.searched or offset is None:
            return 1.0  # it was agreed on before
        return 1 + max(float(np.hypot(*offset[0])) / offset[1] - USUAL_SIGMAS, 0.0)

    def _level(self, summary: BeliefState, images: list[Recent]) -> float:
        """Return the agreement that images must reach."""
        level = self.settings.calibration.agreement_over(self._telling_m(summary, images))
        return min(level, self.settings.publication.most_agreement)

    def _disagreement(
            self, summary: BeliefState, recent: list[Recent]) -> tuple[str, str] | None:
        """Return (kind, sentence) if images do not agree enough with a belief."""
        level = self._level(summary, recent)
        if summary.agreement < level:
            return 'agreement', (
                f'the images of the last {length_m(recent):.0f} m agree with no '
                f'place near the prior (agreement {summary.agreement:.2f}, {level:.2f} is '
                'needed): is the heading right, and do images and imagery show the same place?')
        contradictions = self._contradictions(summary, recent[-1:])
        if len(contradictions) > 1:
            return 'agreement', ' and '.join(contradictions)
        if not contradictions:
            return None
        since = self._since_contradiction(recent)
        agreed, telling_m = agreement(summary.mean, since), self._telling_m(summary, since)
        if telling_m < self.settings.publication.min_distance_m or (
                agreed < self._level(summary, since)):
            return 'agreement', (
                f'{contradictions[0]}, and the images over {length_m(since):.0f} m since then '
                f'do not outweigh it (agreement {agreed:.2f})')
        return None

    def _contradictions(self, summary: BeliefState, newest: list[Recent]) -> list[str]:
        """
        Return how inputs contradict a belief, and note since when.

        One fix alone does so only if the newest image is not in favour of the belief either.
        """
        is_supported = agreement(summary.mean, newest) >= SUPPORT
        contradictions = self._inputs.contradictions(
            summary.stamp_ns, summary.mean, by_majority=is_supported)
        if not contradictions:
            self._contradicted_ns = None
        elif self._contradicted_ns is None:
            self._contradicted_ns = summary.stamp_ns
        return contradictions

    def _since_contradiction(self, recent: list[Recent]) -> list[Recent]:
        since_ns = self._contradicted_ns
        return recent if since_ns is None else [
            each for each in recent if each.image.stamp_ns >= since_ns]


def length_m(images: list[Recent]) -> float:
    """Return how far was driven since the first of the images."""
    return images[0].driven_m if images else 0.0


def _away(here: Pose2, there: Pose2) -> str:
    distance_m = math.hypot(there.x - here.x, there.y - here.y)
    turn_deg = abs(math.degrees(wrap_angle(there.yaw - here.yaw)))
    return f'{distance_m:.0f} m and {turn_deg:.0f} degrees away'

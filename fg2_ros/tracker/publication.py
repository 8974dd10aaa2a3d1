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

"""Whether a belief may be published: its probability, and agreement of images, GNSS, heading."""

from __future__ import annotations

import math

from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker.belief import Belief, Mode
from fg2_ros.tracker.evidence import log_odds, Recent
from fg2_ros.tracker.results import BeliefState
from fg2_ros.tracker.sensor_history import SensorHistory
from fg2_ros.tracker.settings import MAX_LACK, TrackerSettings
import numpy as np
from scipy.special import expit

USUALLY_SEARCHED = 1270.0  # m^2 rad: by an initial search at four headings, 11 m around GNSS
USUAL_GNSS_SIGMAS = 2.25  # between GNSS and the right place
CONTRADICTION_PENALTY = 3.0  # on the log-odds, for GNSS or a heading that contradicts the pose
KEEP_AGREEMENT = 0.5  # down to which a pose that is published stays so
LOST_AGREEMENT = 0.01  # below it the place is wrong
UNLIKE_IMAGERY = (
    'little of what the images show is found in the imagery: is the view hidden or dark, or the '
    'imagery clouded or old?')
NO_ODOMETRY = (
    'there is no odometry at the time of the image, and without it nobody knows over how much of '
    'the road the images agree')
SUPPORTING_SHARE = 0.85  # of an image's best log-likelihood: from it on it supports a pose


class PublicationTest:
    """
    The sequential test that a belief must pass before its pose is published.

    :param inputs: GNSS and headings that may contradict it.
    """

    def __init__(self, settings: TrackerSettings, inputs: SensorHistory):
        """Start without a contradiction, and with nothing searched."""
        self.settings, self._inputs = settings, inputs
        self.searched = 0.0  # m^2 rad, until a pose is published
        self._contradictions: list[str] = []
        self.contradicted_ns: int | None = None  # since when, without a break

    def reset(self) -> None:
        """Forget the contradictions: the belief is given up."""
        self._contradictions, self.contradicted_ns = [], None

    def agreement(self, stamp_ns: int, base: Pose2, recent: list[Recent]) -> float:
        """
        Return the probability that a pose is right, by how well images agree with it.

        :param recent: the images of the last metres.
        :return: NaN without images.
        """
        if not self._since_contradiction(recent):
            return math.nan
        odds = self._odds(base, recent) - CONTRADICTION_PENALTY * len(self._contradictions)
        if self.searched:
            odds -= self.surprise(stamp_ns, base)
        return float(expit(odds))

    def refutes(self, belief: Belief, mode: Mode, recent: list[Recent], at_most: float) -> bool:
        """
        Return whether images speak against the mode of a belief and all that is left beside it.

        How much was searched is no reason: one of many places is as likely to be right as a
        single one.

        :param at_most: probability of a refuted place.
        """
        odds = self._odds(mode.mean, recent) - CONTRADICTION_PENALTY * len(self._contradictions)
        return bool(expit(odds) < at_most) and all(
            expit(self._odds(place, recent)) < at_most for place in belief.places())

    def _odds(self, base: Pose2, recent: list[Recent]) -> float:
        return log_odds(
            base, self._since_contradiction(recent), self.settings.calibration)

    def surprise(self, stamp_ns: int, base: Pose2) -> float:
        """
        Return the log-odds that a place needs in addition before it is first published.

        The more places are searched, the likelier it is that one agrees by chance; and a place is
        the less likely, the further it is from GNSS.
        """
        chances = math.log(max(self.searched / USUALLY_SEARCHED, 1.0))
        offset = self._inputs.offset_m(stamp_ns, base)
        if offset is None:
            return chances
        sigmas = float(np.hypot(*offset[0])) / offset[1]
        excess = 0.5 * (sigmas ** 2 - USUAL_GNSS_SIGMAS ** 2)
        return chances + float(np.clip(excess, 0, CONTRADICTION_PENALTY))

    def rejection_of(self, state: BeliefState, belief: Belief, mode: Mode, valid_share: float,
                     recent: list[Recent]) -> tuple[str, str] | None:
        """
        Return (kind, sentence) why a belief is not to be published; None if it may be.

        :param state: of the belief.
        :param valid_share: how much of the aerial patches shows imagery.
        :param recent: the images of the last metres.
        """
        settings = self.settings.publication
        if valid_share < settings.min_valid_share:
            return 'imagery', f'only {valid_share:.0%} of the aerial patch shows imagery'
        if disagreement := self._disagreement(state, recent):
            return disagreement
        if mode.mass < settings.min_mass:
            other, mass = belief.second(mode)
            return 'mass', (
                f'the likeliest place has a probability of {mode.mass:.0%} only, '
                f'{settings.min_mass:.0%} is needed; another {_away(mode.peak, other)} has '
                f'{mass:.0%}')
        sigma_m = math.sqrt(np.linalg.eigvalsh(state.covariance[:2, :2])[-1])
        if sigma_m > settings.max_sigma_m:
            return 'vague', (f'the position is uncertain by {sigma_m:.1f} m (one sigma), at most '
                             f'{settings.max_sigma_m:.1f} m are allowed')
        return None

    def compare_inputs(self, stamp_ns: int, base: Pose2, newest: list[Recent]) -> None:
        """
        Record how GNSS and the heading contradict a pose, and since when.

        A single fix counts only if the newest image does not support the pose either.
        """
        is_supported = all(
            image.at(base.compose(step)) - image.mean
            >= SUPPORTING_SHARE * (image.best_around(base.compose(step)) - image.mean)
            for image, step, _ in newest)
        self._contradictions = self._inputs.contradictions(
            stamp_ns, base, by_majority=is_supported)
        if not self._contradictions:
            self.contradicted_ns = None
        elif self.contradicted_ns is None:
            self.contradicted_ns = stamp_ns

    def is_unlike_imagery(self, state: BeliefState) -> bool:
        """Return whether much of what the last images show is not found in the imagery."""
        lack = self.settings.calibration.compared(np.array(state.features))[-1]
        return bool(lack >= MAX_LACK)

    def _disagreement(
            self, state: BeliefState, recent: list[Recent]) -> tuple[str, str] | None:
        """Return (kind, sentence) if images do not agree enough with a belief."""
        settings = self.settings.publication
        contradictions = self._contradictions
        if len(contradictions) > 1:
            return 'agreement', ' and '.join(contradictions)
        level = settings.min_agreement if self.searched or contradictions else KEEP_AGREEMENT
        driven_m = length_m(self._since_contradiction(recent))
        is_short = driven_m < settings.min_distance_m
        if contradictions and (is_short or not state.agreement >= level):
            known = '' if math.isnan(state.agreement) else (
                f' (agreement {state.agreement:.2f})')
            return 'agreement', (
                f'{contradictions[0]}, and the images over {driven_m:.0f} m since then '
                f'do not outweigh it{known}')
        if is_short and self.searched and recent[-1].image.odometry is None:
            return 'odometry', NO_ODOMETRY
        if is_short and self.searched:
            return 'start', (
                f'only images over {math.floor(driven_m)} m so far, over '
                f'{settings.min_distance_m:g} m are needed')
        if not state.agreement >= level:
            return 'agreement', (
                f'the images of the last {driven_m:.0f} m agree with no '
                f'place near the prior (agreement {state.agreement:.2f}, {level:.2f} is '
                'needed): is the heading right, and do images and imagery show the same place?'
                + (f' And {UNLIKE_IMAGERY}' if self.is_unlike_imagery(state) else ''))
        return None

    def _since_contradiction(self, recent: list[Recent]) -> list[Recent]:
        since_ns = self.contradicted_ns
        return recent if since_ns is None else [
            each for each in recent if each.image.stamp_ns >= since_ns]


def length_m(images: list[Recent]) -> float:
    """Return how far was driven since the first of the images."""
    return images[0].driven_m if images else 0.0


def closed(sentence: str) -> str:
    """Return a sentence with a capital letter and a full stop, for another to follow."""
    return sentence[0].upper() + sentence[1:] + ('' if sentence.endswith('?') else '.')


def _away(here: Pose2, there: Pose2) -> str:
    distance_m = math.hypot(there.x - here.x, there.y - here.y)
    turn_deg = abs(math.degrees(wrap_angle(there.yaw - here.yaw)))
    return f'{distance_m:.0f} m and {turn_deg:.0f} degrees away'

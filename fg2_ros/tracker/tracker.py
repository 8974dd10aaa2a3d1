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

"""The tracker: messages and images in, a pose that can be trusted out. No ROS, no torch."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
import math
import threading
from typing import NamedTuple

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker.belief import Belief, Mode
from fg2_ros.tracker.evidence import (
    features, ImageLikelihood, log_likelihood_ratios, Recent, strength)
from fg2_ros.tracker.initial_search import grids_around, start_grids, WIDEST_CELLS
from fg2_ros.tracker.inputs import Fix, Observation, Odometry, SearchPlan
from fg2_ros.tracker.measurement import measured
from fg2_ros.tracker.motion import Link, Motion, OdometryChain
from fg2_ros.tracker.publication import (
    closed, KEEP_AGREEMENT, length_m, LOST_AGREEMENT, PublicationTest, UNLIKE_IMAGERY)
from fg2_ros.tracker.remarks import MOUNT_TURNED, NO_HEADING, Remarks, STANDING
from fg2_ros.tracker.results import BeliefState, Measurement, Rejection, TrackedPose
from fg2_ros.tracker.search_plan import focused, plan_of
from fg2_ros.tracker.sensor_history import SensorHistory
from fg2_ros.tracker.settings import TrackerSettings
import numpy as np

MIN_BOX_MASS = 1e-4  # a box with less is dropped
MAX_MOTION_SIGMA_M = 1000.0  # a motion less certain than this ends a belief
MIN_SPACING_M = 1.0  # nearer images are no further evidence: their errors are correlated
MAX_IMAGES = 64  # kept as evidence
LOST_AFTER_M = 4.0  # of road: over less, disagreement may be chance


class _State(NamedTuple):
    """The belief at a stamp."""

    stamp_ns: int
    belief: Belief
    base_from_camera: Pose2 = Pose2(0.0, 0.0, 0.0)


class Tracker:
    """
    Carry a belief of base_link's pose in the map along a drive.

    Messages may be added in one thread while another one updates; stamps may come late and out
    of order. For each image: `search` returns the poses to evaluate, and `update` takes their
    likelihoods.

    :param cell_m: distance of the cells that images are matched by (`FG2Config.cell_m`).
    """

    def __init__(self, settings: TrackerSettings = TrackerSettings(), cell_m: float = 1.1):
        """Start knowing nothing."""
        self.settings, self._cell_m = settings, cell_m
        self._lock = threading.RLock()
        self._odometry = OdometryChain(settings.motion)
        self._inputs = SensorHistory(settings.prior, self._odometry)
        self._remarks = Remarks()
        self._publication = PublicationTest(settings, self._inputs)
        # Set by `clear` and `_reset`:
        self._newest_ns: int
        self._begin_ns: int
        self._state: _State | None
        self._pending: _State | None
        self._images: deque[ImageLikelihood]
        self._sigma_m: float | None
        self._published_ns: int | None
        self._last_measured: Link | None
        self._image_used_ns: int | None
        self._inputs_used_ns: int | None
        self._restart_reason: str
        self._mount_turn_rad: float
        self._failures: int
        self._kidnapped_ns: int  # when the vehicle may have been moved without odometry noticing
        self.clear()

    def reconfigure(self, settings: TrackerSettings) -> None:
        """Go on with other settings; what is known stays."""
        with self._lock:
            self.settings = settings
            self._odometry.settings = settings.motion
            self._inputs.settings = settings.prior
            self._publication.settings = settings

    # Messages ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        with self._lock:
            self._odometry.clear()
            self._inputs.clear()
            self._remarks.clear()
            self._newest_ns, self._publication.searched = -1, 0.0
            self._reset()

    def relocalize(self, sigma_m: float | None = None) -> None:
        """
        Forget where the vehicle is, but not the inputs, and search.

        :param sigma_m: how far off GNSS may be, one sigma; None for what the fixes claim.
        """
        with self._lock:
            self._reset()
            self._sigma_m, self._publication.searched = sigma_m, 0.0

    def set_pose(self, stamp_ns: int, base: Pose2, covariance: np.ndarray) -> None:
        """
        Start from a pose that is known from elsewhere.

        :param covariance: (3, 3) of (east m, north m, yaw rad).
        """
        belief = Belief.over(grids_around(base, covariance, self._cell_m))
        with self._lock:
            self._reset()
            self._state, self._begin_ns = _State(stamp_ns, belief), stamp_ns
            self._publication.searched = 0.0

    def add_fix(self, stamp_ns: int, fix: Fix) -> None:
        """Remember a GNSS fix."""
        with self._lock:
            self._inputs.add_fix(stamp_ns, fix)

    def add_heading(self, stamp_ns: int, yaw_rad: float, sigma_rad: float) -> None:
        """Remember a map yaw of base_link."""
        with self._lock:
            self._inputs.add_heading(stamp_ns, yaw_rad, sigma_rad)

    def add_odometry(self, stamp_ns: int, odometry: Odometry) -> None:
        """Remember a pose of base_link in the odometry frame, if it can be one."""
        with self._lock:
            if problem := self._odometry.add(stamp_ns, odometry):
                self._remarks.add(stamp_ns, 'odometry', problem)

    def motion(self, from_ns: int, to_ns: int) -> Motion | None:
        """Return how the vehicle moved by odometry; None if that is not known."""
        with self._lock:
            return self._odometry.between(from_ns, to_ns)

    # Images ------------------------------------------------------------------------------------

    def search(
            self, stamp_ns: int, base_from_camera: Pose2 = Pose2(0.0, 0.0, 0.0)
            ) -> SearchPlan | Rejection:
        """Return the poses at which to evaluate an image of a stamp, or why there are none."""
        with self._lock:
            if stamp_ns <= self._newest_ns:
                return Rejection(stamp_ns, 'order', 'an image is not newer than the last one')
            belief = self._predicted(stamp_ns)
            if belief is None:
                belief = self._first_belief(stamp_ns)
            if belief is None:
                return Rejection(
                    stamp_ns, 'prior', 'no position yet: no good GNSS fix in the '
                    f'{self.settings.prior.fix_timeout_s:g} s around the image'
                    + self._inputs.lacking_fix(stamp_ns),
                    remarks=self._remarks.at(stamp_ns))
            mount = base_from_camera.compose(Pose2(0.0, 0.0, self._mount_turn_rad))
            self._pending = _State(stamp_ns, belief, mount)
            return plan_of(belief, mount, self._cell_m)

    def update(self, stamp_ns: int, observation: Observation) -> TrackedPose | Rejection:
        """
        Update the belief with an image that was evaluated as `search` asked for.

        :raises ValueError: if the last call of `search` was for another stamp.
        """
        with self._lock:
            if self._pending is None or self._pending.stamp_ns != stamp_ns:
                raise ValueError('the last search was not for this image')
            belief = self._pending.belief
            if self._state is None:
                self._publication.searched += belief.space
            observation = replace(observation, base_from_camera=self._pending.base_from_camera)
            self._pending = None
            likelihood = ImageLikelihood.of(stamp_ns, observation, self._odometry.at(stamp_ns))
            belief = self._updated(stamp_ns, belief, observation)
            now = self._with_inputs(stamp_ns, belief)
            belief, now = belief.kept(now.likely(MIN_BOX_MASS)), now.kept(now.likely(MIN_BOX_MASS))
            self._remember(likelihood)
            mode = now.mode()
            self._newest_ns, self._state = stamp_ns, _State(stamp_ns, belief)
            result = self._result(stamp_ns, now, mode, observation)
            if self._state is not None and not self._publication.searched:
                # Before images agree, one that errs must not narrow the search.
                self._state = _State(stamp_ns, focused(belief, mode, self._cell_m))
            return result

    def belief(self, stamp_ns: int, with_density: bool = False) -> BeliefState | None:
        """Return the belief, carried to a stamp by odometry; None if there is none."""
        with self._lock:
            belief = self._predicted(stamp_ns)
            if belief is None:
                return None
            now = self._with_inputs(stamp_ns, belief)
            return self._belief_state(stamp_ns, now, now.mode(), with_density)

    def offsets(self) -> tuple[np.ndarray | None, float | None]:
        """Return (2,) metres and radians by which GNSS and the heading differ from the poses."""
        with self._lock:
            return self._remarks.offsets

    def prior(self, stamp_ns: int) -> str:
        """Return, for diagnostics, what a search at a stamp would start from."""
        with self._lock:
            if self._state is not None:
                known = self._odometry.between(self._state.stamp_ns, stamp_ns) is not None
                return f'the last pose, {"carried by" if known else "without"} odometry'
            place = self._inputs.start(stamp_ns, self._sigma_m)
            return 'none' if place is None else f'GNSS, searched over {place.reach_m:.0f} m'

    # Belief ------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._state = self._pending = None
        self._images = deque(maxlen=MAX_IMAGES)
        self._sigma_m = None
        self._published_ns = self._last_measured = None
        self._publication.reset()
        self._begin_ns = 0
        self._image_used_ns = self._inputs_used_ns = None
        self._remarks.restart_comparison()
        self._restart_reason, self._mount_turn_rad, self._failures = '', 0.0, 0
        self._kidnapped_ns = 0

    def _restart_search(self, sentence: str) -> None:
        """Search again; in turn with the camera mounted as described and turned by 180 degrees."""
        found_once, mount_turn_rad = self._published_ns is not None, self._mount_turn_rad
        sigma_m, failures = self._sigma_m, 0 if found_once else self._failures + 1
        kidnapped_ns = self._publication.contradicted_ns
        self._reset()
        self._kidnapped_ns = kidnapped_ns or 0
        self._sigma_m, self._restart_reason = sigma_m, closed(sentence)
        self._failures = failures
        if found_once:
            self._mount_turn_rad = mount_turn_rad
        elif failures > 1:  # a single one may be chance
            self._mount_turn_rad = math.pi - mount_turn_rad

    def _first_belief(self, stamp_ns: int) -> Belief | None:
        place = self._inputs.start(stamp_ns, self._sigma_m, self._kidnapped_ns)
        if place is None:
            return None
        self._begin_ns = stamp_ns
        self._remarks.hold(stamp_ns, 'no heading', NO_HEADING, place.yaw_rad is None)
        other_headings = place.reach_m <= 2 * WIDEST_CELLS * self._cell_m
        return Belief.over(start_grids(place, other_headings, self._cell_m))

    def _predicted(self, stamp_ns: int) -> Belief | None:
        if self._state is None:
            return None
        if stamp_ns == self._state.stamp_ns:
            return self._state.belief
        motion = self._motion(self._state.stamp_ns, stamp_ns)
        if motion.sigma_m > MAX_MOTION_SIGMA_M:
            return None  # after so long a pause nothing is left of what was believed
        fade = math.exp(-motion.driven_m / self.settings.calibration.memory_m)
        belief = self._state.belief.moved(motion).faded(fade)
        if motion.sigma_m < self._cell_m:
            return belief
        return focused(belief, belief.mode(), self._cell_m)

    def _motion(self, from_ns: int, to_ns: int) -> Motion:
        motion = self._odometry.between(from_ns, to_ns)
        if motion is not None:
            return motion
        seconds = abs(to_ns - from_ns) / 1e9
        away_m = self.settings.motion.speed_without_mps * seconds
        before, after = self._inputs.heading(from_ns), self._inputs.heading(to_ns)
        turn = wrap_angle(after[0] - before[0]) if before and after else 0.0
        return Motion(Pose2(0.0, 0.0, turn), away_m, away_m, math.radians(20.0) * seconds)

    def _updated(self, stamp_ns: int, belief: Belief, observation: Observation) -> Belief:
        """Return a predicted belief updated by an image, GNSS and headings."""
        calibration = self.settings.calibration
        own = observation.volumes[:len(belief.boxes)]
        context = [each for each in observation.volumes[len(own):] if each is not None]
        wide = context or observation.known
        factors = log_likelihood_ratios(
            own, wide, calibration.temper, calibration.nothing_share)
        weight = self._image_weight(stamp_ns)
        belief = belief.times([weight * factor for factor in factors])
        return belief.times(self._slow_inputs(stamp_ns, [box.grid for box in belief.boxes]))

    def _image_weight(self, stamp_ns: int) -> float:
        """Return the weight of an image beside those before it: 0 if the vehicle stands."""
        before_ns, self._image_used_ns = self._image_used_ns, stamp_ns
        if before_ns is None:
            return 1.0
        driven_m = self._motion(before_ns, stamp_ns).driven_m
        # The information in one more of many images with exponentially correlated errors.
        return math.tanh(driven_m / (2 * self.settings.calibration.correlation_m))

    def _slow_inputs(self, stamp_ns: int, grids: list[PoseGrid]) -> list[np.ndarray]:
        """Return the log-likelihoods of what is new in GNSS and headings since the last image."""
        before_ns, self._inputs_used_ns = self._inputs_used_ns, stamp_ns
        if before_ns is None:
            return [np.zeros((1, 1, 1))] * len(grids)
        return [self._inputs.log_news(before_ns, stamp_ns, grid) for grid in grids]

    def _with_inputs(self, stamp_ns: int, belief: Belief) -> Belief:
        """Return a belief with the current fix and heading, which the state does not keep."""
        return belief.times([
            self._inputs.log_likelihood(stamp_ns, box.grid) for box in belief.boxes])

    # Results -----------------------------------------------------------------------------------

    def _remember(self, likelihood: ImageLikelihood) -> None:
        """Keep an image for the publication test if it is far enough from the last one."""
        before = self._images[-1].odometry if self._images else None
        if before and likelihood.odometry and self._odometry.motion(
                before, likelihood.odometry).driven_m < MIN_SPACING_M:
            return
        self._images.append(likelihood)

    def _result(self, stamp_ns: int, belief: Belief, mode: Mode,
                observation: Observation) -> TrackedPose | Rejection:
        recent = self._recent(stamp_ns)
        self._remarks.hold(stamp_ns, 'standing', STANDING, self._odometry.stands(stamp_ns))
        self._publication.compare_inputs(stamp_ns, mode.mean, recent[-1:])
        state = self._belief_state(stamp_ns, belief, mode)
        reason = self._publication.rejection_of(
            state, belief, mode, observation.valid_share, recent)
        if reason is not None:
            reason = self._restart_if_lost(stamp_ns, belief, mode, recent, *reason)
            return Rejection(stamp_ns, *reason, state, self._remarks.at(stamp_ns))
        self._compare_inputs(stamp_ns, state.mean)
        self._published_ns, self._restart_reason, self._publication.searched = stamp_ns, '', 0.0
        if self._mount_turn_rad:
            self._remarks.add(stamp_ns, 'mount', MOUNT_TURNED)
        if self._publication.is_unlike_imagery(state):
            self._remarks.add(stamp_ns, 'unlike', UNLIKE_IMAGERY)
        return TrackedPose(
            stamp_ns, state.mean, state.covariance, self._measurement(state, observation),
            state, self._remarks.at(stamp_ns))

    def _measurement(self, state: BeliefState, observation: Observation) -> Measurement | None:
        """Return the image's own pose if the vehicle has driven far enough since the last one."""
        here, before = self._odometry.at(state.stamp_ns), self._last_measured
        if here and before and self._odometry.motion(before, here).driven_m < (
                self.settings.publication.pose_every_m):
            return None
        found = measured(
            observation, state.mean, self.settings.calibration, state.strength)
        if found is not None:
            self._last_measured = here
        return found

    def _belief_state(self, stamp_ns: int, belief: Belief, mode: Mode,
                      with_density: bool = False) -> BeliefState:
        recent = self._recent(stamp_ns)
        preference = strength(mode.mean, recent)
        density = tuple(
            replace(box, values=np.exp(box.values)) for box in belief.boxes
            ) if with_density else ()
        return BeliefState(
            stamp_ns, mode.peak, mode.mean,
            mode.covariance + self.settings.calibration.bias(preference), min(mode.mass, 1.0),
            self._publication.agreement(stamp_ns, mode.mean, recent), preference, length_m(recent),
            tuple(features(mode.mean, recent)), self._publication.surprise(stamp_ns, mode.mean),
            density)

    def _recent(self, stamp_ns: int) -> list[Recent]:
        """Return the images of the last metres."""
        recent, here = [], self._odometry.at(stamp_ns)
        for image in self._images:
            if image.stamp_ns == stamp_ns:
                recent.append(Recent(image, Pose2(0.0, 0.0, 0.0), 0.0))
            elif here and image.odometry:
                motion = self._odometry.motion(here, image.odometry)
                recent.append(Recent(image, motion.step, motion.driven_m))
        return recent

    def _compare_inputs(self, stamp_ns: int, base: Pose2) -> None:
        """Update how much GNSS and the heading differ from a pose that is published."""
        self._remarks.compare(
            stamp_ns, base, self._inputs.offset_m(stamp_ns, base), self._inputs.heading(stamp_ns),
            is_first=self._publication.searched > 0)

    def _restart_if_lost(self, stamp_ns: int, belief: Belief, mode: Mode,
                         recent: list[Recent], kind: str, sentence: str) -> tuple[str, str]:
        """
        Give up a belief that images clearly disagree with, or have not agreed with for long.

        :return: kind and sentence of the rejection: while a search goes on, why it had to begin.
        """
        if kind == 'start' and self._restart_reason:
            return 'agreement', f'{self._restart_reason} A new search has begun: {sentence}'
        if kind == 'agreement':
            driven_m = self._motion(self._published_ns or self._begin_ns, stamp_ns).driven_m
            is_long = driven_m > self.settings.publication.doubt_m
            level = KEEP_AGREEMENT if is_long else LOST_AGREEMENT
            if driven_m > LOST_AFTER_M and self._publication.refutes(belief, mode, recent, level):
                self._restart_search(sentence)
        return kind, sentence

"""The tracker: messages and images in, a pose that can be trusted out. No ROS, no torch."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
import math
import threading
from typing import NamedTuple

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker import start
from fg2_ros.tracker.belief import Belief, Mode
from fg2_ros.tracker.evidence import agreement, log_factors, Testimony
from fg2_ros.tracker.inputs import Fix, Look, Observation, Odometry, SearchRegion
from fg2_ros.tracker.inputs_memory import InputsMemory
from fg2_ros.tracker.measurement import measured
from fg2_ros.tracker.motion import Motion, OdometryChain
from fg2_ros.tracker.remarks import Remarks
from fg2_ros.tracker.results import BeliefState, Silence, TrackedPose
from fg2_ros.tracker.settings import TrackerSettings
import numpy as np

UNLIKELY = 1e-4  # a box with less mass is no longer looked at
LEAST_REACH_CELLS, LEAST_REACH_RAD = 3, math.radians(6.0)
FINE_REACH_CELLS, FINE_RAD = 6, math.radians(1.5)
CONTEXT_RAD = math.radians(4.0)


class _State(NamedTuple):
    """The belief at a stamp."""

    stamp_ns: int
    belief: Belief


class Tracker:
    """
    Carry a belief of base_link's pose in the map along a drive.

    Messages may be added in one thread while another one updates; stamps may come late and out
    of order. For each image: ask `search` where to look, look there, and `update` with the result.

    :param cell_m: distance of the cells that images are matched by (`FG2Config.cell_m`).
    """

    def __init__(self, settings: TrackerSettings = TrackerSettings(), cell_m: float = 1.1):
        """Start knowing nothing."""
        self.settings, self._cell_m = settings, cell_m
        self._lock = threading.RLock()
        self._odometry = OdometryChain(settings.motion)
        self._inputs = InputsMemory(settings.prior, self._odometry)
        self._remarks = Remarks()
        self.clear()

    # Messages ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        with self._lock:
            self._odometry.clear()
            self._inputs.clear()
            self._remarks.clear()
            self._newest_ns = -1
            self._begin_again()

    def relocalize(self, sigma_m: float | None = None) -> None:
        """
        Forget where the vehicle is, but not the inputs, and search.

        :param sigma_m: how far off GNSS may be, one sigma; None for what the fixes claim.
        """
        with self._lock:
            self._begin_again()
            self._sigma_m = sigma_m

    def set_pose(self, stamp_ns: int, base: Pose2, covariance: np.ndarray) -> None:
        """
        Start from a pose that somebody else knows.

        :param covariance: (3, 3) of (east m, north m, yaw rad).
        """
        sigma_m = math.sqrt(max(np.linalg.eigvalsh(covariance[:2, :2])[-1], 1.0))
        place = start.Place((base.x, base.y), 3 * sigma_m, base.yaw)
        with self._lock:
            self._begin_again()
            belief = Belief.over(start.start_grids(
                place, other_headings=False, cell_m=self._cell_m))
            self._state = _State(stamp_ns, belief)

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
                self._remarks.say(stamp_ns, 'odometry', problem)

    # Images ------------------------------------------------------------------------------------

    def search(
            self, stamp_ns: int, base_from_camera: Pose2 = Pose2(0.0, 0.0, 0.0)
            ) -> SearchRegion | Silence:
        """Return where an image of a stamp is to be looked for, or why it cannot be."""
        with self._lock:
            if stamp_ns <= self._newest_ns:
                return Silence(stamp_ns, 'order', 'an image is not newer than the last one')
            belief = self._predicted(stamp_ns)
            if belief is None:
                belief = self._first_belief(stamp_ns)
            if belief is None:
                return Silence(
                    stamp_ns, 'prior', 'no position yet: no good GNSS fix in the '
                    f'{self.settings.prior.fix_timeout_s:g} s around the image',
                    remarks=self._remarks.at(stamp_ns))
            self._asked = _State(stamp_ns, belief)
            return _region(belief, base_from_camera, self._cell_m)

    def update(self, stamp_ns: int, observation: Observation) -> TrackedPose | Silence:
        """
        Take in an image that was looked for where `search` said, and say where base_link is.

        :raises ValueError: if `search` was not asked about the stamp last.
        """
        with self._lock:
            if self._asked is None or self._asked.stamp_ns != stamp_ns:
                raise ValueError('the tracker was not asked where to look for this image')
            belief, self._asked = self._asked.belief, None
            testimony = Testimony.of(stamp_ns, observation)
            belief = self._believed(stamp_ns, belief, observation)
            self._remember(testimony)
            self._state, self._newest_ns = _State(stamp_ns, belief), stamp_ns
            return self._answer(stamp_ns, belief, observation)

    def belief(self, stamp_ns: int, with_density: bool = False) -> BeliefState | None:
        """Return the belief, carried to a stamp by odometry; None if there is none."""
        with self._lock:
            belief = self._predicted(stamp_ns)
            return belief and self._summary(stamp_ns, belief, belief.mode(), with_density)

    # Belief ------------------------------------------------------------------------------------

    def _begin_again(self) -> None:
        self._state: _State | None = None
        self._asked: _State | None = None
        self._images: deque[Testimony] = deque(maxlen=64)
        self._sigma_m: float | None = None
        self._agreed_ns: int | None = None
        self._fix_used_ns = self._heading_used_ns = self._image_used_ns = None

    def _first_belief(self, stamp_ns: int) -> Belief | None:
        place = self._inputs.start(stamp_ns, self._sigma_m)
        if place is None:
            return None
        self._begin_ns = stamp_ns
        other_headings = place.reach_m <= 2 * start.WIDEST_CELLS * self._cell_m
        return Belief.over(start.start_grids(place, other_headings, self._cell_m))

    def _predicted(self, stamp_ns: int) -> Belief | None:
        if self._state is None:
            return None
        if stamp_ns == self._state.stamp_ns:
            return self._state.belief
        motion = self._motion(self._state.stamp_ns, stamp_ns)
        fade = math.exp(-motion.driven_m / self.settings.calibration.memory_m)
        return _focused(self._state.belief.moved(motion).faded(fade), self._cell_m)

    def _motion(self, from_ns: int, to_ns: int) -> Motion:
        motion = self._odometry.between(from_ns, to_ns)
        if motion is not None:
            return motion
        seconds = abs(to_ns - from_ns) / 1e9
        away_m = self.settings.motion.speed_without_mps * seconds
        before, after = self._inputs.heading(from_ns), self._inputs.heading(to_ns)
        turn = wrap_angle(after[0] - before[0]) if before and after else 0.0
        return Motion(Pose2(0.0, 0.0, turn), away_m, away_m, math.radians(20.0) * seconds)

    def _believed(self, stamp_ns: int, belief: Belief, observation: Observation) -> Belief:
        """Return a predicted belief after an image, and after what GNSS and headings say."""
        calibration = self.settings.calibration
        volumes = observation.volumes
        own = volumes[:len(belief.boxes)]
        wide = volumes[len(own):] or own
        factors = log_factors(
            own, wide, calibration.temper, calibration.nothing_share)
        weight = self._image_weight(stamp_ns)
        belief = belief.times([weight * factor for factor in factors])
        belief = belief.times(self._inputs_factors(stamp_ns, [box.grid for box in belief.boxes]))
        return belief.without_unlikely(UNLIKELY)

    def _image_weight(self, stamp_ns: int) -> float:
        """Return how much an image adds to those before it: nothing if the vehicle stands."""
        before_ns, self._image_used_ns = self._image_used_ns, stamp_ns
        if before_ns is None:
            return 1.0
        driven_m = self._motion(before_ns, stamp_ns).driven_m
        return -math.expm1(-driven_m / self.settings.calibration.correlation_m)

    def _inputs_factors(self, stamp_ns: int, grids: list[PoseGrid]) -> list[np.ndarray]:
        settings = self.settings.prior
        fix_ns = self._inputs.fix_stamp(stamp_ns)
        fix = 0.0
        if fix_ns is not None:
            fix = _news(self._fix_used_ns, fix_ns, settings.fix_wander_s)
            self._fix_used_ns = fix_ns
        heading = _news(self._heading_used_ns, stamp_ns, settings.heading_wander_s)
        self._heading_used_ns = stamp_ns
        return [
            (fix * self._inputs.log_fix(stamp_ns, grid) if fix else 0.0)
            + heading * self._inputs.log_heading(stamp_ns, grid) for grid in grids]

    # Answers -----------------------------------------------------------------------------------

    def _remember(self, testimony: Testimony) -> None:
        """Keep an image for the test of agreement if it was taken apart from the last one."""
        apart_m = self.settings.publication.apart_m
        if self._images:
            driven_m = self._motion(self._images[-1].stamp_ns, testimony.stamp_ns).driven_m
            if driven_m < apart_m:
                return
        self._images.append(testimony)

    def _answer(self, stamp_ns: int, belief: Belief,
                observation: Observation) -> TrackedPose | Silence:
        mode = belief.mode()
        summary = self._summary(stamp_ns, belief, mode)
        doubt = self._doubt(summary, belief, mode, observation)
        if doubt is None:
            self._agreed_ns = stamp_ns
            self._compare_inputs(stamp_ns, summary.mean)
        remarks = self._remarks.at(stamp_ns)
        if doubt is not None:
            self._start_again_if_lost(stamp_ns, doubt[0])
            return Silence(stamp_ns, *doubt, summary, remarks)
        return TrackedPose(
            stamp_ns, summary.mean, summary.covariance,
            measured(observation, summary.mean, self.settings.calibration), summary, remarks)

    def _summary(self, stamp_ns: int, belief: Belief, mode: Mode,
                 with_density: bool = False) -> BeliefState:
        calibration = self.settings.calibration
        covariance = mode.covariance + np.diag([
            calibration.bias_m, calibration.bias_m, math.radians(calibration.bias_deg)]) ** 2
        density = tuple(
            replace(box, values=np.exp(box.values)) for box in belief.boxes
            ) if with_density else ()
        return BeliefState(stamp_ns, mode.peak, mode.mean, covariance, min(mode.mass, 1.0),
                           agreement(mode.mean, self._recent(stamp_ns)), density)

    def _recent(self, stamp_ns: int) -> list[tuple[Testimony, Pose2]]:
        """Return the images of the last metres, each with its base_link as seen from now."""
        recent = []
        for image in self._images:
            motion = self._odometry.between(stamp_ns, image.stamp_ns)
            if image.stamp_ns == stamp_ns:
                recent.append((image, Pose2(0.0, 0.0, 0.0)))
            elif motion and motion.driven_m <= self.settings.publication.window_m:
                recent.append((image, motion.step))
        return recent

    def _doubt(self, summary: BeliefState, belief: Belief, mode: Mode,
               observation: Observation) -> tuple[str, str] | None:
        """Return (kind, sentence) why the belief is not to be published; None if it is."""
        settings = self.settings.publication
        if observation.valid_share < settings.min_valid_share:
            return 'imagery', (f'only {observation.valid_share:.0%} of the aerial patch shows '
                               'imagery')
        count = len(self._recent(summary.stamp_ns))
        if count < settings.min_images:
            return 'start', (f'only {count} images from different places so far, '
                             f'{settings.min_images} are needed')
        if summary.agreement < self.settings.calibration.agreement:
            return 'agreement', (
                f'the images of the last {settings.window_m:g} m agree with no place near the '
                f'prior (agreement {summary.agreement:.2f}, '
                f'{self.settings.calibration.agreement:.2f} is needed): is the heading right, and '
                'do the images and the imagery show the same place?')
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

    def _compare_inputs(self, stamp_ns: int, base: Pose2) -> None:
        """Note by how much GNSS and the heading differ from a pose that is published."""
        self._remarks.compare(
            stamp_ns, base, self._inputs.offset_m(stamp_ns, base), self._inputs.heading(stamp_ns))

    def _start_again_if_lost(self, stamp_ns: int, kind: str) -> None:
        """Forget a belief that the images have not agreed with for long."""
        if kind not in ('agreement', 'mass'):
            return
        since_ns = self._agreed_ns or self._begin_ns
        driven_m = self._motion(since_ns, stamp_ns).driven_m
        if driven_m > self.settings.publication.doubt_m and kind == 'agreement':
            sigma_m = self._sigma_m
            self._begin_again()
            self._sigma_m = sigma_m


def _news(before_ns: int | None, stamp_ns: int, wander_s: float) -> float:
    """Return how much of a reading is new, after one before it."""
    if before_ns is None:
        return 1.0
    return -math.expm1(-abs(stamp_ns - before_ns) / 1e9 / wander_s)


def _focused(belief: Belief, cell_m: float) -> Belief:
    """Return a belief of one box on a grid that fits it."""
    if len(belief.boxes) > 1:
        return belief
    mode = belief.mode()
    if mode.mass < 0.9:
        return belief
    sigma_m = math.sqrt(np.linalg.eigvalsh(mode.covariance[:2, :2])[-1])
    sigma_rad = math.sqrt(mode.covariance[2, 2])
    reach_m = min(max(4 * sigma_m + 1.0, LEAST_REACH_CELLS * cell_m), start.WIDEST_CELLS * cell_m)
    reach_rad = min(max(4 * sigma_rad, LEAST_REACH_RAD), start.HEADING_REACH_RAD)
    fine = reach_m < FINE_REACH_CELLS * cell_m
    return belief.resampled(start.grid(
        mode.mean, reach_m, reach_rad, cell_m / 2 if fine else cell_m,
        FINE_RAD if fine else start.COARSE_RAD))


def _region(belief: Belief, base_from_camera: Pose2, cell_m: float) -> SearchRegion:
    """Return what to look at for a belief: its own grids, and the surroundings if it is small."""
    looks = [_look(box.grid, base_from_camera) for box in belief.boxes]
    if len(looks) == 1:
        middle = belief.boxes[0].grid.middle
        looks.append(_look(start.grid(
            middle, start.WIDEST_CELLS * cell_m, start.HEADING_REACH_RAD, cell_m, CONTEXT_RAD),
            base_from_camera))
        return SearchRegion(tuple(looks))
    return SearchRegion(tuple(looks), f'{len(looks)} places and headings are looked at')


def _look(grid: PoseGrid, base_from_camera: Pose2) -> Look:
    return Look(replace(grid, middle=grid.middle.compose(base_from_camera)))


def _away(here: Pose2, there: Pose2) -> str:
    distance_m = math.hypot(there.x - here.x, there.y - here.y)
    turn_deg = abs(math.degrees(wrap_angle(there.yaw - here.yaw)))
    return f'{distance_m:.0f} m and {turn_deg:.0f} degrees away'

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


"""
Smoothing: the poses along a whole drive that fit fixes, odometry and other poses best.

Fixes of an ordinary receiver are metres off, and by nearly the same for a while. Odometry knows
the shape of the way and little else. Together they are better than either, and where something
else knows the pose now and then, all before and after is better for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fg2_ros.drives.course import alignments, antenna_path
from fg2_ros.replay.tracks import interpolated, LONGEST_GAP_S, SECOND_NS
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu, SuperLU

STEP_NS = 1_000_000_000  # between the poses that are solved for; odometry fills in
WANDER_S = 30.0  # for which the error of a receiver stays about the same
WHITE_SHARE = 0.3  # of a fix's sigma, new with each one; the rest wanders
SLIP = 0.02  # one sigma of the odometry's scale, over the whole drive
DRIFT_RADPS = np.radians(0.2)  # one sigma of its yaw rate's bias, likewise
WAY_M, WAY_SHARE, TURN_RAD = 0.02, 0.005, np.radians(0.1)  # of a second by odometry beside that
UNKNOWN_M, UNKNOWN_RAD = 50.0, np.pi  # of a second without odometry
WINDOW_S = 15.0  # to either side: where odometry is laid along the fixes to begin with
CUT = 3.0  # sigmas beyond which a measurement counts less and less
ROUNDS, CONVERGED = 30, 1e-3
MARGINALS = 150  # poses at most whose sigmas are worked out; those between are alike
X, Y, YAW, EAST, NORTH = range(5)  # of each step: pose, and by how much fixes are off
PER_STEP, SCALE, RATE = 5, 0, 1


class Fixes(NamedTuple):
    """
    What a receiver said.

    :param stamp_ns: (F,) int64, by the odometry's clock, increasing.
    :param place_m: (F, 2) of the antenna, in a map.
    :param sigma_m: (F,) one sigma on each axis.
    :param lever_m: of the antenna in base_link.
    """

    stamp_ns: np.ndarray
    place_m: np.ndarray
    sigma_m: np.ndarray
    lever_m: tuple[float, float]


class Poses(NamedTuple):
    """
    Poses of base_link in a map.

    :param stamp_ns: (P,) int64, by the odometry's clock, increasing.
    :param pose: (P, 3) east m, north m, yaw rad.
    :param sigma: (P, 2) m on each axis, and rad.
    """

    stamp_ns: np.ndarray
    pose: np.ndarray
    sigma: np.ndarray


NO_POSES = Poses(np.zeros(0, np.int64), np.zeros((0, 3)), np.ones((0, 2)))


def smoothed_poses(fixes: Fixes, odometry_ns: np.ndarray, odometry: np.ndarray,
                   poses: Poses = NO_POSES) -> Poses:
    """
    Return the poses along a drive, at the odometry's stamps as far as there are fixes.

    :param odometry_ns: (O,) int64, increasing.
    :param odometry: (O, 3 or more) x, y, yaw of base_link, in a frame of its own.
    :param poses: what else is known.
    :raises ValueError: if there are not both fixes and odometry for some steps.
    """
    if not len(fixes.stamp_ns):
        raise ValueError('there are no fixes to smooth')
    within = (odometry_ns >= fixes.stamp_ns[0]) & (odometry_ns <= fixes.stamp_ns[-1])
    way = _Way(odometry_ns[within], odometry[within, :3])
    if len(way.steps) < 3:
        raise ValueError('smoothing takes odometry beside the fixes')
    return _Problem(way, fixes, poses).solved()


class _Beside(NamedTuple):
    """How (N,) places lie to the steps that they are near: in these steps' axes."""

    step: np.ndarray
    place: np.ndarray  # complex
    turn: np.ndarray


class _Way:
    """Odometry, and the steps of it that are solved for."""

    def __init__(self, stamp_ns: np.ndarray, pose: np.ndarray):
        """Divide it."""
        self.stamp_ns, self.pose = stamp_ns, pose
        self.steps = np.unique((stamp_ns - stamp_ns[:1]) // STEP_NS, return_index=True)[1]

    def beside(self, stamp_ns: np.ndarray, lever_m: tuple[float, float] = (0.0, 0.0)) -> _Beside:
        """Return where something on the vehicle is at stamps of the way."""
        step = np.searchsorted(self.stamp_ns[self.steps], stamp_ns, side='right') - 1
        x, y, yaw = antenna_path(self.stamp_ns, self.pose, lever_m, stamp_ns).T
        x_0, y_0, yaw_0 = self.pose[self.steps[step]].T
        return _Beside(step, (x - x_0 + 1j * (y - y_0)) * np.exp(-1j * yaw_0), yaw - yaw_0)

    def onward(self) -> _Beside:
        """Return where each step but the first begins, in the axes of the one before."""
        x, y, yaw = self.pose[self.steps].T
        there = np.diff(x + 1j * y) * np.exp(-1j * yaw[:-1])
        return _Beside(np.arange(len(x) - 1), there, np.diff(yaw))

    def longest_gaps_s(self) -> np.ndarray:
        """Return for each step but the last the longest time without odometry in it."""
        gaps_s = np.diff(self.stamp_ns) / SECOND_NS
        return np.maximum.reduceat(gaps_s, self.steps[:-1])


class _Equations:
    """Residuals in units of their sigma, and their derivatives, row by row."""

    def __init__(self, unknowns: int):
        """Begin with none."""
        self._unknowns = unknowns
        self._residuals: list[np.ndarray] = []
        self._blocks: list[sparse.coo_matrix] = []

    def add(self, residual: np.ndarray, sigma: np.ndarray | float,
            derivatives: Sequence[tuple[np.ndarray | int, np.ndarray | complex]]) -> None:
        """
        Add (N,) residuals.

        :param derivatives: (N,) columns of unknowns, and (N,) derivatives by these.
        """
        rows = np.arange(len(residual))
        sigma = np.broadcast_to(sigma, residual.shape)
        self._residuals.append(residual / sigma)
        self._blocks.append(sum(
            (sparse.coo_matrix((
                np.broadcast_to(value, residual.shape) / sigma,
                (rows, np.broadcast_to(column, residual.shape))),
                shape=(len(residual), self._unknowns)) for column, value in derivatives),
            start=sparse.coo_matrix((len(residual), self._unknowns))))

    def add_places(self, residual: np.ndarray, sigma: np.ndarray | float,
                   derivatives: Sequence[tuple[np.ndarray | int, np.ndarray | complex]]) -> None:
        """Add (N,) complex residuals: east, and north."""
        for part in (np.real, np.imag):
            self.add(part(residual), sigma, [
                (column, part(value)) for column, value in derivatives])

    def normal(self) -> tuple[sparse.csc_matrix, np.ndarray]:
        """Return the normal matrix, and the right-hand side."""
        jacobian = sparse.vstack(self._blocks).tocsc()
        return (jacobian.T @ jacobian).tocsc(), -jacobian.T @ np.concatenate(self._residuals)


class _Problem:
    """All that is measured along a way, and the unknowns."""

    def __init__(self, way: _Way, fixes: Fixes, poses: Poses):
        """Begin with odometry as it lies along the fixes."""
        self._way = way
        stamp_ns, place_m, sigma_m = _within(fixes[:3], way)
        self._fixes = Fixes(stamp_ns, place_m, sigma_m, fixes.lever_m)
        self._poses = Poses(*_within(poses, way))
        self._onward = way.onward()
        self._of_fixes = way.beside(self._fixes.stamp_ns, fixes.lever_m)
        self._of_poses = way.beside(self._poses.stamp_ns)
        self._step_s = np.diff(way.stamp_ns[way.steps]) / SECOND_NS
        self._sigma_m = float(np.median(fixes.sigma_m))
        self._steps = np.zeros((len(way.steps), PER_STEP))
        self._steps[:, :3] = _laid_along(way, self._fixes)
        self._whole = np.zeros(2)  # scale of odometry less 1, bias of its yaw rate

    def solved(self) -> Poses:
        """Return the poses at which all fits best."""
        for _ in range(ROUNDS):
            factors = self._factors()
            change = factors[0].solve(factors[1])
            self._steps += change[:-2].reshape(self._steps.shape)
            self._whole += change[-2:]
            if np.abs(change).max() < CONVERGED:
                break
        return self._filled_in(self._sigmas(factors[0]))

    def _factors(self) -> tuple[SuperLU, np.ndarray]:
        equations = _Equations(self._steps.size + 2)
        self._add_odometry(equations)
        self._add_wander(equations)
        self._add_fixes(equations)
        self._add_poses(equations)
        normal, right = equations.normal()
        return splu(normal), right

    def _add_odometry(self, equations: _Equations) -> None:
        """Add that steps follow one another as odometry says, but for scale and drift."""
        before, place, turn = self._onward
        gap = self._way.longest_gaps_s() > LONGEST_GAP_S
        root_s = np.sqrt(self._step_s)
        moved = self._turned(before) * place * (1 + self._whole[SCALE])
        equations.add_places(
            np.diff(self._places()) - moved,
            np.where(gap, UNKNOWN_M * self._step_s,
                     np.hypot(WAY_M * root_s, WAY_SHARE * np.abs(place))),
            [(_column(before + 1, X), 1), (_column(before + 1, Y), 1j), (_column(before, X), -1),
             (_column(before, Y), -1j), (_column(before, YAW), -1j * moved),
             (self._steps.size + SCALE, -self._turned(before) * place)])
        equations.add(
            np.diff(self._steps[:, YAW]) - turn - self._whole[RATE] * self._step_s,
            np.where(gap, UNKNOWN_RAD, TURN_RAD * root_s),
            [(_column(before + 1, YAW), 1), (_column(before, YAW), -1),
             (self._steps.size + RATE, -self._step_s)])
        for index, sigma in ((SCALE, SLIP), (RATE, DRIFT_RADPS)):
            equations.add(self._whole[index:index + 1], sigma, [(self._steps.size + index, 1)])

    def _add_wander(self, equations: _Equations) -> None:
        """Add that the error of the receiver wanders slowly."""
        sigma_m = self._sigma_m * np.sqrt(1 - WHITE_SHARE ** 2)
        stays = np.exp(-self._step_s / WANDER_S)
        before = self._onward.step
        for axis in (EAST, NORTH):
            error = self._steps[:, axis]
            equations.add(
                error[1:] - stays * error[:-1], sigma_m * np.sqrt(1 - stays ** 2),
                [(_column(before + 1, axis), 1), (_column(before, axis), -stays)])
            equations.add(error[:1], sigma_m, [(axis, 1)])

    def _add_fixes(self, equations: _Equations) -> None:
        step, place, _ = self._of_fixes
        lever = self._turned(step) * place
        error = self._steps[step, EAST] + 1j * self._steps[step, NORTH]
        residual = self._places()[step] + lever + error - _complex(self._fixes.place_m)
        sigma_m = self._fixes.sigma_m * WHITE_SHARE
        equations.add_places(residual, sigma_m * _doubt(residual / sigma_m), [
            (_column(step, X), 1), (_column(step, Y), 1j), (_column(step, YAW), 1j * lever),
            (_column(step, EAST), 1), (_column(step, NORTH), 1j)])

    def _add_poses(self, equations: _Equations) -> None:
        step, place, turn = self._of_poses
        pose, sigma = self._poses.pose, self._poses.sigma
        lever = self._turned(step) * place
        off_m = self._places()[step] + lever - _complex(pose)
        off_rad = np.remainder(self._steps[step, YAW] + turn - pose[:, 2] + np.pi, 2 * np.pi
                               ) - np.pi
        doubt = _doubt(np.hypot(np.abs(off_m) / sigma[:, 0], off_rad / sigma[:, 1]))
        equations.add_places(off_m, sigma[:, 0] * doubt, [
            (_column(step, X), 1), (_column(step, Y), 1j), (_column(step, YAW), 1j * lever)])
        equations.add(off_rad, sigma[:, 1] * doubt, [(_column(step, YAW), 1)])

    def _places(self) -> np.ndarray:
        return _complex(self._steps)

    def _turned(self, step: np.ndarray) -> np.ndarray:
        return np.exp(1j * self._steps[step, YAW])

    def _sigmas(self, factors: SuperLU) -> np.ndarray:
        """Return (steps, 2) sigmas of place and heading."""
        count = len(self._steps)
        chosen = np.unique(np.linspace(0, count - 1, min(count, MARGINALS)).astype(int))
        variances = np.empty((len(chosen), 3))
        for row, step in enumerate(chosen.tolist()):
            columns = PER_STEP * step + np.arange(3)
            unit = np.zeros((self._steps.size + 2, 3))
            unit[columns, np.arange(3)] = 1
            variances[row] = np.diag(factors.solve(unit)[columns])
        sigma = np.sqrt(np.stack([variances[:, :2].mean(axis=1), variances[:, 2]], axis=1))
        return np.stack([np.interp(np.arange(count), chosen, each) for each in sigma.T], axis=1)

    def _filled_in(self, sigma: np.ndarray) -> Poses:
        """Return the poses at all of the odometry's stamps."""
        stamp_ns = self._way.stamp_ns
        step, place, turn = self._way.beside(stamp_ns)
        share = (stamp_ns - stamp_ns[self._way.steps][step]) / SECOND_NS
        place = self._places()[step] + self._turned(step) * place * (1 + self._whole[SCALE])
        yaw = self._steps[step, YAW] + turn + share * self._whole[RATE]
        knots_ns = stamp_ns[self._way.steps]
        return Poses(stamp_ns, np.stack([place.real, place.imag, yaw], axis=1), np.stack(
            [interpolated(knots_ns, each, stamp_ns) for each in sigma.T], axis=1))


def _within(columns: Sequence[np.ndarray], way: _Way) -> list[np.ndarray]:
    """Return what was measured while there is odometry; stamps are the first column."""
    kept = (columns[0] >= way.stamp_ns[0]) & (columns[0] <= way.stamp_ns[-1])
    return [each[kept] for each in columns]


def _laid_along(way: _Way, fixes: Fixes) -> np.ndarray:
    """Return (steps, 3) poses: where the fixes are, turned as the way by odometry is there."""
    path = antenna_path(way.stamp_ns, way.pose, fixes.lever_m, fixes.stamp_ns)
    seconds = (fixes.stamp_ns - fixes.stamp_ns[0]) / SECOND_NS
    turn, spread_m2, _ = alignments(
        seconds, _complex(path), _complex(fixes.place_m), WINDOW_S)
    moves = spread_m2 > 0
    if not moves.any():
        raise ValueError('the vehicle stands all the time: its heading cannot be told')
    knots_ns = way.stamp_ns[way.steps]
    yaw = way.pose[way.steps, 2] + interpolated(
        fixes.stamp_ns[moves], np.unwrap(turn[moves]), knots_ns)
    place = [interpolated(fixes.stamp_ns, each, knots_ns) for each in fixes.place_m.T]
    lever = np.exp(1j * yaw) * complex(*fixes.lever_m)
    return np.stack([place[0] - lever.real, place[1] - lever.imag, yaw], axis=1)


def _complex(places: np.ndarray) -> np.ndarray:
    return places[:, 0] + 1j * places[:, 1]


def _column(step: np.ndarray, index: int) -> np.ndarray:
    return PER_STEP * step + index


def _doubt(sigmas: np.ndarray) -> np.ndarray:
    """Return by what sigmas grow so that measurements far off count less and less."""
    return np.sqrt(1 + (np.abs(sigmas) / CUT) ** 2)

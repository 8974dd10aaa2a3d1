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
A probability over planar poses: its logarithm on the regular grids of one or several boxes.

Values are moved and blurred on the grid. They are interpolated in the logarithm, where linear
interpolation of a Gaussian's parabola errs by the same constant everywhere: however often a
belief is moved it grows no wider by that.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Callable, Iterator, NamedTuple, Sequence

from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.tracker.motion import Motion
import numpy as np
from scipy.ndimage import correlate1d, map_coordinates, shift

MODE_REACH_M = 4.0  # of one mode around its peak
MODE_REACH_RAD = math.radians(10.0)


class Mode(NamedTuple):
    """The likeliest place: its peak, its mean, its covariance and its probability."""

    peak: Pose2
    mean: Pose2
    covariance: np.ndarray
    mass: float


@dataclass(frozen=True)
class Belief:
    """
    Where base_link is.

    :param boxes: logarithms of probabilities that sum to one over all boxes.
    """

    boxes: tuple[PoseVolume, ...]

    @classmethod
    def over(cls, grids: Sequence[PoseGrid]) -> Belief:
        """Return the uniform belief over some boxes."""
        return cls(tuple(
            PoseVolume(grid, np.zeros(grid.shape, np.float32)) for grid in grids)).normalised()

    @property
    def space(self) -> float:
        """Return how much m^2 rad is considered."""
        return sum(box.values.size * box.grid.cell_volume for box in self.boxes)

    def normalised(self) -> Belief:
        """Return the same with probabilities that sum to one."""
        highest = max(float(box.values.max()) for box in self.boxes)
        total = sum(float(np.exp(box.values - highest).sum()) for box in self.boxes)
        return self._with(lambda box: box.values - np.float32(highest + math.log(total)))

    def times(self, log_likelihoods: Sequence[np.ndarray]) -> Belief:
        """Return it multiplied by likelihoods, whose logarithms are given for each box."""
        return Belief(tuple(PoseVolume(box.grid, (box.values + each).astype(np.float32))
                            for box, each in zip(self.boxes, log_likelihoods))).normalised()

    def moved(self, motion: Motion) -> Belief:
        """Return it predicted by a motion: shifted, and blurred by the motion's uncertainty."""
        boxes = [_moved(box, motion.step) for box in self.boxes]
        return Belief(tuple(
            _blurred(box, motion.sigma_m, motion.sigma_rad) for box in boxes)).normalised()

    def faded(self, power: float) -> Belief:
        """Return it raised to a power below one: exponential forgetting."""
        return self._with(lambda box: box.values * np.float32(power)).normalised()

    def likely(self, mass: float) -> list[int]:
        """Return the indices of the boxes with at least this mass."""
        return [index for index, box in enumerate(self.boxes)
                if float(np.exp(box.values).sum()) >= mass]

    def kept(self, indices: Sequence[int]) -> Belief:
        """Return it with some of its boxes only."""
        if len(indices) == len(self.boxes):
            return self
        return Belief(tuple(self.boxes[index] for index in indices)).normalised()

    def resampled(self, grid: PoseGrid) -> Belief:
        """Return it on another grid; beyond its own it has the lowest density that it had."""
        turn, north, east = np.meshgrid(
            grid.turns_rad, grid.norths_m, grid.easts_m, indexing='ij')
        box = max(self.boxes, key=lambda each: float(each.values.max()))
        index = box.grid.index_of(east, north, turn + grid.middle.yaw)
        values = map_coordinates(
            box.values, index, order=1, mode='constant', cval=float(box.values.min()))
        return Belief((PoseVolume(grid, values.astype(np.float32)),)).normalised()

    def mode(self) -> Mode:
        """Return the likeliest place."""
        best = max(self.boxes, key=lambda box: float(box.values.max()))
        peak, _ = best.peak()
        mass, sums, squares = 0.0, np.zeros(3), np.zeros((3, 3))
        for box in self.boxes:
            weight, offset = _around(box, peak)
            mass += float(weight.sum())
            sums += offset @ weight
            squares += (offset * weight) @ offset.T
        mean = sums / mass
        covariance = squares / mass - np.outer(mean, mean)
        grid = best.grid
        covariance += np.diag([grid.step_m ** 2, grid.step_m ** 2, grid.step_rad ** 2]) / 12
        return Mode(peak, Pose2(peak.x + mean[0], peak.y + mean[1],
                                wrap_angle(peak.yaw + mean[2])), covariance, mass)

    def places(self) -> Iterator[Pose2]:
        """Yield the likeliest pose of each box, beginning with the likeliest of all."""
        for box in sorted(self.boxes, key=lambda box: float(box.values.max()), reverse=True):
            yield box.peak()[0]

    def second(self, mode: Mode) -> tuple[Pose2, float]:
        """Return the likeliest pose outside of a mode, and the mass around it."""
        best, pose = -math.inf, mode.peak
        for box in self.boxes:
            outside = np.where(_is_near(box, mode.peak), -np.inf, box.values)
            there, highest = PoseVolume(box.grid, outside).peak()
            if highest > best:
                best, pose = highest, there
        mass = sum(float(_around(box, pose)[0].sum()) for box in self.boxes)
        return pose, mass if math.isfinite(best) else 0.0

    def _with(self, values: Callable[[PoseVolume], np.ndarray]) -> Belief:
        return Belief(tuple(PoseVolume(box.grid, values(box)) for box in self.boxes))


def _is_near(box: PoseVolume, pose: Pose2) -> np.ndarray:
    """Return which (headings, norths, easts) belong to a pose's mode."""
    grid = box.grid
    place = np.hypot(grid.norths_m[:, None] - pose.y, grid.easts_m - pose.x) < MODE_REACH_M
    turn = np.abs(wrap_angle(grid.middle.yaw + grid.turns_rad - pose.yaw)) < MODE_REACH_RAD
    return turn[:, None, None] & place


def _around(box: PoseVolume, pose: Pose2) -> tuple[np.ndarray, np.ndarray]:
    """Return the (K,) probabilities near a pose and their (3, K) offsets from it."""
    grid = box.grid
    heading, north, east = np.nonzero(_is_near(box, pose))
    offset = np.stack([
        grid.easts_m[east] - pose.x, grid.norths_m[north] - pose.y,
        wrap_angle(grid.middle.yaw + grid.turns_rad[heading] - pose.yaw)])
    return np.exp(box.values[heading, north, east].astype(float)), offset


def _moved(box: PoseVolume, step: Pose2) -> PoseVolume:
    """Move the middle by a step, and shift each heading's layer by what its own step differs."""
    grid = box.grid
    values = box.values
    middle_m = rotation2(grid.middle.yaw) @ step[:2]
    shifts = [(rotation2(grid.middle.yaw + turn) @ step[:2] - middle_m) / grid.step_m
              for turn in grid.turns_rad]
    if max(np.abs(each).max() for each in shifts) > 0.01:
        values = np.stack([
            shift(layer, each[::-1], order=1, mode='nearest')
            for layer, each in zip(values, shifts)])
    return PoseVolume(PoseGrid(
        grid.middle.compose(step), grid.step_m, grid.step_rad, grid.shape), values)


def _blurred(box: PoseVolume, sigma_m: float, sigma_rad: float) -> PoseVolume:
    """Convolve the probability with a Gaussian."""
    grid = box.grid
    highest = box.values.max()
    density = np.exp(box.values - highest)
    for axis, sigma in ((0, sigma_rad / grid.step_rad), (1, sigma_m / grid.step_m),
                        (2, sigma_m / grid.step_m)):
        if sigma > 0:
            density = correlate1d(density, _kernel(sigma), axis=axis, mode='nearest')
    return PoseVolume(grid, np.log(np.maximum(density, 1e-30)) + highest)


def _kernel(sigma: float) -> np.ndarray:
    """Return a kernel of a standard deviation in samples, exact also far below one."""
    if sigma ** 2 < 0.5:
        side = sigma ** 2 / 2
        return np.array([side, 1 - 2 * side, side], np.float32)
    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)

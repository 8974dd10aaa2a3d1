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

"""The offset between two clocks, from two measurements of the same motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fg2_ros.drives.course import antenna_path
from fg2_ros.replay.tracks import interpolated, lies_between, LONGEST_GAP_S, PoseTrack, SECOND_NS
import numpy as np

WIDEST_S, WIDE_STEP_S = 60.0, 0.1  # offsets among which one must fit far better than others
FAR_BETTER = 0.5
FARTHEST_S, COARSE_S, FINE_S = 1.0, 0.02, 0.002  # offsets that are tried
BLOCKS = 12  # of the drive, each of which is left out once to see how sure the result is
LEAST_STEPS = 24
RIVAL_S, MARGIN = 0.15, 25.0  # another offset that is hardly worse: five sigmas are asked for
CHORD_S = 0.5  # of the pieces of way that are compared; more where positions are rarer
DENSE = 3  # positions in such a piece: their noise may be smoothed
LEAST_CHORD_M = 1.0  # of pieces whose direction counts
CUT = 3.0  # sigmas beyond which a residual says no more
VAGUEST_S = 0.015  # offsets that are less sure are not told
SIGMAS, LEAST_S = 3.0, 0.002  # an offset above both is significant


@dataclass(frozen=True)
class ClockOffset:
    """By how much the truth's stamps are ahead of another clock's, with one sigma."""

    seconds: float
    sigma_s: float

    @property
    def is_known(self) -> bool:
        """Whether the drive determines it."""
        return self.sigma_s <= VAGUEST_S

    @property
    def is_significant(self) -> bool:
        """Whether it is known to be there."""
        return self.is_known and abs(self.seconds) > max(SIGMAS * self.sigma_s, LEAST_S)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {'offset_s': round(self.seconds, 4), 'sigma_s': round(self.sigma_s, 4),
                'is_known': self.is_known}


Residuals = Callable[[float], Sequence[np.ndarray]]


def offset_of_residuals(residuals: Residuals, around_s: float = 0.0) -> ClockOffset | None:
    """
    Return the offset at which two measurements of a motion differ least.

    :param residuals: returns for an offset in seconds what is left of each kind of measurement,
        (N,) in the order of time, NaN where it is not known; a constant in it does not count.
    :param around_s: offsets within `FARTHEST_S` of this one are tried.
    :return: None if too little can be compared, or nothing fits.
    """
    coarse_s = around_s + _lattice(FARTHEST_S, COARSE_S)
    cost = _costs(residuals, coarse_s).sum(axis=1)
    nearest = int(np.argmin(cost))
    if not cost.any() or nearest in (0, len(coarse_s) - 1) \
            or _rival(coarse_s, cost) < cost[nearest] + MARGIN:
        return None
    offsets = coarse_s[nearest] + _lattice(1.5 * COARSE_S, FINE_S)
    costs = _costs(residuals, offsets)
    best_s = _minimum(offsets, costs.sum(axis=1))
    block = np.arange(costs.shape[1]) * BLOCKS // costs.shape[1]
    without = np.array([_minimum(offsets, costs[:, block != each].sum(axis=1))
                        for each in range(BLOCKS)])
    sigma_s = np.sqrt((BLOCKS - 1) / BLOCKS * np.sum((without - without.mean()) ** 2))
    return ClockOffset(best_s, float(max(sigma_s, _sigma_of(offsets, costs, best_s))))


def _rival(offsets: np.ndarray, cost: np.ndarray) -> float:
    """Return the least cost of an offset that is another one than the best."""
    apart_s = np.abs(offsets - offsets[int(np.argmin(cost))])
    return float(cost[apart_s > RIVAL_S].min())


def _lattice(reach: float, step: float) -> np.ndarray:
    return np.arange(-round(reach / step), round(reach / step) + 1) * step


def _rough_offset(residuals: Residuals) -> float | None:
    """Return about which offset fits far better than others do, however far off; None if none."""
    offsets = _lattice(WIDEST_S, WIDE_STEP_S)
    tried = [np.concatenate(residuals(each)) for each in offsets.tolist()]
    size = np.stack([np.abs(each) for each in tried])
    known = np.isfinite(size)
    enough = known.sum(axis=1) >= max(LEAST_STEPS, known.sum(axis=1).max() / 2)
    if not enough.any():
        return None
    size = size[:, known.any(axis=0)]
    cut = np.minimum(np.nan_to_num(size), np.nanmedian(size, axis=0))
    cost = np.where(enough, cut.sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.inf)
    best = int(np.argmin(cost))
    return float(offsets[best]) if cost[best] < FAR_BETTER * np.median(cost[enough]) else None


def _costs(residuals: Residuals, offsets: np.ndarray) -> np.ndarray:
    """Return (offsets, N) costs of all kinds of residuals, in the order of time."""
    kinds = [_squares(np.stack(kind)) for kind in zip(*map(residuals, offsets.tolist()))]
    kinds = [kind for kind in kinds if kind.shape[1] >= LEAST_STEPS]
    if not kinds:
        return np.zeros((len(offsets), 1))
    times = np.concatenate([np.arange(kind.shape[1]) / kind.shape[1] for kind in kinds])
    return np.concatenate(kinds, axis=1)[:, np.argsort(times, kind='stable')]


def _squares(residuals: np.ndarray) -> np.ndarray:
    """
    Return (offsets, N) squares in units of the variance, cut, of what is known at all offsets.

    What the residuals change from one offset to the next is taken for noise, too, or the cost
    would be cut beside its minimum.
    """
    known = residuals[:, np.isfinite(residuals).all(axis=0)]
    if not known.shape[1]:
        return known
    known = known - np.median(known, axis=1, keepdims=True)
    noise = np.quantile(np.abs(known), 0.9, axis=1).min() / 1.645  # most of a drive is straight
    scale = np.hypot(noise, np.sqrt(np.mean(np.diff(known, axis=0) ** 2)))
    return np.minimum((known / max(scale, 1e-9)) ** 2, CUT ** 2)


def _minimum(offsets: np.ndarray, cost: np.ndarray) -> float:
    """Return where a cost is least, between the offsets."""
    best = int(np.clip(np.argmin(cost), 1, len(offsets) - 2))
    before, here, after = cost[best - 1:best + 2]
    bend = before - 2 * here + after
    step = offsets[1] - offsets[0]
    moved = step * (before - after) / (2 * bend) if bend > 0 else 0.0
    return float(offsets[best] + np.clip(moved, -step, step))


def _sigma_of(offsets: np.ndarray, costs: np.ndarray, best_s: float) -> float:
    """Return the standard deviation that the bend of the cost at its minimum tells."""
    bend = 2 * np.polyfit(offsets - best_s, costs.sum(axis=1), 2)[0]
    return float(np.sqrt(2 / bend)) if bend > 0 else np.inf


def smoothed(knots_ns: np.ndarray, values: np.ndarray, stamp_ns: np.ndarray) -> np.ndarray:
    """
    Return (N,) values at stamps: a cubic B-spline whose coefficients (T,) values at knots are.

    Straight lines between noisy values are quieter amid two knots than at one, so that an offset
    that puts stamps there would seem to fit; here the noise is nearly the same everywhere.
    """
    step_ns = max(1, int(np.median(np.diff(knots_ns))))
    even_ns = np.arange(knots_ns[0], knots_ns[-1] + step_ns, step_ns)
    even = interpolated(knots_ns, values, even_ns)
    place = np.clip((stamp_ns - even_ns[0]) / step_ns, 0, len(even) - 1)
    first = np.minimum(place.astype(int), len(even) - 1)
    part = place - first
    weights = ((1 - part) ** 3, 3 * part ** 3 - 6 * part ** 2 + 4,
               -3 * part ** 3 + 3 * part ** 2 + 3 * part + 1, part ** 3)
    return sum(weight * even[np.clip(first + index, 0, len(even) - 1)]
               for index, weight in enumerate(weights, -1)) / 6


def offset_from_odometry(positions: PoseTrack, odometry_ns: np.ndarray, odometry: np.ndarray
                         ) -> ClockOffset | None:
    """
    Return by how much the clock of positions is ahead of that of odometry.

    Compared is the way of one antenna: how long its pieces are, and by how much it turns from one
    to the next; both are the same in any frame.

    :param odometry: (O, 3 or more) x, y, yaw of base_link.
    """
    if len(odometry_ns) < 2 or len(positions.stamp_ns) < 3:
        return None
    nodes = _nodes(positions.stamp_ns)
    if not len(nodes):
        return None
    nodes_ns = positions.stamp_ns[nodes]
    places_m = positions.pose[nodes, :2]
    if nodes[0, 1] - nodes[0, 0] >= DENSE:
        places_m = np.stack([smoothed(positions.stamp_ns, each, nodes_ns)
                             for each in positions.pose[:, :2].T], axis=-1)
    length, turn = _pieces(places_m)

    def residuals(offset_s: float) -> tuple[np.ndarray, np.ndarray]:
        stamps = nodes_ns.ravel() - int(offset_s * SECOND_NS)
        places = antenna_path(odometry_ns, odometry, positions.lever_m, stamps)[:, :2]
        places[~lies_between(odometry_ns, stamps)] = np.nan
        by_odometry, turned = _pieces(places.reshape(*nodes_ns.shape, 2))
        scale = np.nansum(length) / max(np.nansum(by_odometry), 1e-9)
        return (length - scale * by_odometry,
                np.remainder(turn - turned + np.pi, 2 * np.pi) - np.pi)

    near = offset_of_residuals(residuals)
    if near is not None and near.is_known:
        return near
    around_s = _rough_offset(residuals)
    return near if around_s is None else offset_of_residuals(residuals, around_s)


def _nodes(stamp_ns: np.ndarray) -> np.ndarray:
    """Return (N, 3) indices of positions that are about evenly apart, without gaps between."""
    step = max(1, round(CHORD_S * SECOND_NS / float(np.median(np.diff(stamp_ns)))))
    first = np.arange(0, len(stamp_ns) - 2 * step, max(1, step // 2))
    nodes = first[:, None] + np.array([0, 1, 2]) * step
    apart_s = np.diff(stamp_ns[nodes], axis=1) / SECOND_NS
    return nodes[(apart_s <= max(2 * CHORD_S, LONGEST_GAP_S)).all(axis=1)]


def _pieces(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of (N, 3, 2) places the (N,) length of the first piece, and the turn to the next."""
    first, second = np.moveaxis(np.diff(nodes, axis=1), 1, 0)
    length = np.hypot(*first.T)
    turn = np.arctan2(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0],
                      (first * second).sum(axis=1))
    short = ~(np.minimum(length, np.hypot(*second.T)) >= LEAST_CHORD_M)
    return length, np.where(short, np.nan, turn)


def offset_from_turns(begin_ns: np.ndarray, end_ns: np.ndarray, turn_rad: np.ndarray,
                      heading_ns: np.ndarray, yaw_rad: np.ndarray,
                      around_s: float = 0.0) -> ClockOffset | None:
    """
    Return by how much the clock of headings is ahead of that of measured turns.

    :param turn_rad: (N,) by which the vehicle turned from ``begin_ns`` to ``end_ns``.
    :param yaw_rad: (H,) without jumps by full turns, at (H,) ``heading_ns``.
    :param around_s: offsets near this one are tried.
    """
    if not len(begin_ns) or len(heading_ns) < 2:
        return None

    def residuals(offset_s: float) -> tuple[np.ndarray]:
        ends = [stamps + int(offset_s * SECOND_NS) for stamps in (begin_ns, end_ns)]
        yaws = [smoothed(heading_ns, yaw_rad, each) for each in ends]
        known = lies_between(heading_ns, ends[0]) & lies_between(heading_ns, ends[1])
        return np.where(known, turn_rad - (yaws[1] - yaws[0]), np.nan),

    return offset_of_residuals(residuals, around_s)

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

"""The path of a vehicle in its lane: straight lines and arcs, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry.se2 import wrap_angle
import numpy as np

SIMPLIFY_M = 0.25  # corners need room for their arcs: fewer, longer stretches
GENTLE_TRIM_M = 3.0  # a slight bend is rounded over this much on either side, not jerked round
TURNING_BACK_RAD = np.radians(150)


def advance(x, y, yaw, distance, turn):
    """
    Return (x, y, yaw) after driving an arc of ``distance`` metres that turns by ``turn`` radians.

    Exact for every constant curvature, a straight line included. Scalars or arrays.
    """
    chord = distance * np.sinc(turn / (2 * np.pi))
    return x + chord * np.cos(yaw + turn / 2), y + chord * np.sin(yaw + turn / 2), yaw + turn


@dataclass(frozen=True)
class LanePath:
    """
    Pieces of constant curvature, joined without kinks; distances are metres from the start.

    ``start_m``, ``curvature`` (1/m, positive to the left) and the ``east_m``, ``north_m``,
    ``yaw_rad`` of the pieces' beginnings are (P,) arrays; yaw is continuous, not wrapped.
    """

    start_m: np.ndarray
    curvature: np.ndarray
    east_m: np.ndarray
    north_m: np.ndarray
    yaw_rad: np.ndarray
    length_m: float

    def sample(self, distance_m):
        """Return (east, north, yaw, curvature) at (N,) distances; the ends run on as they are."""
        distance_m = np.asarray(distance_m, float)
        piece = np.searchsorted(self.start_m, distance_m, side='right') - 1
        piece = np.clip(piece, 0, len(self.start_m) - 1)
        ahead_m = distance_m - self.start_m[piece]
        curvature = self.curvature[piece]
        east, north, yaw = advance(
            self.east_m[piece], self.north_m[piece], self.yaw_rad[piece],
            ahead_m, curvature * ahead_m)
        return east, north, yaw, curvature


def lane_path(centre_line: np.ndarray, offset_right_m: float, radius_m: float) -> LanePath:
    """
    Return the path beside a centre line, its corners rounded by arcs.

    :param centre_line: (K, 2) east, north in metres, in the direction of travel.
    :param offset_right_m: distance of the lane from the centre line, to the right.
    :param radius_m: radius of the corners' arcs; smaller where a stretch is too short for it,
        larger in slight bends.
    :raises ValueError: if the line is shorter than a metre, or turns back and has no other lane
        to come back on.
    """
    lane = _lane_vertices(_simplified(centre_line), offset_right_m)
    steps = np.diff(lane, axis=0)
    headings = np.arctan2(steps[:, 1], steps[:, 0])
    steps_m = np.linalg.norm(steps, axis=1)
    turns = wrap_angle(np.diff(headings))
    trims_m = np.zeros(len(lane))  # how much of a stretch's end its corner's arc replaces
    wanted_m = np.maximum(radius_m * np.tan(np.abs(turns) / 2), GENTLE_TRIM_M)
    wanted_m[turns == 0] = 0
    trims_m[1:-1] = np.minimum(wanted_m, np.minimum(steps_m[:-1], steps_m[1:]) / 2)
    lengths_m, curvatures = [], []
    for index, step_m in enumerate(steps_m):
        lengths_m.append(step_m - trims_m[index] - trims_m[index + 1])
        curvatures.append(0.0)
        if index < len(turns) and turns[index] != 0:
            arc_radius_m = trims_m[index + 1] / np.tan(np.abs(turns[index]) / 2)
            lengths_m.append(arc_radius_m * np.abs(turns[index]))
            curvatures.append(np.sign(turns[index]) / arc_radius_m)
    return _chain(lane[0], headings[0], np.array(lengths_m), np.array(curvatures))


def _chain(start, yaw_rad, lengths_m, curvatures) -> LanePath:
    """Join pieces of given lengths and curvatures from a first pose on."""
    used = lengths_m > 1e-9
    lengths_m, curvatures = lengths_m[used], curvatures[used]
    poses = [(start[0], start[1], yaw_rad)]
    for length_m, curvature in zip(lengths_m, curvatures):
        poses.append(advance(*poses[-1], length_m, curvature * length_m))
    east, north, yaw = np.array(poses[:-1], float).T
    ends_m = np.cumsum(lengths_m)
    return LanePath(
        start_m=ends_m - lengths_m, curvature=curvatures, east_m=east, north_m=north, yaw_rad=yaw,
        length_m=float(ends_m[-1]))


def _simplified(line: np.ndarray) -> np.ndarray:
    """Return the (K, 2) vertices that matter at a quarter of a metre (Douglas-Peucker)."""
    line = np.asarray(line, float)
    kept, spans = {0, len(line) - 1}, [(0, len(line) - 1)]
    while spans:
        first, last = spans.pop()
        away_m = _distance_to_stretch(line[first:last + 1], line[first], line[last])
        farthest = first + int(np.argmax(away_m))
        if away_m.max() > SIMPLIFY_M:
            kept.add(farthest)
            spans += [(first, farthest), (farthest, last)]
    if len(kept) < 3 and np.linalg.norm(line[-1] - line[0]) < 1:
        raise ValueError('a drive needs a route longer than a metre')
    return line[sorted(kept)]


def _distance_to_stretch(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the (N,) distances of points to the straight stretch between two points."""
    along = end - start
    share = (points - start) @ along / max(along @ along, 1e-12)
    return np.linalg.norm(points - start - np.clip(share, 0, 1)[:, None] * along, axis=1)


def _lane_vertices(line: np.ndarray, right_m: float) -> np.ndarray:
    """Return a lane's vertices: where the line turns back, the lane crosses to the other side."""
    steps = np.diff(line, axis=0)
    turns = wrap_angle(np.diff(np.arctan2(steps[:, 1], steps[:, 0])))
    turning_back = np.flatnonzero(np.abs(turns) > TURNING_BACK_RAD) + 1
    if len(turning_back) and right_m == 0:
        raise ValueError('the route turns back on itself, which takes a second lane')
    ends = [0, *turning_back, len(line) - 1]
    return np.concatenate([
        _offset(line[first:last + 1], right_m) for first, last in zip(ends[:-1], ends[1:])])


def _offset(line: np.ndarray, right_m: float) -> np.ndarray:
    """Return the (K, 2) line moved to the right, mitred at its corners."""
    steps = np.diff(line, axis=0)
    headings = np.arctan2(steps[:, 1], steps[:, 0])
    turns = wrap_angle(np.diff(headings))
    corner_headings = np.concatenate([headings[:1], headings[:-1] + turns / 2, headings[-1:]])
    reach_m = right_m / np.cos(np.concatenate([[0], turns / 2, [0]]))
    to_the_right = np.stack([np.sin(corner_headings), -np.cos(corner_headings)], axis=1)
    return line + reach_m[:, None] * to_the_right

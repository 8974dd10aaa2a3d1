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

"""Course over ground: the heading of a vehicle from the track of its GNSS antenna."""

from __future__ import annotations

from fg2_ros.drives.readings import HeadingTrack
from fg2_ros.replay.tracks import interpolated, lies_between, PoseTrack, SECOND_NS
import numpy as np

WINDOW_S = 4.0  # to either side: what odometry drifts in it is less than RTK is off
LEAST_SPREAD_M = 1.5  # of the places in a window around their middle, one sigma
VAGUEST_RAD = np.radians(2.0)
LEAST_BEND_M = 0.3  # of a way between two fixes that need not be straight
CHORD_S, LEAST_SPEED_MPS = 0.4, 1.0  # of a course without odometry


def antenna_path(odometry_ns: np.ndarray, odometry: np.ndarray, lever_m: tuple[float, float],
                 stamp_ns: np.ndarray) -> np.ndarray:
    """Return (N, 3) x, y of an antenna in the odometry's frame, and the yaw there, at stamps."""
    x, y, yaw = (interpolated(odometry_ns, each, stamp_ns) for each in odometry[:, :3].T)
    ahead, left = lever_m
    return np.stack([x + np.cos(yaw) * ahead - np.sin(yaw) * left,
                     y + np.sin(yaw) * ahead + np.cos(yaw) * left, yaw], axis=1)


def course_by_odometry(positions: PoseTrack, odometry_ns: np.ndarray, odometry: np.ndarray,
                       ahead_ns: int, sigma_m: float) -> HeadingTrack:
    """
    Return the heading that turns the way by odometry, within a window, into that by GNSS.

    Forward, backward, around corners: only the motion counts.

    :param odometry: (O, 3 or more) x, y, yaw.
    :param ahead_ns: of the positions' clock before the odometry's.
    :param sigma_m: of a position.
    """
    stamps = positions.stamp_ns - ahead_ns
    known = lies_between(odometry_ns, stamps)
    path = antenna_path(odometry_ns, odometry, positions.lever_m, stamps[known])
    by_odometry = path[:, 0] + 1j * path[:, 1]
    by_gnss = positions.pose[known, 0] + 1j * positions.pose[known, 1]
    seconds = (stamps[known] - odometry_ns[0]) / SECOND_NS
    turn, spread_m2, off_m2 = alignments(seconds, by_odometry, by_gnss)
    with np.errstate(divide='ignore', invalid='ignore'):
        sigma_rad = np.sqrt(np.maximum(off_m2, sigma_m ** 2) / spread_m2)
    good = (sigma_rad <= VAGUEST_RAD) & (spread_m2 > 0)
    knots = stamps[known][good]
    between = odometry_ns[lies_between(knots, odometry_ns)]
    if not len(between):
        return HeadingTrack.of((), (), ())
    yaw_rad = interpolated(odometry_ns, odometry[:, 2], between)
    return HeadingTrack.of(
        between + ahead_ns, yaw_rad + interpolated(knots, np.unwrap(turn[good]), between),
        interpolated(knots, sigma_rad[good], between))


def places_between(positions: PoseTrack, odometry_ns: np.ndarray, odometry: np.ndarray,
                   ahead_ns: int, stamp_ns: np.ndarray) -> np.ndarray:
    """
    Return (N, 2) places of an antenna at stamps: on the way by odometry from fix to fix.

    The way between two fixes is turned and stretched to end where they are; where it is short, or
    there is no odometry, it is straight.

    :param ahead_ns: of the positions' clock before the odometry's.
    """
    straight = positions.at(stamp_ns)[:, :2]
    if len(odometry_ns) < 2:
        return straight
    knots_ns = positions.stamp_ns
    before = np.clip(np.searchsorted(knots_ns, stamp_ns, side='right') - 1, 0, len(knots_ns) - 2)
    nodes_ns = np.stack([knots_ns[before], stamp_ns, knots_ns[before + 1]]) - ahead_ns
    path = antenna_path(odometry_ns, odometry, positions.lever_m, nodes_ns.ravel())
    first, here, last = (path[:, 0] + 1j * path[:, 1]).reshape(nodes_ns.shape)
    begin, end = (positions.pose[index, 0] + 1j * positions.pose[index, 1]
                  for index in (before, before + 1))
    is_known = lies_between(odometry_ns, nodes_ns.ravel()).reshape(nodes_ns.shape).all(axis=0)
    bends = is_known & (np.abs(last - first) >= LEAST_BEND_M)
    with np.errstate(divide='ignore', invalid='ignore'):
        place = begin + (here - first) * (end - begin) / (last - first)
    return np.where(bends[:, None], np.stack([place.real, place.imag], axis=1), straight)


def alignments(seconds: np.ndarray, before: np.ndarray, after: np.ndarray,
               window_s: float = WINDOW_S) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return for the window around each place how one way is turned against the other.

    :param before: (N,) complex places, turned by the result into ``after``, moved and all.
    :param window_s: to either side.
    :return: (N,) turns in rad; the squares of the places' distances from their middle, summed up
        (0 where that is too little); the mean square of what is left between the two ways.
    """
    before, after = before - before.mean(), after - after.mean()
    first = np.searchsorted(seconds, seconds - window_s)
    end = np.searchsorted(seconds, seconds + window_s, side='right')
    count = end - first

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0], np.cumsum(values)])
        return sums[end] - sums[first]

    middle_before, middle_after = total(before) / count, total(after) / count
    cross = total(np.conj(before) * after) - count * np.conj(middle_before) * middle_after
    squares = [total(np.abs(each) ** 2) - count * np.abs(middle) ** 2
               for each, middle in ((before, middle_before), (after, middle_after))]
    left = np.maximum(squares[0] + squares[1] - 2 * np.abs(cross), 0.0) / count
    is_wide = squares[1] >= count * LEAST_SPREAD_M ** 2
    return np.angle(cross), np.where(is_wide, squares[1], 0.0), left


def course_alone(positions: PoseTrack, sigma_m: float) -> HeadingTrack:
    """
    Return the direction in which the antenna goes, of a vehicle that drives ahead.

    In a corner an antenna off base_link goes another way than that; this is taken out.
    """
    half_ns = int(CHORD_S / 2 * SECOND_NS)
    stamps = positions.stamp_ns
    before, after = stamps - half_ns, stamps + half_ns
    known = positions.knows(before) & positions.knows(after)
    stamps = stamps[known]
    chord = positions.at(after[known])[:, :2] - positions.at(before[known])[:, :2]
    speed_mps = np.hypot(*chord.T) / CHORD_S
    moving = speed_mps >= LEAST_SPEED_MPS
    stamps, speed_mps = stamps[moving], speed_mps[moving]
    course = np.unwrap(np.arctan2(chord[moving, 1], chord[moving, 0]))
    if len(stamps) > 2:
        ahead, left = positions.lever_m
        rate = np.gradient(course, (stamps - stamps[0]) / SECOND_NS)
        course = course - np.arctan2(rate * ahead, speed_mps - rate * left)
    sigma_rad = np.sqrt(2) * sigma_m / (speed_mps * CHORD_S)
    good = sigma_rad <= VAGUEST_RAD
    return HeadingTrack.of(stamps[good], course[good], sigma_rad[good])

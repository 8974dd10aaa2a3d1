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

"""The ground truth of a drive, and where it is reliable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from fg2_ros.datasets.drives import SensorReadings
from fg2_ros.drives.clock import ClockOffset, offset_from_odometry
from fg2_ros.drives.course import course_alone, course_by_odometry, places_between
from fg2_ros.drives.readings import HeadingTrack, read_headings
from fg2_ros.drives.settings import TruthSettings
from fg2_ros.drives.smoothing import Fixes, NO_POSES, Poses, smoothed_poses
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.replay.recording import Recording
from fg2_ros.replay.tracks import base_from_antenna, interpolated, PoseTrack, SECOND_NS
from fg2_ros.ros.vehicle_mounts import VehicleMounts
import numpy as np

NO_TRUTH = 'no truth at its time'
NO_HEADING = 'no true heading at its time'
VAGUE = 'truth too vague'
JUMP = 'truth jumps'
SPEED = 'truth and odometry differ in the way driven'
HEADING = 'true heading and course differ'

WORST_SIGMA_RAD = math.radians(2.0)
DENSE_NS, JUMP_M = 250_000_000, 0.5  # between positions that are looked at for jumps; how far
NEAR_S = 1.0  # images so near a jump are in doubt
WAY_S, WAY_M, WAY_SHARE = 1.0, 0.3, 0.08  # by which ways may differ: wheels slip, and are worn
HEADING_RAD = math.radians(4.0)  # that headings may differ from the course beside a lasting offset
LASTING_RAD = math.radians(1.0)  # a lasting offset is worth a warning


@dataclass(frozen=True)
class Truth:
    """
    The true poses of a drive, on a clock of their own.

    :param heading: where it comes from, as it is shown.
    :param sensors: whose odometry tells the way between two positions.
    :param odometry_clock: how far the truth's clock is ahead of the odometry's; None if nobody
        knows.
    :param course: the heading by where the antenna went, to compare with; None if it is that.
    """

    positions: PoseTrack
    headings: HeadingTrack
    heading: str
    odometry_clock: ClockOffset | None
    course: HeadingTrack | None
    sensors: SensorReadings
    settings: TruthSettings

    def base_at(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return (N, 3) poses of base_link at stamps of the truth's clock."""
        place_m = places_between(
            self.positions, self.sensors.odometry_stamp_ns, self.sensors.odometry,
            self.odometry_ahead_ns, stamp_ns)
        pose = np.column_stack([place_m, self.headings.at(stamp_ns)[:, 0]])
        return base_from_antenna(pose, self.positions.lever_m)

    def sigma_at(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return (N, 2) sigmas: of the position in metres, of the heading in rad."""
        position = interpolated(self.positions.stamp_ns, self.sigma_m, stamp_ns)
        return np.stack([position, self.headings.at(stamp_ns)[:, 1]], axis=1)

    @property
    def sigma_m(self) -> np.ndarray:
        """Return (T,) sigmas of the positions, what is assumed where nothing is stated."""
        return np.nan_to_num(self.positions.sigma[:, 0], nan=self.settings.truth_sigma_m)

    @property
    def said_of_vagueness(self) -> str:
        """Return how accurate the truth is and should be, as a sentence."""
        sigma_deg = math.degrees(float(np.median(self.headings.sigma_rad)))
        return (f'; its sigma is {np.median(self.sigma_m):.2g} m and {sigma_deg:.2g} degrees in '
                f'the median, {self.settings.max_sigma_m:g} m (--max-sigma-m) and '
                f'{math.degrees(WORST_SIGMA_RAD):g} degrees are wanted')

    @property
    def course_offset_rad(self) -> float:
        """Return by how much the heading lasts counter-clockwise of the course; NaN if unknown."""
        difference = self._off_course(self.headings.stamp_ns)
        known = difference[np.isfinite(difference)]
        return float(np.median(known)) if len(known) else math.nan

    def doubts(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return for each of (N,) stamps of the truth's clock why it is in doubt, or ''."""
        reasons = np.full(len(stamp_ns), '', dtype=object)
        for reason, is_so in (
                (NO_TRUTH, ~self.positions.knows(stamp_ns)),
                (NO_HEADING, ~self.headings.knows(stamp_ns)),
                (VAGUE, self._is_vague(stamp_ns)), (JUMP, self._is_near_a_jump(stamp_ns)),
                (SPEED, self._goes_another_way(stamp_ns)),
                (HEADING, self._is_off_course(stamp_ns))):
            reasons[is_so & (reasons == '')] = reason
        return reasons

    def _is_vague(self, stamp_ns: np.ndarray) -> np.ndarray:
        sigma_m, sigma_rad = self.sigma_at(stamp_ns).T
        return (sigma_m > self.settings.max_sigma_m) | (sigma_rad > WORST_SIGMA_RAD)

    def _is_near_a_jump(self, stamp_ns: np.ndarray) -> np.ndarray:
        jumps_ns = jumps(self.positions)
        if not len(jumps_ns):
            return np.zeros(len(stamp_ns), bool)
        return np.abs(np.subtract.outer(stamp_ns, jumps_ns)).min(axis=1) <= NEAR_S * SECOND_NS

    def _goes_another_way(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return where odometry has driven another distance around a stamp than the truth."""
        odometry_ns, odometry = self.sensors.odometry_stamp_ns, self.sensors.odometry
        if len(odometry_ns) < 2:
            return np.zeros(len(stamp_ns), bool)
        ahead_ns = self.odometry_ahead_ns
        ways = []
        for half_ns in (-int(WAY_S / 2 * SECOND_NS), int(WAY_S / 2 * SECOND_NS)):
            at_ns = stamp_ns + half_ns
            there = np.stack([interpolated(odometry_ns, each, at_ns - ahead_ns)
                              for each in odometry[:, :2].T], axis=1)
            here = self.base_at(at_ns)[:, :2]
            unknown = ~(self.positions.knows(at_ns) & self.headings.knows(at_ns))
            here[unknown] = np.nan
            ways.append((here, there))
        (here_0, there_0), (here_1, there_1) = ways
        way_m, odometry_m = np.hypot(*(here_1 - here_0).T), np.hypot(*(there_1 - there_0).T)
        return np.abs(way_m - odometry_m) > WAY_M + WAY_SHARE * odometry_m

    @property
    def odometry_ahead_ns(self) -> int:
        """Return by how much the truth's clock is ahead of the odometry's, as far as is known."""
        return ahead_ns_of(self.odometry_clock)

    def _off_course(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return (N,) how far headings are from the course; NaN where one is not known."""
        if self.course is None or not len(self.course.stamp_ns):
            return np.full(len(stamp_ns), np.nan)
        known = self.course.knows(stamp_ns) & self.headings.knows(stamp_ns)
        off = wrap_angle(self.headings.at(stamp_ns)[:, 0] - self.course.at(stamp_ns)[:, 0])
        return np.where(known, off, np.nan)

    def _is_off_course(self, stamp_ns: np.ndarray) -> np.ndarray:
        off = self._off_course(stamp_ns)
        return np.abs(wrap_angle(np.nan_to_num(off - self.course_offset_rad))) > HEADING_RAD


def smoothed_track(fixes: PoseTrack, sensors: SensorReadings, settings: TruthSettings,
                   poses: Poses = NO_POSES) -> PoseTrack:
    """
    Return the poses along a drive, by the odometry's clock, that fit fixes and odometry best.

    :param poses: what else is known, by the odometry's clock.
    :raises ValueError: if there is no odometry, or the accuracy of the fixes is not known.
    """
    if np.isnan(fixes.sigma[:, 0]).any() and (
            settings.truth_sigma_m == TruthSettings.truth_sigma_m):
        raise ValueError('the fixes do not say how accurate they are, and smoothing needs to '
                         'know: say --truth-sigma-m')
    odometry_ns, odometry = sensors.odometry_stamp_ns, sensors.odometry
    ahead_ns = ahead_ns_of(offset_from_odometry(fixes, odometry_ns, odometry))
    smoothed = smoothed_poses(Fixes(
        fixes.stamp_ns - ahead_ns, fixes.pose[:, :2],
        np.nan_to_num(fixes.sigma[:, 0], nan=settings.truth_sigma_m), fixes.lever_m),
        odometry_ns, odometry, poses)
    return PoseTrack(fixes.frame, smoothed.stamp_ns, smoothed.pose, (0.0, 0.0), smoothed.sigma)


def read_drive_truth(recording: Recording, positions: PoseTrack, sensors: SensorReadings,
                     vehicle: VehicleMounts, settings: TruthSettings) -> Truth:
    """
    Return the true poses of a drive: positions, and the best heading there is.

    :raises ValueError: if there is no heading.
    """
    odometry_ns, odometry = sensors.odometry_stamp_ns, sensors.odometry
    offset = offset_from_odometry(positions, odometry_ns, odometry)
    sigma_m = float(np.median(np.nan_to_num(
        positions.sigma[:, 0], nan=settings.truth_sigma_m)))
    if len(odometry_ns) > 1:
        course = course_by_odometry(
            positions, odometry_ns, odometry, ahead_ns_of(offset), sigma_m)
        by_course = 'course, by odometry'
    else:
        course, by_course = course_alone(positions, sigma_m), 'course, of driving ahead'
    if positions.has_heading:
        sigma_rad = np.nan_to_num(
            positions.sigma[:, 1], nan=math.radians(settings.truth_sigma_deg))
        headings = HeadingTrack.of(positions.stamp_ns, positions.pose[:, 2], sigma_rad)
        return Truth(positions, headings, 'of the poses', offset, course, sensors, settings)
    if settings.truth_heading:
        topic = settings.truth_heading
        headings = read_headings(recording, topic, positions, vehicle, settings)
        return Truth(positions, headings, topic, offset, course, sensors, settings)
    if not len(course.stamp_ns):
        raise ValueError('the truth has no heading, and the drive is too short for a course: '
                         'name a heading (--truth-heading)')
    return Truth(positions, course, by_course, offset, None, sensors, settings)


def ahead_ns_of(offset: ClockOffset | None) -> int:
    """Return an offset in nanoseconds; 0 if it is not known or not significant."""
    return round(offset.seconds * SECOND_NS) if offset and offset.is_significant else 0


def jumps(positions: PoseTrack) -> np.ndarray:
    """Return (J,) stamps between which positions step further than those around do."""
    gap_ns = np.diff(positions.stamp_ns)
    if len(gap_ns) < 7:
        return np.zeros(0, np.int64)
    velocity = np.diff(positions.pose[:, :2], axis=0) / (gap_ns / SECOND_NS)[:, None]
    padded = np.pad(velocity, ((3, 3), (0, 0)), mode='edge')
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, 7, axis=0), axis=-1)
    stepped_m = np.hypot(*(velocity - around).T) * gap_ns / SECOND_NS
    return positions.stamp_ns[1:][(stepped_m > JUMP_M) & (gap_ns <= DENSE_NS)]


def smoothed_remark(sigma_m: np.ndarray, sigma_rad: np.ndarray) -> str:
    """Return what is to be known of a truth that was smoothed."""
    return (f'the poses are smoothed fixes: one sigma is {np.median(sigma_m):.2f} m and '
            f'{math.degrees(float(np.median(sigma_rad))):.1f} degrees in the median, and errors '
            'of neighbouring images are alike')


def remarks_of(truth: Truth) -> Sequence[str]:
    """Return sentences on what is odd about a truth as a whole."""
    remarks = []
    if truth.settings.smooth:
        remarks.append(smoothed_remark(truth.sigma_m, truth.headings.sigma_rad))
    if np.isnan(truth.positions.sigma[:, 0]).any():
        remarks.append(
            'the truth does not say how accurate it is: one sigma of '
            f'{truth.settings.truth_sigma_m:g} m is assumed (--truth-sigma-m)')
    offset_rad = truth.course_offset_rad
    if abs(offset_rad) > LASTING_RAD:
        remarks.append(
            f'the true heading ({truth.heading}) is {math.degrees(offset_rad):+.1f} degrees from '
            'the course all the time (counter-clockwise is positive): is its sensor turned, or '
            'base_link? It is taken as it is; --heading-offset-deg changes a --truth-heading')
    return remarks

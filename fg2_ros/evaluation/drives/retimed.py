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

"""Simulated drives with other timing than they were rendered with: a stop, another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from fg2_ros.evaluation.drives.readings import OdometryReadings, Track
from fg2_ros.simulation.drive import TRAJECTORY_RATE_HZ
from fg2_ros.simulation.sensors import (
    GnssTrack, ImuTrack, OdometryTrack, sample_times, SensorModels, simulate_gnss, simulate_imu,
    simulate_odometry)
from fg2_ros.simulation.trajectory import Trajectory
import numpy as np


class Retimed(NamedTuple):
    """A trajectory along the same path, and (T,) when it is where the first one was."""

    trajectory: Trajectory
    new_time_s: np.ndarray


def with_stop(trajectory: Trajectory, at_s: float, stop_s: float,
              acceleration_mps2: float = 2.0) -> Retimed:
    """
    Return a drive along the same path that brakes, stands where it was at a time, and goes on.

    :param at_s: a time of the first trajectory.
    :param stop_s: how long it stands.
    """
    path_m = np.concatenate([[0.0], np.cumsum(np.hypot(
        np.diff(trajectory.east_m), np.diff(trajectory.north_m)))])
    stop = int(np.argmin(np.abs(trajectory.time_s - at_s)))
    speed_mps = np.minimum(trajectory.speed_mps, np.sqrt(
        2 * acceleration_mps2 * np.abs(path_m - path_m[stop])))
    steps_s = 2 * np.diff(path_m) / (speed_mps[1:] + speed_mps[:-1])
    arrival_s = np.concatenate([[0.0], np.cumsum(steps_s)])
    # The place of the stop is there twice: it arrives, and it leaves.
    node = np.insert(np.arange(len(path_m)), stop, stop)
    node_s = arrival_s[node] + stop_s * (np.arange(len(node)) > stop)
    time_s = sample_times(node_s[-1], TRAJECTORY_RATE_HZ)

    def resampled(column: np.ndarray) -> np.ndarray:
        return np.interp(time_s, node_s, column[node])

    yaw_rad = resampled(trajectory.yaw_rad)
    retimed = Trajectory(
        time_s, resampled(trajectory.east_m), resampled(trajectory.north_m), yaw_rad,
        resampled(trajectory.roll_rad), resampled(trajectory.pitch_rad), resampled(speed_mps),
        yaw_rate_radps=np.gradient(yaw_rad, time_s))
    return Retimed(retimed, np.delete(node_s, stop + 1))


def sensed(trajectory: Trajectory, sensors: SensorModels,
           seed: int) -> tuple[GnssTrack, OdometryTrack, ImuTrack]:
    """Return what the sensors say along another trajectory; the same seed, the same readings."""
    gnss_rng, odometry_rng, imu_rng = np.random.default_rng([seed, 13]).spawn(3)
    return (simulate_gnss(trajectory, sensors.gnss, gnss_rng),
            simulate_odometry(trajectory, sensors.odometry, odometry_rng),
            simulate_imu(trajectory, sensors.imu, imu_rng))


class Stretch(NamedTuple):
    """A part of a drive, from after ``first_s`` to ``last_s``, and when it begins anew."""

    first_s: float
    last_s: float
    begin_s: float

    def mask(self, time_s: np.ndarray) -> np.ndarray:
        """Return which times belong to it; a hair's breadth is left to rounding."""
        return (time_s > self.first_s + 1e-6) & (time_s <= self.last_s + 1e-6)


def rearranged(track: Track, stretches: Sequence[Stretch]) -> Track:
    """Return the readings of parts of a drive, in another order."""
    time_s = np.concatenate([
        track.time_s[each.mask(track.time_s)] - each.first_s + each.begin_s
        for each in stretches])
    rows = np.concatenate([np.flatnonzero(each.mask(track.time_s)) for each in stretches])
    return replace(track.kept(rows), time_s=time_s)


def rearranged_odometry(track: OdometryReadings,
                        stretches: Sequence[Stretch]) -> OdometryReadings:
    """Return the odometry of parts of a drive, in another order: it goes on without a jump."""
    parts = rearranged(track, stretches)
    step_s = np.diff(parts.time_s)
    turn = step_s * parts.yaw_rate_radps[1:]
    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    middle, chord_s = yaw[:-1] + turn / 2, step_s * np.sinc(turn / (2 * np.pi))
    forward_m, leftward_m = chord_s * parts.speed_mps[1:], chord_s * parts.leftward_mps[1:]
    x_step = np.cos(middle) * forward_m - np.sin(middle) * leftward_m
    y_step = np.sin(middle) * forward_m + np.cos(middle) * leftward_m
    return replace(
        parts, x_m=np.concatenate([[0.0], np.cumsum(x_step)]),
        y_m=np.concatenate([[0.0], np.cumsum(y_step)]), yaw_rad=yaw)

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

"""Simulated sensors along a trajectory: GNSS, wheel odometry, IMU."""

from __future__ import annotations

from dataclasses import dataclass, field

from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.simulation.lane_path import advance
from fg2_ros.simulation.trajectory import Trajectory
import numpy as np
from scipy.signal import lfilter


@dataclass(frozen=True)
class GnssModel:
    """A receiver in a street canyon: white noise on a slowly wandering bias, and outages."""

    rate_hz: float = 5.0
    noise_m: float = 0.8           # white, one sigma on each axis
    bias_m: float = 2.8            # wandering, one sigma on each axis: 4 m horizontally
    bias_time_s: float = 30.0
    first_outage_after_s: float = 4.0  # a start-up needs a fix
    outage_every_s: float = 12.0   # mean time between outages; 0 switches them off
    outage_s: float = 1.5
    antenna_m: tuple[float, float, float] = (-0.5, 0.0, 1.6)  # in base_link

    @property
    def sigma_m(self) -> float:
        """Return the honest one-sigma error on each axis."""
        return float(np.hypot(self.noise_m, self.bias_m))


@dataclass(frozen=True)
class OdometryModel:
    """Wheel odometry: a wrong wheel radius, a biased yaw rate, white noise on both."""

    rate_hz: float = 50.0
    scale_error: float = 0.015     # one sigma, drawn once a drive
    yaw_rate_bias_radps: float = np.radians(0.15)  # one sigma, drawn once a drive
    speed_noise_mps: float = 0.05
    yaw_rate_noise_radps: float = np.radians(0.5)


@dataclass(frozen=True)
class ImuModel:
    """An attitude reference whose heading is wrong by a slow bias and white noise."""

    rate_hz: float = 50.0
    yaw_bias_rad: float = np.radians(2.5)
    yaw_bias_time_s: float = 60.0
    yaw_noise_rad: float = np.radians(0.3)
    tilt_noise_rad: float = np.radians(0.1)
    rate_noise_radps: float = np.radians(0.2)

    @property
    def yaw_sigma_rad(self) -> float:
        """Return the honest one-sigma error of the heading."""
        return float(np.hypot(self.yaw_bias_rad, self.yaw_noise_rad))


@dataclass(frozen=True)
class SensorModels:
    """All sensors of a vehicle."""

    gnss: GnssModel = field(default_factory=GnssModel)
    odometry: OdometryModel = field(default_factory=OdometryModel)
    imu: ImuModel = field(default_factory=ImuModel)


@dataclass(frozen=True)
class GnssTrack:
    """(G,) times; (G, 2) east and north of the antenna in metres, NaN during an outage."""

    time_s: np.ndarray
    position_m: np.ndarray
    sigma_m: float


@dataclass(frozen=True)
class OdometryTrack:
    """(O,) arrays: the pose in the odometry's frame, which begins at zero, and the rates."""

    time_s: np.ndarray
    x_m: np.ndarray
    y_m: np.ndarray
    yaw_rad: np.ndarray
    speed_mps: np.ndarray
    yaw_rate_radps: np.ndarray


@dataclass(frozen=True)
class ImuTrack:
    """(I,) arrays: attitude in the map (REP-103 roll, pitch, yaw) and yaw rate."""

    time_s: np.ndarray
    roll_rad: np.ndarray
    pitch_rad: np.ndarray
    yaw_rad: np.ndarray
    yaw_rate_radps: np.ndarray
    yaw_sigma_rad: float


def gauss_markov(rng: np.random.Generator, time_s: np.ndarray, sigma: float,
                 time_constant_s: float) -> np.ndarray:
    """
    Return a (T,) stationary first-order Gauss-Markov process at evenly spaced times.

    Its autocorrelation is ``sigma**2 * exp(-lag / time_constant_s)``.
    """
    step_s = time_s[1] - time_s[0] if len(time_s) > 1 else 0.0
    keep = np.exp(-step_s / time_constant_s)
    drive = rng.standard_normal(len(time_s)) * sigma
    drive[1:] *= np.sqrt(1 - keep ** 2)
    return lfilter([1.0], [1.0, -keep], drive)


def sample_times(duration_s: float, rate_hz: float) -> np.ndarray:
    """Return the times from 0 to ``duration_s``, ends included, at a rate."""
    return np.arange(int(np.floor(duration_s * rate_hz + 1e-9)) + 1) / rate_hz


def simulate_gnss(trajectory: Trajectory, model: GnssModel, rng: np.random.Generator) -> GnssTrack:
    """Return what a receiver with ``model``'s errors reports along a trajectory."""
    time_s = sample_times(trajectory.duration_s, model.rate_hz)
    truth = trajectory.at(time_s)
    ahead_m, left_m, _ = model.antenna_m
    cos, sin = np.cos(truth.yaw_rad), np.sin(truth.yaw_rad)
    position_m = np.stack([
        truth.east_m + cos * ahead_m - sin * left_m,
        truth.north_m + sin * ahead_m + cos * left_m], axis=1)
    for axis in range(2):
        position_m[:, axis] += gauss_markov(rng, time_s, model.bias_m, model.bias_time_s)
    position_m += rng.standard_normal(position_m.shape) * model.noise_m
    position_m[_outages(time_s, model, rng)] = np.nan
    return GnssTrack(time_s, position_m, model.sigma_m)


def simulate_odometry(
        trajectory: Trajectory, model: OdometryModel, rng: np.random.Generator) -> OdometryTrack:
    """Return wheel odometry along a trajectory: it drifts, but never jumps."""
    time_s = sample_times(trajectory.duration_s, model.rate_hz)
    truth = trajectory.at(time_s)
    step_s = 1 / model.rate_hz
    turn = np.diff(truth.yaw_rad)
    arc_m = np.hypot(np.diff(truth.east_m), np.diff(truth.north_m)) / np.sinc(turn / (2 * np.pi))

    scale = 1 + model.scale_error * rng.standard_normal()
    bias = model.yaw_rate_bias_radps * rng.standard_normal()
    arc_m = arc_m * scale + step_s * model.speed_noise_mps * rng.standard_normal(len(arc_m))
    turn = turn + step_s * (bias + model.yaw_rate_noise_radps * rng.standard_normal(len(turn)))

    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    east_step, north_step, _ = advance(0.0, 0.0, yaw[:-1], arc_m, turn)
    rates = np.stack([arc_m, turn]) / step_s
    speed, yaw_rate = np.concatenate([rates[:, :1], rates], axis=1)
    return OdometryTrack(
        time_s, x_m=np.concatenate([[0.0], np.cumsum(east_step)]),
        y_m=np.concatenate([[0.0], np.cumsum(north_step)]), yaw_rad=yaw, speed_mps=speed,
        yaw_rate_radps=yaw_rate)


def simulate_imu(trajectory: Trajectory, model: ImuModel, rng: np.random.Generator) -> ImuTrack:
    """Return attitude and yaw rate as an IMU with a compass reports them."""
    time_s = sample_times(trajectory.duration_s, model.rate_hz)
    truth = trajectory.at(time_s)
    noise = rng.standard_normal((4, len(time_s)))
    bias = gauss_markov(rng, time_s, model.yaw_bias_rad, model.yaw_bias_time_s)
    return ImuTrack(
        time_s,
        roll_rad=truth.roll_rad + model.tilt_noise_rad * noise[0],
        pitch_rad=truth.pitch_rad + model.tilt_noise_rad * noise[1],
        yaw_rad=wrap_angle(truth.yaw_rad + bias + model.yaw_noise_rad * noise[2]),
        yaw_rate_radps=truth.yaw_rate_radps + model.rate_noise_radps * noise[3],
        yaw_sigma_rad=model.yaw_sigma_rad)


def _outages(time_s: np.ndarray, model: GnssModel, rng: np.random.Generator) -> np.ndarray:
    """Return the (G,) mask of times without a fix: outages of one length at random times."""
    lost = np.zeros(len(time_s), bool)
    if model.outage_every_s <= 0:
        return lost
    begin_s = model.first_outage_after_s + rng.exponential(model.outage_every_s)
    while begin_s < time_s[-1]:
        lost |= (time_s >= begin_s) & (time_s < begin_s + model.outage_s)
        begin_s += model.outage_s + rng.exponential(model.outage_every_s)
    return lost

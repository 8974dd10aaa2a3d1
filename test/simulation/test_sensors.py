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

"""Check the simulated sensors against the statistics they promise."""

from dataclasses import replace

from fg2_ros.simulation.drive import drive_along, DriveSettings
from fg2_ros.simulation.lane_path import lane_path
from fg2_ros.simulation.sensors import (
    gauss_markov, GnssModel, ImuModel, OdometryModel, simulate_gnss, simulate_imu,
    simulate_odometry)
import numpy as np
import pytest

EXACT_ODOMETRY = OdometryModel(
    scale_error=0, yaw_rate_bias_radps=0, speed_noise_mps=0, yaw_rate_noise_radps=0)


@pytest.fixture(scope='module')
def trajectory():
    """Return a drive round a square, long enough for statistics."""
    square = np.array([[0, 0], [300, 0], [300, 300], [0, 300], [0, 10]])
    settings = DriveSettings(frames=1000, tilt_sigma_rad=0)
    return drive_along(lane_path(square, 1.75, 7), settings, np.random.default_rng(0))


def test_gauss_markov_has_its_variance_and_memory():
    time_s = np.arange(400_000) * 0.1
    process = gauss_markov(np.random.default_rng(1), time_s, 3.0, 5.0)

    assert process.std() == pytest.approx(3.0, rel=0.05)
    one_constant_later = np.mean(process[:-50] * process[50:]) / process.var()
    assert one_constant_later == pytest.approx(np.exp(-1), abs=0.05)


def test_gauss_markov_is_stationary_from_the_first_sample():
    time_s = np.arange(3.0)
    first = [gauss_markov(np.random.default_rng(s), time_s, 2.0, 100)[0] for s in range(2000)]

    assert np.std(first) == pytest.approx(2.0, rel=0.06)


def test_an_exact_receiver_reports_its_antenna(trajectory):
    model = GnssModel(noise_m=0, bias_m=0, outage_every_s=0, antenna_m=(1.0, 0.5, 2))
    track = simulate_gnss(trajectory, model, np.random.default_rng(2))

    truth = trajectory.at(track.time_s)
    ahead = np.stack([np.cos(truth.yaw_rad), np.sin(truth.yaw_rad)], 1)
    left = np.stack([-np.sin(truth.yaw_rad), np.cos(truth.yaw_rad)], 1)
    base = track.position_m - ahead - 0.5 * left
    assert np.allclose(base, np.stack([truth.east_m, truth.north_m], 1), atol=1e-9)
    assert np.allclose(np.diff(track.time_s), 0.2)


def test_the_receivers_errors_are_as_large_as_it_says(trajectory):
    model = GnssModel(outage_every_s=0, antenna_m=(0, 0, 0))
    truth = trajectory.at(np.arange(int(trajectory.duration_s * 5)) / 5)
    errors = np.concatenate([
        simulate_gnss(trajectory, model, np.random.default_rng(seed)).position_m[
            :len(truth.time_s)] - np.stack([truth.east_m, truth.north_m], 1)
        for seed in range(60)])

    assert errors.std(axis=0) == pytest.approx([model.sigma_m] * 2, rel=0.15)
    assert np.abs(errors.mean(axis=0)).max() < 0.6


def test_outages_come_later_than_the_start_and_last_as_long_as_told(trajectory):
    model = GnssModel(outage_s=2.0, outage_every_s=10.0, first_outage_after_s=4.0)
    track = simulate_gnss(trajectory, model, np.random.default_rng(5))

    lost = np.isnan(track.position_m[:, 0])
    assert 0.05 < lost.mean() < 0.35
    assert not lost[track.time_s < 4.0].any()
    starts = np.flatnonzero(np.diff(lost.astype(int)) == 1) + 1
    assert all(lost[start:start + 10].all() for start in starts if start + 10 < len(lost))


def test_exact_odometry_follows_the_truth(trajectory):
    track = simulate_odometry(trajectory, EXACT_ODOMETRY, np.random.default_rng(0))

    start, truth = trajectory.at([0.0]).poses()[0], trajectory.at(track.time_s)
    relative = [start.inverse().compose(pose) for pose in truth.poses()]
    assert np.allclose(track.x_m, [pose.x for pose in relative], atol=0.01)
    assert np.allclose(track.y_m, [pose.y for pose in relative], atol=0.01)
    assert np.allclose(track.yaw_rad, truth.yaw_rad - truth.yaw_rad[0], atol=1e-9)
    assert np.allclose(track.speed_mps[1:], truth.speed_mps[1:], atol=0.05)


def test_a_wrong_wheel_radius_stretches_the_path(trajectory):
    model = replace(EXACT_ODOMETRY, scale_error=0.05)
    exact = simulate_odometry(trajectory, EXACT_ODOMETRY, np.random.default_rng(3))
    wrong = simulate_odometry(trajectory, model, np.random.default_rng(3))

    scale = 1 + 0.05 * np.random.default_rng(3).standard_normal()
    assert np.allclose(wrong.x_m, exact.x_m * scale) and np.allclose(wrong.y_m, exact.y_m * scale)


def test_a_yaw_rate_bias_grows_with_time(trajectory):
    model = replace(EXACT_ODOMETRY, yaw_rate_bias_radps=0.01)
    drifts = []
    for seed in range(400):
        track = simulate_odometry(trajectory, model, np.random.default_rng(seed))
        drifts.append(track.yaw_rad[-1] - trajectory.yaw_rad[-1] + trajectory.yaw_rad[0])

    assert np.std(drifts) == pytest.approx(0.01 * trajectory.duration_s, rel=0.12)


def test_the_heading_is_as_wrong_as_it_says(trajectory):
    model = ImuModel()
    errors = []
    for seed in range(60):
        track = simulate_imu(trajectory, model, np.random.default_rng(seed))
        truth = trajectory.at(track.time_s)
        errors.append(np.angle(np.exp(1j * (track.yaw_rad - truth.yaw_rad))))

    assert np.std(errors) == pytest.approx(model.yaw_sigma_rad, rel=0.2)
    assert np.std(np.diff(errors, axis=1)) == pytest.approx(
        np.sqrt(2) * model.yaw_noise_rad, rel=0.1)

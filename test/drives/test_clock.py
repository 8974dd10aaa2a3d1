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

"""Offsets between clocks, from two measurements of one motion."""

from __future__ import annotations

from dataclasses import replace
from test.helpers.recorded_bag import block_drive, FRAME, SETTINGS, stamps_ns

from fg2_ros.drives.camera_clock import judged
from fg2_ros.drives.clock import (
    ClockOffset, offset_from_odometry, offset_from_turns, offset_of_residuals, smoothed)
from fg2_ros.replay.tracks import PoseTrack
from fg2_ros.simulation.bag import START_NS
import numpy as np
import pytest

LEVER_M = (-0.5, 0.0)


@pytest.fixture(scope='module')
def long_drive():
    """Two minutes at two images a second."""
    return block_drive(replace(SETTINGS, frames=240, frame_rate_hz=2.0))


def ns(time_s):
    return START_NS + np.round(np.asarray(time_s) * 1e9).astype(np.int64)


def rtk(drive, ahead_s, rng):
    """Return positions of an antenna, and headings, at 10 Hz on a clock that is ahead."""
    time_s = np.arange(0, drive.trajectory.duration_s, 0.1)
    truth = drive.trajectory.at(time_s)
    cosine, sine = np.cos(truth.yaw_rad), np.sin(truth.yaw_rad)
    ahead, left = LEVER_M
    east_m = truth.east_m + cosine * ahead - sine * left
    north_m = truth.north_m + sine * ahead + cosine * left
    pose = np.stack([east_m, north_m, np.full(len(time_s), np.nan)], axis=1)
    pose[:, :2] += rng.normal(0, 0.02, (len(time_s), 2))
    yaw_rad = np.unwrap(truth.yaw_rad) + rng.normal(0, np.radians(0.2), len(time_s))
    stamps = ns(time_s + ahead_s)
    return PoseTrack(FRAME, stamps, pose, LEVER_M, np.full((len(time_s), 2), 0.02)), yaw_rad


def odometry_of(drive):
    track = drive.odometry
    return ns(track.time_s), np.stack([track.x_m, track.y_m, np.unwrap(track.yaw_rad)], axis=1)


@pytest.mark.parametrize('ahead_s', [0.1, -0.235, 0.0])
def test_odometry_tells_the_offset_of_positions_to_a_few_milliseconds(long_drive, ahead_s):
    positions, _ = rtk(long_drive, ahead_s, np.random.default_rng(1))
    offset = offset_from_odometry(positions, *odometry_of(long_drive))
    assert offset.is_known and offset.sigma_s < 0.004
    assert offset.seconds == pytest.approx(ahead_s, abs=0.006)
    assert offset.is_significant == (ahead_s != 0.0)


def test_a_truth_in_gps_time_is_found(long_drive):
    positions, _ = rtk(long_drive, 18.07, np.random.default_rng(1))
    offset = offset_from_odometry(positions, *odometry_of(long_drive))
    assert offset.is_known and offset.seconds == pytest.approx(18.07, abs=0.01)


def test_the_truth_of_another_drive_fits_nowhere(long_drive):
    other = block_drive(replace(SETTINGS, frames=240, frame_rate_hz=2.0, speed_mps=5.0))
    rng = np.random.default_rng(1)
    positions, _ = rtk(other, 0.0, rng)
    offset = offset_from_odometry(positions, *odometry_of(long_drive))
    assert offset is None or not offset.is_known


@pytest.mark.parametrize('ahead_s', [0.1, -0.235])
def test_turns_from_image_to_image_tell_the_offset_of_headings(long_drive, ahead_s):
    rng = np.random.default_rng(2)
    positions, yaw_rad = rtk(long_drive, ahead_s, rng)
    stamps = np.array(stamps_ns(long_drive))
    turned = np.diff(np.unwrap(long_drive.frames.yaw_rad))
    turned += rng.normal(0, np.radians(0.5), len(turned))
    turned[::17] = rng.uniform(-3, 3, len(turned[::17]))  # what images show now and then
    offset = offset_from_turns(stamps[:-1], stamps[1:], turned, positions.stamp_ns, yaw_rad)
    assert offset.is_significant
    assert offset.seconds == pytest.approx(ahead_s, abs=0.012)


def test_a_straight_road_tells_nothing_to_images(long_drive):
    rng = np.random.default_rng(3)
    stamps = np.array(stamps_ns(long_drive))
    offset = offset_from_turns(
        stamps[:-1], stamps[1:], rng.normal(0, 0.01, len(stamps) - 1), stamps,
        np.full(len(stamps), 0.3))
    assert offset is None or not offset.is_known


def test_too_little_is_not_compared():
    nothing = np.zeros(0, np.int64)
    assert offset_from_turns(nothing, nothing, np.zeros(0), nothing, np.zeros(0)) is None
    assert offset_of_residuals(lambda offset_s: (np.full(100, np.nan),)) is None
    assert offset_of_residuals(lambda offset_s: (np.zeros(5),)) is None
    positions = PoseTrack(FRAME, ns([0.0, 0.1]), np.zeros((2, 3)), LEVER_M, np.zeros((2, 2)))
    assert offset_from_odometry(positions, nothing, np.zeros((0, 3))) is None


def test_smoothing_keeps_straight_lines():
    knots = ns(np.arange(20) / 10)
    stamps = ns(np.linspace(0.3, 1.6, 50))
    line = 3.0 * np.arange(20) / 10 - 1.0
    np.testing.assert_allclose(
        smoothed(knots, line, stamps), 3.0 * (stamps - START_NS) / 1e9 - 1.0, atol=1e-6)


GOOD, SAME, OTHER = ClockOffset(0.1, 0.004), ClockOffset(0.104, 0.003), ClockOffset(0.02, 0.003)
VAGUE, NONE_THERE = ClockOffset(0.3, 0.05), ClockOffset(0.001, 0.003)


@pytest.mark.parametrize('images, odometry, ahead_s, told_by', [
    (GOOD, None, 0.1, 'images'), (None, SAME, 0.104, 'odometry'),
    (GOOD, SAME, 0.10256, 'images and odometry'), (GOOD, OTHER, 0.1, 'images'),
    (VAGUE, SAME, 0.104, 'odometry'), (VAGUE, None, 0.0, 'nothing: the drive does not tell it'),
    (NONE_THERE, None, 0.0, 'images: none that is significant')])
def test_what_is_applied_is_what_is_known(images, odometry, ahead_s, told_by):
    clock = judged(images, odometry)
    assert (clock.told_by, round(clock.ahead_s, 5)) == (told_by, ahead_s)
    assert bool(clock.remarks) == (odometry is OTHER or told_by.startswith('nothing'))
    if odometry is OTHER:
        assert '+100 ms ahead of the images, but +20 ms ahead of the odometry' in clock.remarks[0]

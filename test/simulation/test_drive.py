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

"""Check the simulated vehicle's motion, its limits and its camera."""

from fg2_ros.simulation.drive import camera_poses, drive_along, DriveSettings, simulate_drive
from fg2_ros.simulation.lane_path import lane_path, LanePath
import numpy as np
import pytest


class GridCity:
    """A city whose routes are random walks on a 60 m street grid."""

    def route(self, rng, length_m):
        """Return the centre line of a path along the streets."""
        points, heading = [np.zeros(2)], 0
        for _ in range(int(length_m // 60) + 1):
            points.append(points[-1] + 60 * np.array([np.cos(heading), np.sin(heading)]))
            heading += np.pi / 2 * rng.integers(-1, 2)
        return np.array(points)


def drive_line(line, **settings):
    settings = DriveSettings(**settings)
    path = lane_path(np.asarray(line, float), settings.lane_offset_m, settings.corner_radius_m)
    return drive_along(path, settings, np.random.default_rng(0))


def test_a_straight_road_is_driven_at_the_speed_limit():
    trajectory = drive_line([[0, 0], [500, 0]], frames=81, lead_in_s=0)

    assert trajectory.duration_s == pytest.approx(10)
    assert np.allclose(trajectory.east_m, 8 * trajectory.time_s)
    assert np.allclose(trajectory.north_m, -1.75)
    assert np.allclose(trajectory.yaw_rate_radps, 0)


def test_a_circle_is_driven_at_the_lateral_limit():
    circle = LanePath(
        np.zeros(1), np.array([1 / 20]), east_m=np.array([20.0]), north_m=np.zeros(1),
        yaw_rad=np.array([np.pi / 2]), length_m=60)
    settings = DriveSettings(frames=41, lead_in_s=0, lateral_mps2=1.8)
    trajectory = drive_along(circle, settings, np.random.default_rng(0))

    assert np.allclose(np.hypot(trajectory.east_m, trajectory.north_m), 20)
    assert np.allclose(trajectory.speed_mps, 6)  # v^2 / 20 m = 1.8 m/s^2
    assert np.allclose(trajectory.yaw_rad, np.pi / 2 + 0.3 * trajectory.time_s)
    assert np.allclose(trajectory.yaw_rate_radps, 0.3)


def test_limits_hold_everywhere():
    line = GridCity().route(np.random.default_rng(3), 900)
    trajectory = drive_line(line, frames=600)

    acceleration = np.diff(trajectory.speed_mps) * 100
    lateral = np.abs(trajectory.yaw_rate_radps * trajectory.speed_mps)
    assert trajectory.speed_mps.max() <= 8 and trajectory.speed_mps.min() > 2
    assert np.abs(acceleration).max() < 1.6
    assert lateral.max() < 2.05
    assert lateral.max() > 1.9  # the route does have corners


def test_position_speed_and_yaw_agree():
    trajectory = drive_line(GridCity().route(np.random.default_rng(4), 900), frames=600)

    step_m = np.hypot(np.diff(trajectory.east_m), np.diff(trajectory.north_m))
    course = np.arctan2(np.diff(trajectory.north_m), np.diff(trajectory.east_m))
    middle_yaw = (trajectory.yaw_rad[1:] + trajectory.yaw_rad[:-1]) / 2
    middle_speed = (trajectory.speed_mps[1:] + trajectory.speed_mps[:-1]) / 2
    assert np.allclose(step_m * 100, middle_speed, atol=0.03)
    assert np.abs(np.angle(np.exp(1j * (course - middle_yaw)))).max() < 1e-3


def test_a_drive_has_its_frames_and_is_the_same_for_the_same_seed():
    settings = DriveSettings(frames=16, frame_rate_hz=8)
    first, again, other = (simulate_drive(GridCity(), seed, settings) for seed in (7, 7, 8))

    assert len(first.cameras) == 16
    assert np.allclose(first.frames.time_s, 2 + np.arange(16) / 8)
    assert first.cameras == again.cameras
    assert np.array_equal(first.gnss.position_m, again.gnss.position_m, equal_nan=True)
    assert np.array_equal(first.imu.yaw_rad, again.imu.yaw_rad)
    assert first.cameras != other.cameras


def test_a_last_image_between_two_samples_is_inside_the_trajectory():
    drive = simulate_drive(GridCity(), 1, DriveSettings(frames=30, frame_rate_hz=7))

    assert drive.trajectory.duration_s >= drive.frames.time_s[-1]


def test_the_camera_is_at_its_lever_arm():
    frames = drive_line([[0, 0], [0, 200]], frames=2, tilt_sigma_rad=0).at([0.0])
    pose, = camera_poses(frames, (0.2, 0.1, 1.8))

    assert (pose.east_m, pose.north_m, pose.height_m) == pytest.approx((1.65, 0.2, 1.8))
    assert (pose.yaw_rad, pose.roll_rad, pose.pitch_rad) == pytest.approx((np.pi / 2, 0, 0))


def test_pitching_forward_moves_a_high_camera_forward():
    frames = drive_line([[0, 0], [200, 0]], frames=2, tilt_sigma_rad=np.radians(3)).at([1.0])
    pose, = camera_poses(frames, (0.0, 0.0, 2.0))

    # REP-103: a positive pitch looks down, a positive roll leans to the right
    assert pose.east_m - frames.east_m[0] == pytest.approx(
        2 * np.sin(frames.pitch_rad[0]) * np.cos(frames.roll_rad[0]))
    assert pose.north_m - frames.north_m[0] == pytest.approx(-2 * np.sin(frames.roll_rad[0]))


def test_a_short_route_is_refused():
    with pytest.raises(ValueError, match='route ends'):
        drive_line([[0, 0], [20, 0]], frames=600)


@pytest.mark.parametrize('bad', [{'frames': 0}, {'frame_rate_hz': 0}, {'speed_mps': -1}])
def test_settings_without_a_drive_are_refused(bad):
    with pytest.raises(ValueError, match='at least one frame'):
        DriveSettings(**bad)

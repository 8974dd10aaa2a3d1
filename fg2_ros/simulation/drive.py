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

"""A simulated drive through a city: trajectory, camera poses and sensor readings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from fg2_ros.geometry.panorama import rotation3
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.simulation.cameras import CameraPose, MOUNTS
from fg2_ros.simulation.lane_path import lane_path, LanePath
from fg2_ros.simulation.sensors import (
    gauss_markov, GnssTrack, ImuTrack, OdometryTrack, sample_times, SensorModels, simulate_gnss,
    simulate_imu, simulate_odometry)
from fg2_ros.simulation.trajectory import Trajectory
from fg2_ros.simulation.worlds import WORLDS
import numpy as np

TRAJECTORY_RATE_HZ = 100.0
PROFILE_STEP_M = 0.1


@dataclass(frozen=True)
class DriveSettings:
    """How long a drive is, how the vehicle moves and what it carries."""

    frames: int = 120
    frame_rate_hz: float = 8.0
    lead_in_s: float = 2.0             # the other sensors run before the first image
    speed_mps: float = 8.0
    acceleration_mps2: float = 1.5     # forward, and backward when braking
    lateral_mps2: float = 2.0          # decides the speed in corners
    corner_radius_m: float = 7.0
    lane_offset_m: float = 1.75
    camera_m: tuple[float, float, float] = (0.2, 0.0, 1.8)  # in base_link
    tilt_sigma_rad: float = np.radians(0.5)  # roll and pitch of the body, each
    tilt_time_s: float = 0.7
    sensors: SensorModels = field(default_factory=SensorModels)

    def __post_init__(self) -> None:
        """Reject what cannot be driven."""
        if self.frames < 1 or self.frame_rate_hz <= 0 or self.speed_mps <= 0:
            raise ValueError('a drive needs at least one frame, a frame rate and a speed above 0')

    @classmethod
    def drawn(cls, seed: int, difficulty: str = 'standard', world: str = 'A') -> DriveSettings:
        """Return a vehicle whose camera is carried as difficulty and world have it."""
        mount = WORLDS[world].mount(MOUNTS[difficulty])
        return cls(
            camera_m=(0.2, 0.0, mount.draw_height_m(np.random.default_rng([11, seed]))),
            tilt_sigma_rad=mount.tilt_sigma_rad)

    @property
    def duration_s(self) -> float:
        """Return the time from the first reading to the last image."""
        return self.lead_in_s + (self.frames - 1) / self.frame_rate_hz


@dataclass(frozen=True)
class Drive:
    """One drive: the truth, when the images are taken and from where, and all readings."""

    settings: DriveSettings
    trajectory: Trajectory
    frames: Trajectory
    cameras: list[CameraPose]
    gnss: GnssTrack
    odometry: OdometryTrack
    imu: ImuTrack


class Drivable(Protocol):
    """A city, or what stands in for one."""

    def route(self, rng: np.random.Generator, length_m: float) -> np.ndarray:
        """Return the (K, 2) centre line of a drivable path that is long enough."""


def simulate_drive(city: Drivable, seed: int, settings: DriveSettings = DriveSettings()) -> Drive:
    """
    Return a drive through a city; the same seed gives the same drive.

    Every sensor draws from its own stream of random numbers, so that changing one sensor's
    model leaves the route and the other sensors alone.
    """
    route_rng, body_rng, gnss_rng, odometry_rng, imu_rng = np.random.default_rng(seed).spawn(5)
    centre_line = city.route(route_rng, settings.duration_s * settings.speed_mps * 1.1 + 20)
    path = lane_path(centre_line, settings.lane_offset_m, settings.corner_radius_m)
    trajectory = drive_along(path, settings, body_rng)
    frame_time_s = settings.lead_in_s + np.arange(settings.frames) / settings.frame_rate_hz
    frames = trajectory.at(frame_time_s)
    return Drive(
        settings, trajectory, frames, cameras=camera_poses(frames, settings.camera_m),
        gnss=simulate_gnss(trajectory, settings.sensors.gnss, gnss_rng),
        odometry=simulate_odometry(trajectory, settings.sensors.odometry, odometry_rng),
        imu=simulate_imu(trajectory, settings.sensors.imu, imu_rng))


def drive_along(
        path: LanePath, settings: DriveSettings, rng: np.random.Generator) -> Trajectory:
    """
    Return how a vehicle drives a path as fast as its limits allow.

    :raises ValueError: if the path ends before the drive does.
    """
    time_s = sample_times(settings.duration_s, TRAJECTORY_RATE_HZ)
    if time_s[-1] < settings.duration_s:  # the last image may fall between two samples
        time_s = np.append(time_s, time_s[-1] + 1 / TRAJECTORY_RATE_HZ)
    profile_m = np.arange(0, path.length_m, PROFILE_STEP_M)
    profile_mps = speed_profile(path, profile_m, settings)
    steps_s = 2 * np.diff(profile_m) / (profile_mps[1:] + profile_mps[:-1])
    profile_s = np.concatenate([[0.0], np.cumsum(steps_s)])
    if profile_s[-1] < time_s[-1]:
        raise ValueError(
            f'the route ends after {profile_s[-1]:.0f} s of a drive of {time_s[-1]:.0f} s')
    speed_mps = np.interp(time_s, profile_s, profile_mps)
    east, north, yaw, curvature = path.sample(np.interp(time_s, profile_s, profile_m))
    roll, pitch = (
        gauss_markov(rng, time_s, settings.tilt_sigma_rad, settings.tilt_time_s)
        for _ in range(2))
    return Trajectory(
        time_s, east_m=east, north_m=north, yaw_rad=yaw, roll_rad=roll, pitch_rad=pitch,
        speed_mps=speed_mps, yaw_rate_radps=speed_mps * curvature)


def speed_profile(path: LanePath, distance_m: np.ndarray, settings: DriveSettings) -> np.ndarray:
    """
    Return the (N,) highest speeds in m/s at evenly spaced distances along a path.

    Corners limit the lateral acceleration; the approach to a corner brakes for it in time.
    """
    curvature = np.abs(path.sample(distance_m)[3])
    with np.errstate(divide='ignore'):
        corner_mps = np.sqrt(settings.lateral_mps2 / curvature)
    speed_mps = np.minimum(settings.speed_mps, corner_mps)
    gain = 2 * settings.acceleration_mps2 * (distance_m[1] - distance_m[0])
    for k in range(1, len(speed_mps)):
        speed_mps[k] = min(speed_mps[k], np.sqrt(speed_mps[k - 1] ** 2 + gain))
    for k in range(len(speed_mps) - 2, -1, -1):
        speed_mps[k] = min(speed_mps[k], np.sqrt(speed_mps[k + 1] ** 2 + gain))
    return speed_mps


def camera_poses(body: Trajectory, camera_m: tuple[float, float, float]) -> list[CameraPose]:
    """
    Return where the camera is and looks along a trajectory.

    :param camera_m: the camera in ``base_link``, whose axes it shares; ``base_link`` is on the
        ground.
    """
    poses = []
    for east, north, roll, pitch, yaw in zip(
            body.east_m, body.north_m, body.roll_rad, body.pitch_rad, body.yaw_rad):
        ahead, left, up = rotation3(roll, pitch, yaw) @ np.asarray(camera_m, float)
        poses.append(CameraPose(
            float(east + ahead), float(north + left), float(up), yaw_rad=wrap_angle(yaw),
            roll_rad=float(roll), pitch_rad=float(pitch)))
    return poses

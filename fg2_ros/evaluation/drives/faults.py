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

"""What can go wrong on a drive: functions from a sound stream to a faulty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from fg2_ros.evaluation.drives import spoilt_images
from fg2_ros.evaluation.drives.rendered import RenderedDrive
from fg2_ros.evaluation.drives.retimed import (
    rearranged_gnss, rearranged_imu, rearranged_odometry, sensed, Stretch, with_stop)
from fg2_ros.evaluation.drives.stream import CameraFrame, SensorStream
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.simulation.drive import Drive, simulate_drive
from fg2_ros.simulation.sensors import ImuTrack
import numpy as np

OFFSET_M = 30.0             # of a prior that is wrong throughout
JUMP_M = 100.0              # of the odometry
RESTART_GAP_S = 0.4         # a driver needs to start
STRAY_FIX_M = 2000.0
GNSS_JUMP_M, GNSS_JUMP_S = 60.0, 5.0
STANDSTILL_S = 30.0
OTHER_STREET_SEED = 50_000  # added to a drive's, gives another drive in the same city
OTHER_STREET_TRIES = 12
APART_M = 25.0              # of drives in two streets


@dataclass(frozen=True)
class FaultSources:
    """
    What a fault may use.

    :param drive: which the stream is of.
    :param other: a drive through another city.
    """

    drive: RenderedDrive
    other: RenderedDrive

    @property
    def rng(self) -> np.random.Generator:
        """Return the random numbers of the drive's fault; the same ones every time."""
        return np.random.default_rng([self.drive.spec.seed, 17])


def none(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return the stream as it is."""
    return stream


def yaw_off(stream: SensorStream, around: FaultSources, by_rad: float) -> SensorStream:
    """Return a stream whose IMU is off by an angle."""
    imu = _imu_of(stream)
    return replace(stream, imu=replace(imu, yaw_rad=wrap_angle(imu.yaw_rad + by_rad)))


def other_city(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream with the panoramas of a drive through another city."""
    return replace(stream, shots=tuple(
        shot._replace(image=replace(shot.image, drive=around.other)) for shot in stream.shots))


def other_street(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream of a drive elsewhere in the city, with the panoramas of this one."""
    drive = drive_elsewhere(stream, around)
    shots = tuple(shot._replace(truth=pose)
                  for shot, pose in zip(stream.shots, drive.frames.poses()))
    return replace(stream, shots=shots, gnss=drive.gnss, odometry=drive.odometry, imu=drive.imu)


def drive_elsewhere(stream: SensorStream, around: FaultSources) -> Drive:
    """Return a drive in the same city that stays away from where the panoramas are taken."""
    spec = around.drive.spec
    taken = np.array([shot.truth[:2] for shot in stream.shots])

    def apart_m(drive: Drive) -> float:
        places = np.stack([drive.frames.east_m, drive.frames.north_m], axis=1)
        return float(np.linalg.norm(places[:, None] - taken, axis=2).min())

    tried = (simulate_drive(around.drive.city, spec.seed + number * OTHER_STREET_SEED,
                            spec.settings) for number in range(1, OTHER_STREET_TRIES + 1))
    drives = [(apart_m(drive), drive) for drive in tried]
    return next((drive for distance_m, drive in drives if distance_m > APART_M),
                max(drives, key=lambda each: each[0])[1])


def mirrored(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose panoramas have left and right exchanged."""
    return stream.with_images(spoilt_images.mirrored)


def occluded(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream with 70 % of the view hidden, always on the same side of the vehicle."""
    return stream.with_images(partial(
        spoilt_images.occluded, share=0.7, first=float(around.rng.uniform())))


def dark(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose panoramas are all but black."""
    return stream.with_images(spoilt_images.darkened)


def mount_180(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose camera looks backwards, which the vehicle's description denies."""
    return stream.with_images(spoilt_images.turned_back)


def stale(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose aerial image shows another city's buildings."""
    return replace(stream, orthophoto=spoilt_images.rebuilt(
        stream.orthophoto, around.other.orthophoto(), around.drive.city,
        around.other.city))


def clouds(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose aerial image is covered by clouds, half of it."""
    return replace(stream, orthophoto=spoilt_images.clouded(
        stream.orthophoto, around.drive.spec.seed))


def displaced(stream: SensorStream, around: FaultSources, offset_m: float,
              sigma_m: float | None = None) -> SensorStream:
    """
    Return a stream whose fixes are all off by the same distance in one direction.

    :param sigma_m: that the fixes claim on each axis; None for what the receiver claims anyway.
    """
    angle = around.rng.uniform(-np.pi, np.pi)
    offset = offset_m * np.array([np.cos(angle), np.sin(angle)])
    return replace(stream, gnss=replace(
        stream.gnss, position_m=stream.gnss.position_m + offset,
        sigma_m=stream.gnss.sigma_m if sigma_m is None else sigma_m))


def odometry_jump(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose odometry jumps, once; its twist knows nothing of it."""
    track, event_s = stream.odometry, _event_s(stream)
    angle = around.rng.uniform(-np.pi, np.pi)
    after = track.time_s >= event_s - 1e-6
    return replace(stream, fault_s=event_s, odometry=replace(
        track, x_m=track.x_m + after * JUMP_M * np.cos(angle),
        y_m=track.y_m + after * JUMP_M * np.sin(angle)))


def odometry_restart(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose odometry falls silent, and begins at zero again."""
    track, event_s = stream.odometry, _event_s(stream)
    kept = (track.time_s < event_s - 1e-6) | (track.time_s >= event_s + RESTART_GAP_S - 1e-6)
    first = int(np.argmax(track.time_s >= event_s + RESTART_GAP_S - 1e-6))
    cos, sin = np.cos(track.yaw_rad[first]), np.sin(track.yaw_rad[first])
    x_m, y_m = track.x_m - track.x_m[first], track.y_m - track.y_m[first]
    after = track.time_s >= event_s
    begun_anew = {
        'x_m': np.where(after, cos * x_m + sin * y_m, track.x_m),
        'y_m': np.where(after, cos * y_m - sin * x_m, track.y_m),
        'yaw_rad': np.where(after, track.yaw_rad - track.yaw_rad[first], track.yaw_rad)}
    columns = {name: getattr(track, name) for name in ('time_s', 'speed_mps', 'yaw_rate_radps')}
    return replace(stream, fault_s=event_s, odometry=replace(track, **{
        name: column[kept] for name, column in (columns | begun_anew).items()}))


def gnss_jump(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream with one fix 2 km away, and after it 5 s of fixes off by 60 m."""
    track, event_s = stream.gnss, _event_s(stream)
    angle = around.rng.uniform(-np.pi, np.pi)
    during = (track.time_s >= event_s - 1e-6) & (track.time_s < event_s + GNSS_JUMP_S)
    off_m = np.where(during, GNSS_JUMP_M, 0.0)
    known = during & np.isfinite(track.position_m[:, 0])
    off_m[np.flatnonzero(known)[:1]] = STRAY_FIX_M
    direction = np.array([np.cos(angle), np.sin(angle)])
    return replace(stream, fault_s=event_s, gnss=replace(
        track, position_m=track.position_m + off_m[:, None] * direction))


def kidnapped(stream: SensorStream, around: FaultSources) -> SensorStream:
    """
    Return a stream whose vehicle is carried off, which its odometry does not notice.

    It drives the last third first, and is then put down where the drive began.
    """
    period_s = 1 / around.drive.spec.rate_hz
    times_s = [shot.time_s for shot in stream.shots]
    cut = len(times_s) - len(times_s) // 3
    lead_in_s = times_s[0]
    event_s = lead_in_s + (len(times_s) - cut) * period_s
    parts = [Stretch(times_s[cut] - lead_in_s, times_s[-1], 0.0),
             Stretch(times_s[0] - period_s, times_s[cut - 1], event_s - period_s)]
    order = [*range(cut, len(times_s)), *range(cut)]
    shots = tuple(stream.shots[index]._replace(time_s=lead_in_s + place * period_s)
                  for place, index in enumerate(order))
    return replace(
        stream, shots=shots, fault_s=event_s, gnss=rearranged_gnss(stream.gnss, parts),
        odometry=rearranged_odometry(stream.odometry, parts),
        imu=rearranged_imu(_imu_of(stream), parts))


def standstill(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose vehicle stands in the middle, and sees the same image all the time."""
    settings, seed = around.drive.spec.settings, around.drive.spec.seed
    middle = stream.shots[len(stream.shots) // 2]
    trajectory = around.drive.drive.trajectory
    retimed = with_stop(trajectory, middle.time_s, STANDSTILL_S)
    gnss, odometry, imu = sensed(retimed.trajectory, settings.sensors, seed)
    shots = [shot._replace(time_s=float(np.interp(
        shot.time_s, trajectory.time_s, retimed.new_time_s))) for shot in stream.shots]
    stopped_s = shots[len(shots) // 2].time_s
    waiting = [middle._replace(time_s=stopped_s + count / settings.frame_rate_hz)
               for count in range(1, int(STANDSTILL_S * settings.frame_rate_hz))]
    in_order = sorted([*shots, *waiting], key=_time_s)
    return replace(stream, shots=tuple(in_order), gnss=gnss, odometry=odometry, imu=imu)


FAULTS: dict[str, Callable[[SensorStream, FaultSources], SensorStream]] = {
    'none': none,
    'yaw180': partial(yaw_off, by_rad=np.pi),
    'yaw90': partial(yaw_off, by_rad=np.pi / 2),
    'other_city': other_city,
    'other_street': other_street,
    'mirrored': mirrored,
    'prior_30m': partial(displaced, offset_m=OFFSET_M),
    'occluded': occluded,
    'dark': dark,
    'stale': stale,
    'clouds': clouds,
    'odometry_jump': odometry_jump,
    'odometry_restart': odometry_restart,
    'gnss_jump': gnss_jump,
    'kidnapped': kidnapped,
    'standstill': standstill,
    'mount_180': mount_180,
}


def _event_s(stream: SensorStream) -> float:
    """Return when a third of the images are taken: the rest shows how it is got over."""
    return stream.shots[len(stream.shots) // 3].time_s


def _imu_of(stream: SensorStream) -> ImuTrack:
    """Return the readings of the IMU, which every stream has that a fault is made in."""
    if stream.imu is None:
        raise ValueError('this fault needs a stream with an IMU')
    return stream.imu


def _time_s(shot: CameraFrame) -> float:
    return shot.time_s

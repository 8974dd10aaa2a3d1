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

"""Faults of a drive: functions from a fault-free stream to a faulty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from fg2_ros.evaluation.drives import degraded_images
from fg2_ros.evaluation.drives.readings import HeadingReadings, OdometryReadings
from fg2_ros.evaluation.drives.rendered import (
    city_imagery, gnss_readings, heading_readings, odometry_readings, RenderedDrive)
from fg2_ros.evaluation.drives.retimed import (
    rearranged, rearranged_odometry, sensed, Stretch, with_stop)
from fg2_ros.evaluation.drives.settings import FaultSettings
from fg2_ros.evaluation.drives.stream import CameraFrame, DriveImage, SensorStream
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.simulation.drive import Drive, simulate_drive
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


class FaultSources(Protocol):
    """What a fault may use beside the stream."""

    @property
    def rng(self) -> np.random.Generator:
        """Return the random numbers of the drive's fault; the same ones every time."""

    def elsewhere(self, stream: SensorStream) -> SensorStream:
        """Return a stream whose images are of another street than its truth and sensors."""


@dataclass(frozen=True)
class RenderedSources:
    """
    What a fault of a simulated drive may use.

    :param drive: which the stream is of.
    :param other: a drive through another city.
    """

    drive: RenderedDrive
    other: RenderedDrive

    @property
    def rng(self) -> np.random.Generator:
        """Return the random numbers of the drive's fault; the same ones every time."""
        return np.random.default_rng([self.drive.spec.seed, 17])

    def elsewhere(self, stream: SensorStream) -> SensorStream:
        """Return a stream of a drive elsewhere in the city, with the panoramas of this one."""
        drive = drive_elsewhere(stream, self.drive)
        shots = tuple(shot._replace(truth=pose)
                      for shot, pose in zip(stream.shots, drive.frames.poses()))
        return replace(
            stream, shots=shots, gnss=gnss_readings(drive.gnss),
            odometry=odometry_readings(drive.odometry), heading=heading_readings(drive.imu))


def faulty(stream: SensorStream, around: FaultSources, what: FaultSettings) -> SensorStream:
    """Return a stream with all that settings say is wrong."""
    stream = FAULTS[what.fault](stream, around)
    if what.prior_offset_m:
        stream = displaced(stream, around, what.prior_offset_m, what.prior_offset_m / 2)
    return stream if what.has_heading else replace(stream, heading=None)


def none(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return the stream as it is."""
    return stream


def yaw_off(stream: SensorStream, around: FaultSources, by_rad: float) -> SensorStream:
    """Return a stream whose heading is off by an angle."""
    heading = _heading_of(stream)
    return replace(
        stream, heading=replace(heading, yaw_rad=wrap_angle(heading.yaw_rad + by_rad)))


def other_city(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream with the panoramas of a drive through another city."""
    other = _simulated(around).other
    return stream.with_images_of(
        DriveImage(other, shot.image.index) for shot in stream.shots)


def other_street(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose images are of another street."""
    return around.elsewhere(stream)


def drive_elsewhere(stream: SensorStream, rendered: RenderedDrive) -> Drive:
    """Return a drive in the same city that stays away from where the panoramas are taken."""
    spec = rendered.spec
    taken = np.array([shot.truth[:2] for shot in stream.shots])

    def apart_m(drive: Drive) -> float:
        places = np.stack([drive.frames.east_m, drive.frames.north_m], axis=1)
        return float(np.linalg.norm(places[:, None] - taken, axis=2).min())

    tried = (simulate_drive(rendered.city, spec.seed + number * OTHER_STREET_SEED,
                            spec.settings) for number in range(1, OTHER_STREET_TRIES + 1))
    drives = [(apart_m(drive), drive) for drive in tried]
    return next((drive for distance_m, drive in drives if distance_m > APART_M),
                max(drives, key=lambda each: each[0])[1])


def mirrored(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose panoramas have left and right exchanged."""
    return stream.with_images(degraded_images.mirrored, degraded_images.mirrored)


def occluded(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream with 70 % of the view hidden, always on the same side of the vehicle."""
    return stream.with_images(partial(
        degraded_images.occluded, share=0.7, first=float(around.rng.uniform())))


def dark(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose panoramas are all but black."""
    return stream.with_images(degraded_images.darkened)


def mount_180(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose camera looks backwards, which the vehicle's description denies."""
    return stream.with_images(degraded_images.turned_back, degraded_images.turned_back)


def stale(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose aerial image shows another city's buildings."""
    drive, other = _simulated(around).drive, _simulated(around).other
    return replace(stream, imagery=city_imagery(drive, degraded_images.rebuilt(
        drive.orthophoto(), other.orthophoto(), drive.city, other.city)))


def clouds(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose aerial image is covered by clouds, half of it."""
    drive = _simulated(around).drive
    return replace(stream, imagery=city_imagery(
        drive, degraded_images.clouded(drive.orthophoto(), drive.spec.seed)))


def displaced(stream: SensorStream, around: FaultSources, offset_m: float,
              sigma_m: float | None = None) -> SensorStream:
    """
    Return a stream whose fixes are all off by the same distance in one direction.

    :param sigma_m: that the fixes claim on each axis; None for what the receiver claims anyway.
    """
    angle = around.rng.uniform(-np.pi, np.pi)
    offset = offset_m * np.array([np.cos(angle), np.sin(angle)])
    claimed_m = stream.gnss.sigma_m if sigma_m is None else np.full(len(stream.gnss), sigma_m)
    return replace(stream, gnss=replace(
        stream.gnss, position_m=stream.gnss.position_m + offset, sigma_m=claimed_m))


def odometry_jump(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose odometry jumps, once; its twist knows nothing of it."""
    track, event_s = _odometry_of(stream), _event_s(stream)
    angle = around.rng.uniform(-np.pi, np.pi)
    after = track.time_s >= event_s - 1e-6
    return replace(stream, fault_s=event_s, odometry=replace(
        track, x_m=track.x_m + after * JUMP_M * np.cos(angle),
        y_m=track.y_m + after * JUMP_M * np.sin(angle)))


def odometry_restart(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose odometry falls silent, and begins at zero again."""
    track, event_s = _odometry_of(stream), _event_s(stream)
    kept = (track.time_s < event_s - 1e-6) | (track.time_s >= event_s + RESTART_GAP_S - 1e-6)
    first = int(np.argmax(track.time_s >= event_s + RESTART_GAP_S - 1e-6))
    cos, sin = np.cos(track.yaw_rad[first]), np.sin(track.yaw_rad[first])
    x_m, y_m = track.x_m - track.x_m[first], track.y_m - track.y_m[first]
    after = track.time_s >= event_s
    begun_anew = replace(
        track, x_m=np.where(after, cos * x_m + sin * y_m, track.x_m),
        y_m=np.where(after, cos * y_m - sin * x_m, track.y_m),
        yaw_rad=np.where(after, track.yaw_rad - track.yaw_rad[first], track.yaw_rad))
    return replace(stream, fault_s=event_s, odometry=begun_anew.kept(kept))


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
    times_s = [shot.time_s for shot in stream.shots]
    cut = len(times_s) - len(times_s) // 3
    lead_in_s, period_s = times_s[0], times_s[1] - times_s[0]
    event_s = lead_in_s + times_s[-1] - times_s[cut] + period_s
    parts = [Stretch(times_s[cut] - lead_in_s, times_s[-1], 0.0),
             Stretch(times_s[0] - period_s, times_s[cut - 1], event_s - period_s)]
    shots = tuple(
        shot._replace(time_s=shot.time_s - part.first_s + part.begin_s)
        for part, shots in zip(parts, (stream.shots[cut:], stream.shots[:cut])) for shot in shots)
    return replace(
        stream, shots=shots, fault_s=event_s, gnss=rearranged(stream.gnss, parts),
        odometry=rearranged_odometry(_odometry_of(stream), parts),
        heading=None if stream.heading is None else rearranged(stream.heading, parts))


def standstill(stream: SensorStream, around: FaultSources) -> SensorStream:
    """Return a stream whose vehicle stands in the middle, and sees the same image all the time."""
    drive = _simulated(around).drive
    settings, trajectory = drive.spec.settings, drive.drive.trajectory
    middle = stream.shots[len(stream.shots) // 2]
    retimed = with_stop(trajectory, middle.time_s, STANDSTILL_S)
    gnss, odometry, imu = sensed(retimed.trajectory, settings.sensors, drive.spec.seed)
    shots = [shot._replace(time_s=float(np.interp(
        shot.time_s, trajectory.time_s, retimed.new_time_s))) for shot in stream.shots]
    stopped_s = shots[len(shots) // 2].time_s
    waiting = [middle._replace(time_s=stopped_s + count / settings.frame_rate_hz)
               for count in range(1, int(STANDSTILL_S * settings.frame_rate_hz))]
    in_order = sorted([*shots, *waiting], key=_time_s)
    return replace(
        stream, shots=tuple(in_order), fault_s=stopped_s, gnss=gnss_readings(gnss),
        odometry=odometry_readings(odometry), heading=heading_readings(imu))


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


def _simulated(around: FaultSources) -> RenderedSources:
    """Return what only simulated drives have."""
    if not isinstance(around, RenderedSources):
        raise ValueError('this fault needs a simulated city')
    return around


def _heading_of(stream: SensorStream) -> HeadingReadings:
    if stream.heading is None:
        raise ValueError('this fault needs drives with headings')
    return stream.heading


def _odometry_of(stream: SensorStream) -> OdometryReadings:
    if stream.odometry is None:
        raise ValueError('this fault needs drives with odometry')
    return stream.odometry


def _time_s(shot: CameraFrame) -> float:
    return shot.time_s

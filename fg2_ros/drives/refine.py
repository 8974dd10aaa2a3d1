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


"""Refining the poses of smoothed drives with the tracker's measurements along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import hashlib
import math
import os
from pathlib import Path
import shutil
from typing import Any

from fg2_ros.datasets.drives import (
    DRIVE_FILE, DriveFacts, Keyframe, KEYFRAMES_FILE, RecordedDrive, SENSORS_FILE, write_drive)
from fg2_ros.drives.course import places_between
from fg2_ros.drives.settings import TruthSettings
from fg2_ros.drives.smoothing import NO_POSES, Poses
from fg2_ros.drives.truth import smoothed_remark, smoothed_track
from fg2_ros.evaluation.drives.recorded import runs_of, stream_of
from fg2_ros.evaluation.drives.settings import EVERY_SPLIT
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.recipe import RECIPE_FILE, require_same, write_recipe
from fg2_ros.replay.tracks import interpolated, PoseTrack, SECOND_NS
from fg2_ros.tracker.settings import Calibration
import numpy as np

ALIKE = 2.0  # by what sigmas of measurements grow, whose errors are alike for a while
ANEW = DRIVE_FILE, KEYFRAMES_FILE, SENSORS_FILE, RECIPE_FILE  # all other files are shared

Progress = Callable[[int, int], None]


def refine_drive(drive: RecordedDrive, folder: Path, vehicle: Vehicle, weights: dict[str, Any],
                 progress: Progress = lambda total, done: None) -> RecordedDrive:
    """
    Make a drive with better poses out of a smoothed one: where the tracker is sure it counts, too.

    Images and ground are linked, or copied; splits stay as they are.

    :param folder: of the new drive; what is complete in it is returned as it is.
    :param weights: which ones the vehicle has, ready for JSON.
    :param progress: called with how many images there are, and how many the tracker has seen.
    :raises ValueError: with a sentence, if the drive was not built with `smooth`, is too short, or
        the folder holds what something else made.
    """
    if not _settings_of(drive).get('smooth'):
        raise ValueError(f'{drive.folder} was not built with --smooth: its truth is believed as '
                         'it is, so nothing is refined')
    recipe = {'refined': drive.name, 'weights': weights, 'keyframes_sha256': hashlib.sha256(
        drive.keyframes_file.read_bytes()).hexdigest()}
    require_same(folder, recipe)
    if (folder / DRIVE_FILE).exists():
        return RecordedDrive(folder)
    write_recipe(folder, recipe)
    known = measured_poses(drive, vehicle, progress)
    keyframes = refined_keyframes(drive, known, Calibration.of(vehicle.localizer.metadata))
    shutil.copytree(drive.folder, folder, ignore=shutil.ignore_patterns(*ANEW),
                    copy_function=_linked, dirs_exist_ok=True)
    write_drive(folder, _facts(drive, keyframes, recipe, len(known.stamp_ns)), keyframes,
                drive.sensors)
    return RecordedDrive(folder)


def measured_poses(drive: RecordedDrive, vehicle: Vehicle, progress: Progress) -> Poses:
    """Return the measurements for a filter along a drive, by the odometry's clock."""
    stamps, poses, sigmas = [], [], []
    ahead_ns, done = _ahead_ns(drive), 0
    for run in runs_of([drive.folder], EVERY_SPLIT):
        for keyframe, result in zip(
                run.keyframes, vehicle.follow(stream_of(run), vehicle.new_tracker())):
            done += 1
            progress(len(drive.keyframes), done)
            if result.measurement is not None:
                variances = np.diag(result.measurement.covariance)
                stamps.append(keyframe.stamp_ns + ahead_ns)
                poses.append(result.measurement.pose)
                sigmas.append(np.sqrt([variances[:2].mean(), variances[2]]) * ALIKE)
    return Poses(np.array(stamps), np.array(poses), np.array(sigmas)) if stamps else NO_POSES


def refined_keyframes(drive: RecordedDrive, known: Poses, calibration: Calibration
                      ) -> list[Keyframe]:
    """
    Return the images with the poses that fit fixes, odometry and other poses best.

    :param calibration: says by how much images err that no number of them averages out.
    """
    sensors = drive.sensors
    unknown = np.full(len(sensors.fix_m), np.nan)
    fixes = PoseTrack(
        drive.map_frame, sensors.fix_stamp_ns, np.column_stack([sensors.fix_m, unknown]),
        drive.facts.antenna_m, np.column_stack([sensors.fix_sigma_m, unknown]))
    track = smoothed_track(fixes, sensors, TruthSettings(), known)
    at_ns = np.array([each.stamp_ns for each in drive.keyframes]) + _ahead_ns(drive)
    places_m = places_between(track, sensors.odometry_stamp_ns, sensors.odometry, 0, at_ns)
    sigma_m, sigma_rad = (interpolated(track.stamp_ns, each, at_ns) for each in track.sigma.T)
    if len(known.stamp_ns):
        sigma_m = np.hypot(sigma_m, calibration.bias_m)
        sigma_rad = np.hypot(sigma_rad, math.radians(calibration.bias_deg))
    return [replace(each, base=Pose2.at(place, yaw), sigma_m=of_place, sigma_rad=of_yaw)
            for each, place, yaw, of_place, of_yaw in zip(
                drive.keyframes, places_m.tolist(), track.at(at_ns)[:, 2].tolist(),
                sigma_m.tolist(), sigma_rad.tolist())]


def _settings_of(drive: RecordedDrive) -> dict[str, Any]:
    return drive.facts.origin.get('settings', {})


def _ahead_ns(drive: RecordedDrive) -> int:
    """Return by how much the odometry's clock, which smoothed poses have, is ahead of images."""
    return round(drive.facts.truth['clock']['ahead_s'] * SECOND_NS)


def _facts(drive: RecordedDrive, keyframes: list[Keyframe], recipe: dict[str, Any], used: int
           ) -> DriveFacts:
    """Return what the new drive says of itself."""
    moved_m = [math.dist(before.base[:2], after.base[:2])
               for before, after in zip(drive.keyframes, keyframes)]
    sigmas = np.array([(each.sigma_m, each.sigma_rad) for each in keyframes])
    remarks = [smoothed_remark(*sigmas.T),
               f'{used} of {len(keyframes)} images told a pose, by {recipe["weights"]["name"]}; '
               f'poses moved by {np.median(moved_m):.2f} m in the median, {max(moved_m):.2f} at '
               'most']
    kept = drive.facts.truth['remarks'][1:]  # the first is of the poses before
    return replace(drive.facts, origin=drive.facts.origin | recipe,
                   truth=drive.facts.truth | {'remarks': [*remarks, *kept]})


def _linked(source: str, target: str) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    if os.path.exists(target):
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

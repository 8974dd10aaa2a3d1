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

"""Build a drive of a data set from a bag: one bag, one folder, reproducible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
import math
from pathlib import Path
import shutil
from typing import Any

from fg2_ros.cameras.settings import camera_settings
from fg2_ros.datasets.drives import (
    DRIVE_FILE, DriveFacts, GROUND, IMAGES, Keyframe, RecordedDrive, write_drive)
from fg2_ros.drives.camera_clock import camera_clock, CameraClock
from fg2_ros.drives.ground import build_ground, Ground, permitted_sources
from fg2_ros.drives.images import BagImages, Unusable
from fg2_ros.drives.keyframes import thinned
from fg2_ros.drives.panoramas import file_name_of, turned, write_panorama
from fg2_ros.drives.readings import HEADING_KINDS, read_sensors
from fg2_ros.drives.settings import BuildSettings
from fg2_ros.drives.splits import splits_of_places
from fg2_ros.drives.truth import read_drive_truth, remarks_of, smoothed_track, Truth, VAGUE
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.recipe import bag_recipe, require_same, write_recipe
from fg2_ros.replay.mounts import require_mounts, StaticMounts
from fg2_ros.replay.recording import choose_topics, datum_of, FIX, Recording, Topics
from fg2_ros.replay.settings import TopicNames
from fg2_ros.replay.tracks import PoseTrack, read_truth, SECOND_NS
from fg2_ros.ros.camera_images import CameraImage
from fg2_ros.ros.vehicle_mounts import VehicleMounts
import numpy as np

NO_GROUND, UNUSABLE, TWICE = 'no imagery around it', 'image unusable', 'stamp of another image'
TRIED = 20  # images until one can be used

Progress = Callable[[str, int, int], None]


class NothingKept(ValueError):
    """No image of a bag can be kept; the sentence counts the reasons."""


@dataclass(frozen=True)
class _Chosen:
    """The images that are kept so far, in the order of time: (N,), (N, 3) and (N, 2) arrays."""

    stamp_ns: np.ndarray
    base: np.ndarray
    sigma: np.ndarray

    def where(self, kept: np.ndarray) -> _Chosen:
        return _Chosen(self.stamp_ns[kept], self.base[kept], self.sigma[kept])

    def cameras(self, mount: Pose2) -> np.ndarray:
        """Return (N, 2) places of the camera."""
        return np.array([Pose2(*row).compose(mount)[:2] for row in self.base.tolist()])


def build_drive(bag: Path, folder: Path, settings: BuildSettings,
                topic_names: TopicNames = TopicNames(),
                progress: Progress = lambda stage, total, done: None) -> RecordedDrive:
    """
    Make a drive of a bag; what is in the folder already is kept, and a complete one returned.

    :param folder: of the drive; no other one's.
    :param progress: called with what is being done, how much of it there is and how much is done.
    :raises ValueError: with a sentence, if the bag, the truth or the imagery cannot be used, or
        the folder holds what other settings made.
    """
    permitted_sources(settings)
    recipe = bag_recipe(Path(bag), settings, topic_names)
    require_same(folder, recipe)
    if (folder / DRIVE_FILE).exists():
        return RecordedDrive(folder)
    with closing(Recording(bag)) as recording:
        job = _Job(recording, settings, topic_names, progress)
        write_recipe(folder, recipe)
        try:
            job.build(folder, recipe)
        except NothingKept:
            shutil.rmtree(folder)  # which holds what was begun here, for other settings to begin
            raise
    return RecordedDrive(folder)


class _Job:
    """What is read of a bag before anything is written."""

    def __init__(self, recording: Recording, settings: BuildSettings, topic_names: TopicNames,
                 progress: Progress):
        """Read the truth, the sensors and the first image."""
        self._settings, self._progress = settings, progress
        self._recording = recording
        self._topics = topics = _topics(recording, settings, topic_names)
        recording.keep(filter(None, {
            topics.truth, datum_of(topics.truth), topics.fix, topics.odom, topics.imu,
            settings.truth_heading}))
        mounts = StaticMounts(recording)
        require_mounts(mounts, recording.path, settings)
        vehicle = VehicleMounts(mounts, settings.base_frame)
        self._images = BagImages(recording, self._topics, mounts, settings)
        positions = _positions(recording, self._topics, vehicle)
        self._frame = positions.frame
        self._sensors, self._antenna_m = read_sensors(
            recording, self._topics, vehicle, self._frame)
        if settings.smooth:
            positions = smoothed_track(positions, self._sensors, settings)
        self._truth = read_drive_truth(recording, positions, self._sensors, vehicle, settings)
        self._stamps = np.array(self._images.stamps(), np.int64)
        self._mount = _first_image(self._images, self._stamps, recording).base_from_camera
        self._left_out: Counter[str] = Counter()

    def build(self, folder: Path, recipe: dict[str, Any]) -> None:
        """Choose images, fetch the ground around them, write all."""
        self._progress('comparing clocks', 1, 0)
        clock = camera_clock(
            self._settings.clock_offset, self._truth, self._images, self._stamps)
        chosen = self._chosen(clock)
        self._require(chosen)
        ground = build_ground(
            folder / GROUND, self._frame, chosen.cameras(self._mount), self._settings,
            self._settings.patch_m, lambda total, done: self._progress('ground', total, done))
        chosen = self._keep(chosen, ground.has_enough, NO_GROUND)
        self._require(chosen)
        chosen = self._keep(chosen, self._write_images(folder, chosen), UNUSABLE)
        self._require(chosen)
        write_drive(folder, self._facts(ground, clock, recipe), self._keyframes(chosen),
                    self._sensors)

    def _chosen(self, clock: CameraClock) -> _Chosen:
        """Return the images whose truth is sound, thinned."""
        stamps = np.unique(self._stamps)
        self._left_out[TWICE] += len(self._stamps) - len(stamps)
        at_ns = stamps + clock.ahead_ns
        base, sigma = self._truth.base_at(at_ns), self._truth.sigma_at(at_ns)
        speed_mps = _speeds(self._truth, at_ns)
        sigma[:, 0] = np.hypot(sigma[:, 0], speed_mps * clock.sigma_s)
        reasons = thinned(base, speed_mps, self._truth.doubts(at_ns),
                          self._settings.every_m)
        self._left_out.update(reasons[reasons != ''].tolist())
        return _Chosen(stamps, base, sigma).where(reasons == '')

    def _keep(self, chosen: _Chosen, kept: np.ndarray, reason: str) -> _Chosen:
        self._left_out[reason] += int((~kept).sum())
        return chosen.where(kept)

    def _require(self, chosen: _Chosen) -> None:
        if not len(chosen.stamp_ns):
            raise NothingKept(
                f'no image of {self._recording.path} can be kept: ' + ', '.join(
                    f'{reason}: {count}' for reason, count in self._left_out_counts().items())
                + self._truth.said_of_vagueness * (VAGUE in self._left_out))

    def _left_out_counts(self) -> dict[str, int]:
        return {reason: count for reason, count in self._left_out.most_common() if count}

    def _write_images(self, folder: Path, chosen: _Chosen) -> np.ndarray:
        """Write the panoramas that are not there yet; return (N,) bool, which there are."""
        files = {stamp: folder / IMAGES / file_name_of(stamp)
                 for stamp in chosen.stamp_ns.tolist()}
        lacking = {stamp for stamp, file in files.items() if not file.exists()}
        for done, image in enumerate(self._images.level(lacking)):
            self._progress('images', len(files), len(files) - len(lacking) + done)
            if not isinstance(image, Unusable):
                turn_rad = image.base_from_camera.yaw - self._mount.yaw
                write_panorama(
                    folder, file_name_of(image.stamp_ns), turned(image.image, turn_rad),
                    None if image.seen is None else turned(image.seen, turn_rad),
                    self._settings.image_rows)
        self._progress('images', len(files), len(files))
        return np.array([file.exists() for file in files.values()])

    def _keyframes(self, chosen: _Chosen) -> list[Keyframe]:
        splits = splits_of_places(self._frame, chosen.cameras(self._mount), self._settings)
        rows = zip(chosen.stamp_ns.tolist(), chosen.base.tolist(), chosen.sigma.tolist(), splits)
        return [Keyframe(file_name_of(stamp), stamp, Pose2(*base), sigma_m, sigma_rad, split)
                for stamp, base, (sigma_m, sigma_rad), split in rows]

    def _facts(self, ground: Ground, clock: CameraClock, recipe: dict[str, Any]) -> DriveFacts:
        truth, recording = self._truth, self._recording
        origin = recipe | {
            'images': len(self._stamps), 'cells': ground.cells, 'cells_lacking': ground.lacking,
            'imagery': ground.imagery, 'damage': recording.damage,
            'topics': asdict(self._topics)}
        offset_deg = math.degrees(truth.course_offset_rad)
        figures = {
            'topic': self._topics.truth, 'type': recording.types[self._topics.truth],
            'heading': truth.heading, 'clock': clock.to_dict(),
            'heading_from_course_deg': round(offset_deg, 2) if offset_deg == offset_deg else None,
            'remarks': [*remarks_of(truth), *clock.remarks]}
        return DriveFacts(
            self._frame.datum, self._mount, self._antenna_m, ground.layout, origin, figures,
            self._left_out_counts())


def _topics(recording: Recording, settings: BuildSettings, names: TopicNames) -> Topics:
    heading = settings.truth_heading
    topics = choose_topics(
        recording, asdict(names), camera_settings(settings.camera).topics,
        needed=('image', 'truth'),
        others=(heading,) if heading else ())
    if heading and recording.types.get(heading) not in HEADING_KINDS:
        raise ValueError(f'--truth-heading {heading}: {recording.path} has no such topic of '
                         f'{" or ".join(HEADING_KINDS)}')
    if not topics.truth:
        raise ValueError(f'there is no ground truth in {recording.path}: name its topic (--truth)')
    if settings.smooth:
        return _to_be_smoothed(recording, topics)
    return topics


def _to_be_smoothed(recording: Recording, topics: Topics) -> Topics:
    """Return topics with the truth as GNSS, if there is no other: it gives nothing away."""
    if recording.types[topics.truth] != FIX:
        raise ValueError(f'--smooth is for fixes, and {topics.truth} is of '
                         f'{recording.types[topics.truth]}')
    return replace(topics, fix=topics.fix or topics.truth)


def _positions(recording: Recording, topics: Topics, vehicle: VehicleMounts) -> PoseTrack:
    positions = read_truth(recording, topics, vehicle)
    assert positions is not None, 'there is a topic'
    if len(positions.stamp_ns) < 2:
        raise ValueError(f'there is only one usable message on {topics.truth}')
    return positions


def _first_image(images: BagImages, stamps: np.ndarray, recording: Recording) -> CameraImage:
    """
    Return the first panorama.

    :raises ValueError: if there is none: with the reason, which may be that the camera is none of
        panoramas.
    """
    sentence = 'there is none'
    for image in images.level(set(stamps[:TRIED].tolist())):
        if isinstance(image, CameraImage):
            return image
        sentence = image.sentence
    raise ValueError(
        f'no panorama comes of the images of {recording.path}: {sentence}. Drives are made of '
        'panoramas only, not of the images of one pinhole camera; a fisheye or a ring of cameras '
        'is described with --camera')


def _speeds(truth: Truth, at_ns: np.ndarray) -> np.ndarray:
    """Return (N,) speeds in m/s over half a second, as far as the truth reaches."""
    half_ns = round(SECOND_NS / 4)
    ends = truth.positions.at(np.concatenate([at_ns - half_ns, at_ns + half_ns]))[:, :2]
    span_s = np.diff(np.clip([at_ns - half_ns, at_ns + half_ns], truth.positions.stamp_ns[0],
                             truth.positions.stamp_ns[-1]), axis=0)[0] / SECOND_NS
    return np.hypot(*(ends[len(at_ns):] - ends[:len(at_ns)]).T) / np.maximum(span_s, 0.05)

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

"""A replay of one bag, from its first message to poses and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
import logging
from pathlib import Path
from typing import Any, Callable

from fg2_ros.cameras.settings import camera_settings
from fg2_ros.evaluation.drive import DriveRecord
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import AerialPatch, Imagery, ImageryError
from fg2_ros.imagery.patch import PatchView
from fg2_ros.replay.mounts import require_mounts, StaticMounts
from fg2_ros.replay.outputs import (
    BAG_FOLDER, CSV_FILE, GEOJSON_FILE, PoseTable, require_new, write_bag, write_geojson)
from fg2_ros.replay.recording import choose_topics, POSES, Recording, Topics
from fg2_ros.replay.replay import Replay, ReplayedImage
from fg2_ros.replay.settings import ReplaySettings, TopicNames
from fg2_ros.replay.tracks import read_fixes, read_truth
from fg2_ros.replay.truth import drive_record, truth_figures
from fg2_ros.ros import loading
from fg2_ros.ros.node_settings import ImagerySettings, NodeSettings
from fg2_ros.ros.pipeline import Pipeline
import numpy as np

INTERRUPTED = 'interrupted'
OVERLAYS = 8
MAP_MARGIN_M, MAP_PX = 40.0, 2048

_log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrueDrive:
    """
    The drive beside its ground truth, as a page shows it.

    :param background: an aerial image of the whole drive; without imagery a grey one.
    """

    record: DriveRecord
    background: AerialPatch


@dataclass(frozen=True)
class ReplayResult:
    """
    What came of a replay.

    :param images: the result of each.
    :param figures: ready for JSON.
    :param end: why it ended early, or ''.
    :param drive: for a page, if one is wanted and there is a truth.
    """

    images: list[ReplayedImage]
    figures: dict[str, Any]
    end: str = ''
    drive: TrueDrive | None = None

    @property
    def interrupted(self) -> bool:
        """Whether it was ended from outside."""
        return self.end == INTERRUPTED

    def reasons(self) -> list[str]:
        """Return rejections and unusable messages by kind, each with the last sentence."""
        figures = self.figures
        rejected = [f'rejected, {kind}: {count}, the last: {figures["last_rejections"][kind]}'
                    for kind, count in figures['rejected'].items()]
        return rejected + [
            f'unusable on {topic}: {count}, the last: {figures["last_troubles"][topic]}'
            for topic, count in figures['unusable_messages'].items()]


def replay_bag(bag: Path, settings: ReplaySettings, topic_names: TopicNames = TopicNames(), *,
               out: Path | None = None, for_page: bool = False,
               progress: Progress = lambda total, accepted: None) -> ReplayResult:
    """
    Localize the images of a bag.

    :param bag: rosbag2 folder, .mcap, .db3 or ROS 1 .bag.
    :param out: a new folder that gets the poses as CSV, GeoJSON and bag; None for none.
    :param for_page: whether the result is to hold what a page shows; needs true poses.
    :param progress: called after each image with how many there are, and how many of those until
        now were accepted.
    :raises ValueError: if something cannot be used, or what is needed is missing; a bag that
        breaks off only ends the replay early.
    """
    if not settings.source:
        raise ValueError('there is no imagery: name a source (--source)')
    if out:
        require_new(out)
    with closing(Recording(bag)) as recording:
        cameras = camera_settings(settings.camera)
        topics = choose_topics(recording, asdict(topic_names), cameras.topics)
        if for_page:
            _require_true_poses(recording, topics)
        mounts = StaticMounts(recording)
        require_mounts(mounts, recording.path, settings)
        return _replay(settings, recording, topics, mounts, out, for_page, progress)


def _require_true_poses(recording: Recording, topics: Topics) -> None:
    """Refuse a page without true poses, before anything takes time."""
    if recording.types.get(topics.truth) not in POSES:
        raise ValueError('--report needs a ground truth with headings, of '
                         f'{" or ".join(POSES)}: name it with --truth')


def node_settings(settings: ReplaySettings) -> NodeSettings:
    """
    Return the settings of a node that would do the same.

    :raises ValueError: if torch is not installed.
    """
    node = NodeSettings(
        weights=str(settings.weights), device=settings.device, precision=settings.precision,
        simulated_camera=settings.simulated_camera, base_frame=settings.base_frame,
        camera_frame=settings.camera_frame, camera_axes=settings.camera_axes,
        camera=camera_settings(settings.camera),
        imagery=ImagerySettings(
            sources=settings.source, catalogue=settings.catalogue, cache_path=settings.cache))
    if not hasattr(node.localizer, 'patch'):
        raise ValueError('torch is not installed: see "Installation" in the README')
    patch = replace(node.localizer.patch, wait_s=settings.wait_s)
    return replace(node, localizer=replace(node.localizer, patch=patch))


def _replay(settings: ReplaySettings, recording: Recording, topics: Topics,
            mounts: StaticMounts, out: Path | None, for_page: bool,
            progress: Progress) -> ReplayResult:
    node = node_settings(settings)
    count = -(-recording.count(topics.image) // settings.every)
    count = min(count, settings.limit or count)
    with closing(loading.load_localizer(node)) as loaded:
        _tell_what_is_missing(topics, loaded, settings.simulated_camera)
        pipeline = Pipeline(node, loaded, mounts, [image for image, _ in topics.cameras])
        replay = Replay(recording, topics, pipeline,
                        overlay_every=-(-count // OVERLAYS) if for_page else 0)
        images, end = _localize_images(replay, settings, out, lambda done: progress(count, done))
        figures = {'bag': recording.path.name, 'weights': settings.weights.name,
                   **_figures(images, replay), 'ended_early': end or None}
        judged = _compare_with_truth(recording, topics, pipeline, images, figures)
        if out and pipeline.map_frame is not None:
            write_geojson(out / GEOJSON_FILE, images)
            write_bag(out / BAG_FOLDER, images, pipeline.map_frame, node)
        drive = None
        if for_page and judged is not None:
            drive = TrueDrive(judged[0], _background(*judged, loaded.imagery, settings.wait_s))
    return ReplayResult(images, figures, end, drive)


def _tell_what_is_missing(topics: Topics, loaded: loading.Loaded,
                          simulated_camera: bool) -> None:
    """
    Say what poses will stand on without some inputs.

    :raises ValueError: if it cannot be done without.
    """
    if loaded.needs_intrinsics and not topics.camera_info:
        raise ValueError('the weights are for a pinhole camera, and the bag has no '
                         'sensor_msgs/CameraInfo, which tells its intrinsics')
    if not topics.odom:
        _log.warning('there is no odometry: what is known of the pose between images is only that '
                     'vehicles are slow')
    if not topics.imu:
        _log.warning('there is no IMU: the first images are compared with all headings')
    if loading.are_out_of_domain(loaded.localizer.metadata, simulated_camera):
        _log.warning('the weights were trained on simulation only: do not rely on their poses '
                     'with a real camera; they claim a sigma of at least 1.5 m '
                     '(--simulated-camera if the images are simulated)')


def _localize_images(replay: Replay, settings: ReplaySettings, out: Path | None,
                     tell: Callable[[int], None]) -> tuple[list[ReplayedImage], str]:
    """Localize; return the results of the images, and why it ended early or ''."""
    images: list[ReplayedImage] = []
    accepted = 0
    with closing(PoseTable(out / CSV_FILE)) if out else nullcontext() as table:
        try:
            for image in replay.outcomes(settings.every, settings.limit):
                images.append(image)
                if table is not None:
                    table.add(image)
                accepted += image.accepted
                tell(accepted)
        except KeyboardInterrupt:
            return images, INTERRUPTED
    return images, replay.end


def _figures(images: Sequence[ReplayedImage], replay: Replay) -> dict[str, Any]:
    """Return the figures of the images."""
    return {
        'images': len(images), 'accepted': sum(each.accepted for each in images),
        'latency_p50_ms': round(float(np.median([
            each.latency_ms for each in images])), 2) if images else None,
        'rejected': dict(Counter(each.kind for each in images if each.kind)),
        'last_rejections': {each.kind: each.rejection for each in images if each.kind},
        'unusable_messages': dict(replay.unusable), 'last_troubles': replay.last_trouble}


def _compare_with_truth(
        recording: Recording, topics: Topics, pipeline: Pipeline, images: list[ReplayedImage],
        figures: dict[str, Any]) -> tuple[DriveRecord, MapFrame] | None:
    """Return the drive in the map of its ground truth, if there is one, and add its figures."""
    try:
        truth = read_truth(recording, topics, pipeline.vehicle)
        if truth is None:
            return None
        record = drive_record(truth, read_fixes(recording, topics.fix, pipeline.vehicle), images, {
            f'rejected: {kind}': f'{count} images, such as: {figures["last_rejections"][kind]}'
            for kind, count in figures['rejected'].items()})
    except ValueError as error:
        _log.warning('there are no errors of the poses: %s', error)
        return None
    figures |= truth_figures(record, truth.has_heading)
    return record, truth.frame


def _background(record: DriveRecord, frame: MapFrame, imagery: Imagery,
                wait_s: float) -> AerialPatch:
    """Return an aerial image of the whole drive; without imagery a grey one."""
    low, high = (limit(record.truth[:, :2], axis=0) for limit in (np.min, np.max))
    east_m, north_m = ((low + high) / 2).tolist()
    size_m = float(np.max(high - low)) + 2 * MAP_MARGIN_M
    try:
        return imagery.patch(PatchView(frame, (east_m, north_m), size_m, MAP_PX), wait_s)
    except ImageryError as error:
        _log.warning('the map of the report has no background: %s', error)
        grey = np.full((64, 64, 3), 128, np.uint8)
        return AerialPatch(
            grey, PatchView(frame, (east_m, north_m), size_m, len(grey)), None, 'none')

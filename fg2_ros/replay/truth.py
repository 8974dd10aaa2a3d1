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

"""The ground truth that a bag holds, and how far the poses of a replay are from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.geometry.frames import is_nowhere, MapFrame
from fg2_ros.replay.recording import datum_of, FIX, Recording, Topics
from fg2_ros.replay.replay import ReplayedImage
from fg2_ros.ros import conversions
from fg2_ros.ros.pipeline import Pipeline
import numpy as np
from tf_transformations import euler_from_quaternion

LONGEST_GAP_S = 1.0  # truth is not interpolated further than this
SECOND_NS = 1e9


@dataclass(frozen=True)
class PoseTrack:
    """
    Where something was, in a map of its own.

    :param stamp_ns: (T,) int64, increasing.
    :param pose: (T, 3) east m, north m, yaw rad; the yaw of what is only known by its position is
        NaN.
    :param lever_m: its place in base_link.
    """

    frame: MapFrame
    stamp_ns: np.ndarray
    pose: np.ndarray
    lever_m: tuple[float, float] = (0.0, 0.0)

    @property
    def has_heading(self) -> bool:
        """Whether yaws are known."""
        return bool(np.isfinite(self.pose[:, 2]).all())

    def knows(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return for each stamp whether it lies between two of the track's that are near."""
        after = np.clip(np.searchsorted(self.stamp_ns, stamp_ns), 0, len(self.stamp_ns) - 1)
        before = np.maximum(after - (self.stamp_ns[after] > stamp_ns), 0)
        return ((self.stamp_ns[before] <= stamp_ns) & (stamp_ns <= self.stamp_ns[after])
                & (self.stamp_ns[after] - self.stamp_ns[before] <= LONGEST_GAP_S * SECOND_NS))

    def at(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return (N, 3) poses at stamps, interpolated."""
        columns = (*self.pose[:, :2].T, np.unwrap(self.pose[:, 2]))
        seconds, knots = _seconds(stamp_ns, self.stamp_ns[0]), _seconds(
            self.stamp_ns, self.stamp_ns[0])
        return np.stack([np.interp(seconds, knots, each) for each in columns], axis=1)


def read_truth(recording: Recording, topics: Topics, pipeline: Pipeline) -> PoseTrack | None:
    """
    Return the ground truth of a bag; None if there is none.

    :raises ValueError: if it cannot be used.
    """
    if not topics.truth:
        return None
    if recording.types[topics.truth] == FIX:
        return read_fixes(recording, topics.truth, pipeline)
    found = list(_poses(recording, topics.truth))
    if not found:
        raise ValueError(f'there is no message on {topics.truth}')
    datum = next(recording.messages([datum_of(topics.truth)])).message()  # `_chosen_truth` saw it
    return _track(MapFrame(datum.latitude, datum.longitude), *zip(*found))


def read_fixes(recording: Recording, topic: str, pipeline: Pipeline) -> PoseTrack:
    """
    Return the good fixes on a topic.

    :raises ValueError: if there is none.
    """
    stamps, places, lever_m = [], [], (0.0, 0.0)
    for recorded in recording.messages([topic]):
        message = recorded.message()
        place = message.latitude, message.longitude
        if message.status.status >= 0 and np.isfinite(place).all() and not is_nowhere(*place):
            stamps.append(conversions.stamp_ns(message.header.stamp))
            places.append(place)
            lever_m = tuple(pipeline.mount_of(message.header.frame_id)[0][:2])
    if not places:
        raise ValueError(f'there is no good fix on {topic}')
    frame = MapFrame(*places[0])
    poses = [(*frame.map_from_geodetic(*place), np.nan) for place in places]
    return _track(frame, stamps, poses, lever_m)


def _poses(recording: Recording, topic: str) -> Iterator[tuple[int, tuple]]:
    for recorded in recording.messages([topic]):
        message = recorded.message()
        place, q = message.pose.position, message.pose.orientation
        yield conversions.stamp_ns(message.header.stamp), (
            place.x, place.y, euler_from_quaternion((q.x, q.y, q.z, q.w))[2])


def _track(frame: MapFrame, stamps: Sequence[int], poses: Sequence,
           lever_m: tuple[float, float] = (0.0, 0.0)) -> PoseTrack:
    stamp_ns, first = np.unique(np.array(stamps, np.int64), return_index=True)
    return PoseTrack(frame, stamp_ns, np.array(poses, float)[first], lever_m)


def drive_record(truth: PoseTrack, gnss: PoseTrack, outcomes: Sequence[ReplayedImage],
                 notes: dict[str, str]) -> DriveRecord:
    """
    Return the images for which there is a truth, as a drive in the truth's map.

    A truth without headings borrows those of the poses, which tell where base_link is around it.

    :raises ValueError: if there is none of them.
    """
    stamps = np.unique([each.stamp_ns for each in outcomes]).astype(np.int64)
    stamps = stamps[truth.knows(stamps)]
    if not len(stamps):
        raise ValueError('the ground truth is of other times than the images')
    known = set(stamps.tolist())
    found = [(each, each.pose) for each in outcomes
             if each.pose is not None and each.stamp_ns in known]
    begin_ns = stamps[0]

    def in_truth_map(places_deg) -> np.ndarray:
        return np.reshape([truth.frame.map_from_geodetic(*each) for each in places_deg], (-1, 2))

    time_s = _seconds([each.stamp_ns for each, _ in found], begin_ns)
    yaw_rad = np.array([pose.base.yaw for _, pose in found])
    gnss_deg = [gnss.frame.geodetic_from_map(*each) for each in gnss.pose[:, :2]]
    return DriveRecord(
        truth_time_s=_seconds(stamps, begin_ns),
        truth=_of_base(truth, stamps, time_s, yaw_rad, begin_ns),
        gnss_time_s=_seconds(gnss.stamp_ns, begin_ns), gnss_m=in_truth_map(gnss_deg),
        gnss_antenna_m=gnss.lever_m, time_s=time_s,
        pose=np.column_stack([in_truth_map(pose.place_deg for _, pose in found), yaw_rad]),
        covariance=np.reshape([pose.covariance for _, pose in found], (-1, 3, 3)),
        latency_ms=np.array([each.latency_ms for each, _ in found]),
        overlays=[(float(_seconds(each.stamp_ns, begin_ns)), each.overlay) for each in outcomes
                  if each.overlay is not None],
        notes=notes)


def _of_base(truth: PoseTrack, stamps: np.ndarray, time_s: np.ndarray, yaw_rad: np.ndarray,
             begin_ns: int) -> np.ndarray:
    """Return (N, 3) true poses of base_link at stamps."""
    pose = truth.at(stamps)
    if not truth.has_heading:
        pose[:, 2] = np.interp(
            _seconds(stamps, begin_ns), time_s, np.unwrap(yaw_rad)) if len(time_s) else 0.0
    cosine, sine, (ahead, left) = np.cos(pose[:, 2]), np.sin(pose[:, 2]), truth.lever_m
    pose[:, 0] -= cosine * ahead - sine * left
    pose[:, 1] -= sine * ahead + cosine * left
    return pose


def truth_figures(record: DriveRecord, has_heading: bool) -> dict:
    """Return how good the poses are; without true headings the consistency is of positions."""
    figures = summary(record)
    names = ('median_error_m', 'mean_error_m', 'p95_error_m', 'median_yaw_error_deg', 'anees',
             'gnss_median_error_m')
    figures = {'images_with_truth': figures['frames']} | {name: figures[name] for name in names}
    if not has_heading:
        figures |= {'median_yaw_error_deg': None, 'anees': _position_anees(record)}
    return figures


def _position_anees(record: DriveRecord) -> float | None:
    if not len(record.pose):
        return None
    error = record.errors[:, :2, None]
    nees = error.transpose(0, 2, 1) @ np.linalg.solve(record.covariance[:, :2, :2], error) / 2
    return round(float(nees.mean()), 4)


def _seconds(stamp_ns, begin_ns) -> np.ndarray:
    return (np.asarray(stamp_ns, np.int64) - begin_ns) / SECOND_NS

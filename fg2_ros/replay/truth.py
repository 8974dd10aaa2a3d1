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

"""Errors of the poses of a replay against the ground truth of the bag."""

from __future__ import annotations

from collections.abc import Sequence

from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.replay.replay import ReplayedImage
from fg2_ros.replay.tracks import base_from_antenna, PoseTrack, SECOND_NS
import numpy as np


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
    return base_from_antenna(pose, truth.lever_m)


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

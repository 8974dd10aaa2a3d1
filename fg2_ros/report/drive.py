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

"""The report of a drive: one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.report.charts import Curve, Limit, line_chart
from fg2_ros.report.html_page import data_uri, write_page
from fg2_ros.report.map import Map
from markupsafe import Markup
import numpy as np

LATENCY_GOAL_MS = 300.0


class BackgroundImage(Protocol):
    """A north-up (H, W, 3) uint8 RGB image of the ground, in the record's map frame."""

    @property
    def image(self) -> np.ndarray:
        """Return the pixels."""

    @property
    def resolution_m(self) -> float:
        """Return metres a pixel."""

    @property
    def centre_m(self) -> tuple[float, float]:
        """Return (east, north) of the image's centre."""


def write_report(path: Path, record: DriveRecord, orthophoto: BackgroundImage, title: str,
                 subtitle: str = '') -> None:
    """
    Write a drive's map, errors, latencies, overlays and figures as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param orthophoto: the background of the map.
    """
    write_page(
        path, 'drive.html', title=title, subtitle=subtitle, figures=summary(record),
        map=_map(record, orthophoto), position_chart=_position_chart(record),
        yaw_chart=_yaw_chart(record), latency_chart=_latency_chart(record),
        overlays=_overlays(record), notes=record.notes)


def _map(record: DriveRecord, orthophoto: BackgroundImage) -> Markup:
    around = np.concatenate([record.truth[:, :2], record.gnss_m])
    drive = Map(orthophoto.image, orthophoto.resolution_m, orthophoto.centre_m, around)
    drive.add_dots('gnss', 'raw GNSS', record.gnss_m, [
        f'GNSS at {time_s:.1f} s' for time_s in record.gnss_time_s], 0.55)
    drive.add_ellipses('ellipse', '95 % ellipse', record.pose[:, :2], record.covariance[:, :2, :2])
    drive.add_path('truth', 'ground truth', record.truth[:, :2])
    drive.add_dots('estimate', 'estimate', record.pose[:, :2], [
        f'{time_s:.1f} s: {error_m:.2f} m off, sigma {sigma_m:.2f} m'
        for time_s, error_m, sigma_m in zip(
            record.time_s, record.position_error_m,
            np.sqrt(np.trace(record.covariance[:, :2, :2], axis1=1, axis2=2)))], 0.4)
    return drive.html()


def _position_chart(record: DriveRecord) -> Markup:
    return line_chart('Position error over time', [
        Curve('raw GNSS', record.gnss_time_s, record.gnss_error_m, 'orange', dots=True),
        Curve('estimate', *_at_frames(record, record.position_error_m))], 'position error [m]')


def _yaw_chart(record: DriveRecord) -> Markup:
    yaw_deg = np.degrees(np.abs(record.errors[:, 2]))
    return line_chart('Heading error over time', [
        Curve('estimate', *_at_frames(record, yaw_deg))], 'heading error [deg]')


def _latency_chart(record: DriveRecord) -> Markup:
    return line_chart(
        'Latency over time',
        [Curve('latency', *_at_frames(record, record.latency_ms), 'violet')], 'latency [ms]',
        limit=Limit(LATENCY_GOAL_MS, f'goal: 95 % below {LATENCY_GOAL_MS:.0f} ms'))


def _at_frames(record: DriveRecord, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times and values at every frame, NaN where there was no estimate."""
    y = np.full(len(record.truth_time_s), np.nan)
    y[np.searchsorted(record.truth_time_s, record.time_s - 1e-6)] = values
    return record.truth_time_s, y


def _overlays(record: DriveRecord) -> list[tuple[str, float, float | None]]:
    """Return pictures, their times, and the errors of the poses, None for those rejected."""
    error_m = dict(zip(np.round(record.time_s, 3), record.position_error_m))
    return [(data_uri(jpeg), time_s, error_m.get(np.round(time_s, 3)))
            for time_s, jpeg in record.overlays]

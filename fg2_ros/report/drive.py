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

from html import escape
from pathlib import Path
from typing import Protocol

from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.report.charts import Limit, line_chart, Series
from fg2_ros.report.html_page import cards, figure, number, rendered, table
from fg2_ros.report.map import data_uri, Map
import numpy as np

LATENCY_GOAL_MS = 300.0
LEGEND = (('truth', 'ground truth'), ('gnss', 'raw GNSS'), ('estimate', 'estimate'),
          ('ellipse', '95 % ellipse'))


class BackgroundImage(Protocol):
    """A north-up (H, W, 3) uint8 RGB image of the ground, in the record's map frame."""

    image: np.ndarray
    resolution_m: float
    centre_m: tuple[float, float]


def write_report(path: Path, record: DriveRecord, orthophoto: BackgroundImage, title: str,
                 subtitle: str = '') -> None:
    """
    Write a drive's map, errors, latencies, overlays and figures as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param orthophoto: the background of the map.
    """
    figures = summary(record)
    Path(path).write_text(rendered(
        'drive.html', title=escape(title), subtitle=escape(subtitle), cards=_cards(figures),
        legend=_legend(), map=_map(record, orthophoto),
        position_chart=_position_chart(record), yaw_chart=_yaw_chart(record),
        latency_chart=_latency_chart(record), overlays=_overlays(record),
        figures=table(figures), notes=table(record.notes)), 'utf-8')


def _cards(figures: dict) -> str:
    error_m, gnss_m = figures['median_error_m'], figures['gnss_median_error_m']
    better = f'GNSS: {gnss_m / error_m:.1f} times as much' if error_m and gnss_m else ''
    return cards((
        ('Median position error', number(error_m, 'm', 2), better),
        ('95 % of errors below', number(figures['p95_error_m'], 'm', 2), ''),
        ('Median heading error', number(figures['median_yaw_error_deg'], '°', 2), ''),
        ('GNSS median error', number(gnss_m, 'm', 2), ''),
        ('Latency', number(figures['latency_p50_ms'], 'ms', 0),
         f'95 % below {number(figures["latency_p95_ms"], "ms", 0)}'),
        ('Poses published', str(figures['published']), f'of {figures["frames"]} frames'),
        ('ANEES', number(figures['anees'], '', 2), '1 is an honest covariance')))


def _legend() -> str:
    return ''.join(
        f'<label class="{name}"><input type="checkbox" data-layer="{name}" checked>'
        f'<span class="swatch"></span>{text}</label>' for name, text in LEGEND)


def _map(record: DriveRecord, orthophoto: BackgroundImage) -> str:
    around = np.concatenate([record.truth[:, :2], record.gnss_m])
    chart = Map(orthophoto.image, orthophoto.resolution_m, orthophoto.centre_m, around)
    chart.add_dots('gnss', record.gnss_m, [
        f'GNSS at {time_s:.1f} s' for time_s in record.gnss_time_s], 0.55)
    chart.add_ellipses('ellipse', record.pose[:, :2], record.covariance[:, :2, :2])
    chart.add_path('truth', record.truth[:, :2])
    chart.add_dots('estimate', record.pose[:, :2], [
        f'{time_s:.1f} s: {error_m:.2f} m off, sigma {sigma_m:.2f} m'
        for time_s, error_m, sigma_m in zip(
            record.time_s, record.position_error_m,
            np.sqrt(np.trace(record.covariance[:, :2, :2], axis1=1, axis2=2)))], 0.4)
    return chart.svg()


def _position_chart(record: DriveRecord) -> str:
    return line_chart([
        Series('gnss', record.gnss_time_s, record.gnss_error_m, 'dots'),
        Series('estimate', *_at_frames(record, record.position_error_m))], 'position error [m]')


def _yaw_chart(record: DriveRecord) -> str:
    yaw_deg = np.degrees(np.abs(record.errors[:, 2]))
    return line_chart([Series('estimate', *_at_frames(record, yaw_deg))], 'heading error [deg]')


def _latency_chart(record: DriveRecord) -> str:
    return line_chart(
        [Series('latency', *_at_frames(record, record.latency_ms))], 'latency [ms]',
        limit=Limit(LATENCY_GOAL_MS, f'goal: 95 % below {LATENCY_GOAL_MS:.0f} ms'))


def _at_frames(record: DriveRecord, values: np.ndarray):
    """Return times and values at every frame, NaN where there was no estimate."""
    y = np.full(len(record.truth_time_s), np.nan)
    y[np.searchsorted(record.truth_time_s, record.time_s - 1e-6)] = values
    return record.truth_time_s, y


def _overlays(record: DriveRecord) -> str:
    if not record.overlays:
        return '<p>No overlay was published.</p>'
    error_m = dict(zip(np.round(record.time_s, 3), record.position_error_m))
    figures = []
    for time_s, jpeg in record.overlays:
        error = error_m.get(np.round(time_s, 3))
        caption = f'{time_s:.1f} s' + (
            f', {error:.2f} m off' if error is not None else ', rejected')
        figures.append(figure(data_uri(jpeg), f'matches at {time_s:.1f} s', caption))
    return ''.join(figures)

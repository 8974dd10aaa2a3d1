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

"""The report of an evaluation on a cross-view data set: one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from fg2_ros.evaluation.vigor_kitti.results import Case, CrossViewResult
from fg2_ros.published.figures import CONDITION, PUBLISHED
from fg2_ros.report.charts import Curve, histogram, line_chart
from fg2_ros.report.html_page import jpeg_uri, write_page
from markupsafe import Markup
import numpy as np
from PIL import Image

NOTE = (
    'White is the true pose; yellow the estimate with its 95 % ellipse. Lines connect the matches '
    'of highest probability: green ones agree with the pose.')
SHOWN_PERCENTILE = 97  # charts end there, so that a few failures do not flatten them
CURVE_POINTS, BINS = 200, 40
GROUP_COLUMNS = {  # figure: unit and digits after the point
    'frames': ('', 0), 'mean_error_m': ('m', 2), 'median_error_m': ('m', 2),
    'mean_yaw_error_deg': ('°', 2), 'median_yaw_error_deg': ('°', 2), 'anees': ('', 2)}


def write_crossview_report(
        path: Path, figures: dict, results: Sequence[CrossViewResult], best: Sequence[Case],
        worst: Sequence[Case], settings: dict) -> None:
    """
    Write figures, charts and cases as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param figures: as the command writes them: with ``data_set``, ``part``, ``groups``,
        ``unreadable`` and ``broken_labels`` with their counts beside `pose_metrics`.
    :param settings: what else is worth telling.
    """
    write_page(
        path, 'vigor_kitti.html', title=f'{figures["data_set"].upper()}, {figures["part"]}',
        subtitle=f'{figures["frames"]} frames, {figures["solver"]}, orientation '
                 f'{figures["orientation"]}',
        figures=figures, published=PUBLISHED[figures['data_set'], figures['part']],
        condition=CONDITION[figures['data_set']], charts=_charts(results),
        group_columns=GROUP_COLUMNS, worst=_pictures(worst), best=_pictures(best), note=NOTE,
        settings=settings, plain_figures=_texts({
            name: value for name, value in figures.items()
            if not isinstance(value, (dict, list))}))


def write_case(path: Path, case: Case) -> None:
    """Write one frame's overlay as a picture, or with its figures as a page (.html)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() != '.html':
        Image.fromarray(case.picture).save(path)
        return
    frame = case.result.to_dict()
    pose = frame.pop('pose') or {}
    write_page(
        path, 'case.html', title=case.result.name, subtitle=case.result.errors_text,
        uri=jpeg_uri(case.picture, 95), note=NOTE, frame=_texts(frame), pose=_texts(pose))


def _texts(values: dict) -> dict[str, str | None]:
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str | None:
    """Return numbers with four digits, and the rows of a matrix one after the other."""
    if isinstance(value, float):
        return f'{value:.4g}'
    if isinstance(value, (list, tuple)):
        separator = '; ' if isinstance(value[0], (list, tuple)) else ', '
        return separator.join(str(_text(each)) for each in value)
    return None if value is None else str(value)


def _charts(results: Sequence[CrossViewResult]) -> dict[str, Markup]:
    """Return the charts of position and yaw by their titles."""
    posed = [result for result in results if result.pose]
    charts = {}
    for name, unit, errors in (
            ('position error', 'm', [result.error_m for result in posed]),
            ('yaw error', 'deg', [result.yaw_error_deg for result in posed])):
        values, label = np.array(errors), f'{name} [{unit}]'
        end = float(np.percentile(values, SHOWN_PERCENTILE)) or 1.0 if errors else 1.0
        title = f'{name.capitalize()}; the last bar holds all beyond it'
        charts[title] = histogram(title, values, end, BINS, label)
        title = f'Share of frames below a {name}'
        charts[title] = _share_below(title, values, end, len(results), label)
    return charts


def _share_below(title: str, values: np.ndarray, end: float, frames: int, label: str) -> Markup:
    """Return a chart of the share of all frames, those without a pose included."""
    x = np.linspace(0.0, end, CURVE_POINTS)
    percent = 100 * np.searchsorted(np.sort(values), x) / frames
    return line_chart(title, [Curve('estimate', x, percent)], 'share of frames [%]', label)


def _pictures(cases: Sequence[Case]) -> list[tuple[str, CrossViewResult]]:
    return [(jpeg_uri(case.picture), case.result) for case in cases]

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

from html import escape
from pathlib import Path
from typing import Sequence

from fg2_ros.evaluation.vigor_kitti.results import Case, CrossViewResult
from fg2_ros.published.figures import CONDITION, PUBLISHED
from fg2_ros.report.charts import histogram, line_chart, Series
from fg2_ros.report.html_page import cards, figure, number, rendered, table, wide_table
from fg2_ros.report.map import jpeg_uri
import numpy as np
from PIL import Image

NOTE = (
    'White is the true pose; yellow the estimate with its 95 % ellipse. Lines connect the matches '
    'of highest probability: green ones agree with the pose.')
SHOWN_PERCENTILE = 97  # charts end there, so that a few failures do not flatten them
CURVE_POINTS, BINS = 200, 40
GROUP_FIGURES = (
    ('frames', '', 0), ('mean_error_m', 'm', 2), ('median_error_m', 'm', 2),
    ('mean_yaw_error_deg', '°', 2), ('median_yaw_error_deg', '°', 2), ('anees', '', 2))


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
    metres = np.array([result.error_m for result in results if result.pose])
    degrees = np.array([result.yaw_error_deg for result in results if result.pose])
    plain = {name: _text(value) for name, value in figures.items()
             if not isinstance(value, (dict, list))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rendered(
        'vigor_kitti.html', title=f'{figures["data_set"].upper()}, {figures["part"]}',
        subtitle=escape(f'{figures["frames"]} frames, {figures["solver"]}, '
                        f'orientation {figures["orientation"]}'),
        cards=_cards(figures), published=_published(figures),
        published_note=escape(CONDITION[figures['data_set']]),
        position_histogram=_histogram(metres, 'position error [m]'),
        position_curve=_curve(metres, len(results), 'position error [m]'),
        yaw_histogram=_histogram(degrees, 'yaw error [deg]'),
        yaw_curve=_curve(degrees, len(results), 'yaw error [deg]'),
        group='city' if figures['data_set'] == 'vigor' else 'drive',
        groups=_groups(figures['groups']), worst=_cases(worst), best=_cases(best), note=NOTE,
        left_out=_left_out(figures), figures=table(plain), settings=table(settings)), 'utf-8')


def write_case(path: Path, case: Case) -> None:
    """Write one frame's overlay as a picture, or with its figures as a page (.html)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() != '.html':
        Image.fromarray(case.picture).save(path)
        return
    values = case.result.to_dict()
    pose = values.pop('pose') or {}
    path.write_text(rendered(
        'case.html', title=escape(case.result.name), subtitle=escape(case.result.errors_text),
        picture=figure(jpeg_uri(case.picture, 95), f'matches of {case.result.name}', NOTE),
        true=table(values), pose=table(pose)), 'utf-8')


def _text(value) -> str | None:
    return f'{value:.4g}' if isinstance(value, float) else value


def _cards(figures: dict) -> str:
    return cards((
        ('Mean position error', number(figures['mean_error_m'], 'm', 2), ''),
        ('Median position error', number(figures['median_error_m'], 'm', 2),
         f'90 % below {number(figures["p90_error_m"], "m", 2)}'),
        ('Mean yaw error', number(figures['mean_yaw_error_deg'], '°', 2), ''),
        ('Median yaw error', number(figures['median_yaw_error_deg'], '°', 2), ''),
        ('Below 1 m', number(100 * figures['recall_1m'], '%', 1),
         f'below 5 m: {number(100 * figures["recall_5m"], "%", 1)}'),
        ('Without a pose', str(figures['without_pose']), f'of {figures["frames"]} frames'),
        ('Left out', str(figures['unreadable_count'] + figures['broken_label_count']),
         f'{figures["unreadable_count"]} unreadable, '
         f'{figures["broken_label_count"]} with a broken label'),
        ('ANEES', number(figures['anees'], '', 2), '1 is an honest covariance')))


def _published(figures: dict) -> str:
    theirs = PUBLISHED[figures['data_set'], figures['part']]
    return wide_table(('', 'here', 'published'), (
        (name, number(figures[name], '', 2), number(value, '', 2))
        for name, value in theirs.items()))


def _groups(groups: dict[str, dict]) -> str:
    return wide_table(('', *(name for name, _, _ in GROUP_FIGURES)), (
        (escape(group), *(number(values[name], unit, digits)
                          for name, unit, digits in GROUP_FIGURES))
        for group, values in groups.items()))


def _histogram(values: np.ndarray, label: str) -> str:
    return histogram(values, _shown(values), BINS, label)


def _curve(values: np.ndarray, frames: int, label: str) -> str:
    """Return the share of all frames, those without a pose included, below each error."""
    x = np.linspace(0.0, _shown(values), CURVE_POINTS)
    y = np.searchsorted(np.sort(values), x) / frames
    return line_chart([Series('estimate', x, y)], 'share of frames', label)


def _shown(values: np.ndarray) -> float:
    return float(np.percentile(values, SHOWN_PERCENTILE)) or 1.0 if len(values) else 1.0


def _cases(cases: Sequence[Case]) -> str:
    return ''.join(
        figure(jpeg_uri(case.picture), f'matches of {case.result.name}',
               f'{escape(case.result.name)} (index {case.result.index}): '
               f'{case.result.errors_text}')
        for case in cases) or '<p>None.</p>'


def _left_out(figures: dict) -> str:
    return ''.join(
        f'<p>{title}: {len(sentences)}</p>{_items(sentences)}' for title, sentences in (
            ('Frames that cannot be read', figures['unreadable']),
            ('Broken label lines', figures['broken_labels'])))


def _items(sentences: Sequence[str]) -> str:
    items = ''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)
    return f'<ul class="note">{items}</ul>' if items else ''

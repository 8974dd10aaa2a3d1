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

"""The curves of a training run: one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fg2_ros.report.charts import Curve, CYCLE, line_chart
from fg2_ros.report.html_page import write_page
from markupsafe import Markup
import numpy as np

SIMULATED = {  # values of the log that a chart shows
    'Loss [nats a cell]': ('info_nce', 'layers', 'pose', 'validation_loss', 'validation_pose'),
    'Position error [m]': ('validation_mean_m', 'validation_median_m'),
    'Yaw error [deg]': ('validation_median_deg',),
    'Learning rate': ('rate',)}
VIGOR_KITTI = {
    'InfoNCE [nats]': ('info_nce', 'validation_info_nce'),
    'Position error [m]': ('pose_m', 'validation_mean_m', 'validation_median_m'),
    'Yaw error [deg]': ('validation_mean_deg', 'validation_median_deg')}


def write_simulated_curves(path: Path, records: Sequence[Mapping]) -> None:
    """Write the curves of a training in simulated cities, see `write_curves`."""
    write_curves(path, records, SIMULATED)


def write_vigor_kitti_curves(path: Path, records: Sequence[Mapping]) -> None:
    """Write the curves of a training on VIGOR or KITTI, see `write_curves`."""
    write_curves(path, records, VIGOR_KITTI)


def write_curves(path: Path, records: Sequence[Mapping],
                 charts: Mapping[str, Sequence[str]]) -> None:
    """
    Write curves over the steps as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param records: of the log, each with ``step`` and some of the values that the charts name.
    :param charts: for each title the values that are shown, at most five; charts without any
        value are left out.
    """
    drawn = {title: _chart(title, names, records) for title, names in charts.items()
             if any(name in record for name in names for record in records)}
    write_page(path, 'training.html', title='Training', subtitle=f'Step {records[-1]["step"]}',
               charts=drawn)


def _chart(title: str, names: Sequence[str], records: Sequence[Mapping]) -> Markup:
    curves = []
    for name, colour in zip(names, CYCLE):
        known = [record for record in records if name in record]
        if known:
            curves.append(Curve(
                f'{name}: {known[-1][name]:.3g}', np.array([record['step'] for record in known]),
                np.array([record[name] for record in known], float), colour))
    return line_chart(title, curves, '', 'step')

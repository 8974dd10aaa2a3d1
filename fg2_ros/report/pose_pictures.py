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

"""Pictures of poses on the aerial image, as data URIs for a page."""

from __future__ import annotations

import io

from fg2_ros.drawing import ellipse_axes
from fg2_ros.evaluation.drives.moments import Moment
from fg2_ros.evaluation.drives.pictures import REACH_M, WorstFrame
from fg2_ros.evaluation.drives.results import Claim
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.report.charts import COLOURS
from fg2_ros.report.html_page import data_uri
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
import numpy as np
from scipy.ndimage import maximum_filter

ARROW_M = 6.0
PICTURE_IN, PICTURE_DPI, JPEG_QUALITY = 4.2, 120, 88
STRIP_IN = 3.0  # height of a panorama beside its ground
TRUTH_COLOUR, BELIEF_COLOURS = '#ffffff', 'plasma'


def belief_uri(moment: Moment) -> str:
    """Return a picture of a belief on the aerial image as a data URI; white is the truth."""
    figure = Figure((PICTURE_IN, PICTURE_IN), dpi=PICTURE_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(moment.picture, extent=moment.extent_m)
    strength = visible(moment)
    axes.imshow(strength, extent=moment.extent_m, origin='lower', cmap=BELIEF_COLOURS,
                alpha=np.clip(3 * strength, 0, 0.75), vmin=0, vmax=1)
    draw_pose(axes, moment.truth, TRUTH_COLOUR)
    if moment.published:
        draw_claim(axes, moment.published)
    axes.set(xlim=moment.extent_m[:2], ylim=moment.extent_m[2:])
    axes.set_axis_off()
    return figure_uri(figure)


def visible(moment: Moment) -> np.ndarray:
    """Return a density between 0 and 1, whose peaks are widened where the picture is wide."""
    west, east, _, _ = moment.extent_m
    side = 2 * round(1.5 * max((east - west) / (2 * REACH_M) - 1, 0)) + 1
    strength = moment.density / max(float(moment.density.max()), np.finfo(float).tiny)
    return maximum_filter(strength, side)


def frame_uri(frame: WorstFrame) -> str:
    """Return a panorama beside the ground, with the true pose and the published one."""
    figure = Figure((3 * STRIP_IN, STRIP_IN), dpi=PICTURE_DPI)
    panorama, ground = figure.add_axes((0, 0, 0.66, 1)), figure.add_axes((2 / 3, 0, 1 / 3, 1))
    panorama.imshow(frame.panorama, aspect='auto')
    ground.imshow(frame.picture, extent=frame.extent_m)
    draw_pose(ground, frame.result.truth, TRUTH_COLOUR)
    if frame.result.track:
        draw_claim(ground, frame.result.track)
    ground.set(xlim=frame.extent_m[:2], ylim=frame.extent_m[2:])
    for axes in (panorama, ground):
        axes.set_axis_off()
    return figure_uri(figure)


def figure_uri(figure: Figure) -> str:
    """Return a figure as a JPEG in a data URI."""
    file = io.BytesIO()
    figure.savefig(file, format='jpg', pil_kwargs={'quality': JPEG_QUALITY})
    return data_uri(file.getvalue())


def draw_claim(axes: Axes, claim: Claim) -> None:
    """Draw a pose with the ellipse that holds its position with 95 %."""
    draw_pose(axes, claim.pose, COLOURS['teal'])
    axes.add_patch(ellipse_95(claim))


def draw_pose(axes: Axes, pose: Pose2, colour: str) -> None:
    """Draw an arrow that begins where a vehicle is and points where it looks."""
    ahead = pose.compose(Pose2(ARROW_M, 0.0, 0.0))
    axes.annotate('', ahead[:2], pose[:2], arrowprops={
        'arrowstyle': '-|>', 'color': colour, 'linewidth': 1.6, 'shrinkA': 0, 'shrinkB': 0})


def ellipse_95(claim: Claim) -> Ellipse:
    """Return the ellipse that holds the position with 95 %."""
    major_m, minor_m, angle_rad = ellipse_axes(claim.covariance[:2, :2])
    return Ellipse(claim.pose[:2], 2 * major_m, 2 * minor_m, angle=np.degrees(angle_rad),
                   fill=False, color=COLOURS['teal'])

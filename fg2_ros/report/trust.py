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

"""How far poses can be trusted: the page of `fg2 evaluate drives`, which opens offline."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
import io
from pathlib import Path

from fg2_ros.evaluation.drives import figures as trust_figures
from fg2_ros.evaluation.drives.moments import Moment
from fg2_ros.evaluation.drives.results import Claim, DriveResult
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.report.charts import chart, COLOURS, Curve, CYCLE, line_chart
from fg2_ros.report.html_page import write_page
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
import numpy as np

ORIGINS = {'belief': trust_figures.tracked, '~/pose': trust_figures.measured,
           'each image alone': trust_figures.alone}
TALL = 300  # points
SIGMA_M, ERROR_M = (0.05, 10.0), (0.01, 100.0)  # what the chart of both shows
ARROW_M = 6.0
PICTURE_IN, PICTURE_DPI, JPEG_QUALITY = 4.2, 120, 88
TRUTH_COLOUR, BELIEF_COLOURS = '#ffffff', 'plasma'


@dataclass(frozen=True)
class PublishedPoses:
    """
    Poses of one origin: (N,) arrays over those that were published, of so many frames.

    :param name: what the legend calls them.
    :param frames: published or not.
    :param time_s: since the first image of the drive.
    :param sigma_m: that was claimed, in the direction in which the position is known worst.
    :param nees: squared Mahalanobis distance of the true position, with 2 degrees of freedom.
    """

    name: str
    frames: int
    time_s: np.ndarray
    error_m: np.ndarray
    sigma_m: np.ndarray
    nees: np.ndarray


def write_trust_report(path: Path, figures: dict, drives: Sequence[DriveResult],
                       moments: Sequence[Moment]) -> None:
    """
    Write figures, charts and beliefs as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param figures: as the command writes them.
    :param moments: at which the belief is shown.
    """
    origins = [origin for origin in published_poses(drives) if len(origin.error_m)]
    images_a_second = figures['drives'] * figures['rate_hz']
    write_page(
        path, 'trust.html', title='How far the poses can be trusted', subtitle=subtitle(figures),
        figures=figures, charts=charts(origins, images_a_second) if origins else {},
        moments=[(moment, belief_uri(moment)) for moment in moments],
        plain_figures={name: rounded(value) for name, value in figures.items()
                       if not isinstance(value, dict)})


def subtitle(figures: dict) -> str:
    """Return in a line what was driven."""
    parts = [f'{figures["drives"]} drives in {figures["difficulty"]} cities',
             f'{figures["frames"]} images at {figures["rate_hz"]:g} Hz',
             f'fault: {figures["fault"]}']
    if figures['prior_offset_m']:
        parts.append(f'fixes off by {figures["prior_offset_m"]:g} m')
    if not figures['has_heading']:
        parts.append('no heading')
    return ', '.join(parts)


def published_poses(drives: Sequence[DriveResult]) -> list[PublishedPoses]:
    """Return the published poses of all origins, against the truth."""
    images = [image for drive in drives for image in drive.images]
    found = []
    for name, source in ORIGINS.items():
        results = trust_figures.results(images, source)
        found.append(PublishedPoses(
            name, len(images),
            np.array([image.time_s for image in images if source(image) is not None]),
            np.array([result.position_error_m for result in results]),
            np.array([trust_figures.sigma_m(result.covariance) for result in results]),
            np.array([trust_figures.position_nees(result) for result in results])))
    return found


def charts(origins: Sequence[PublishedPoses], images_a_second: float) -> dict[str, Markup]:
    """
    Return all charts by their titles.

    :param images_a_second: of all drives together.
    """
    return {
        'Ellipses that hold the truth': reliability(origins),
        'Error if only the surest poses are used': risk_against_coverage(origins),
        'Error against claimed sigma': error_against_sigma(origins),
        'Error over the drive': errors_over_time(origins),
        'Published over the drive': published_over_time(origins, images_a_second)}


def reliability(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of how many true positions the ellipses of a probability hold."""
    probability = np.linspace(0, 0.999, 200)
    limit = -2 * np.log1p(-probability)
    curves = [Curve('honest', 100 * probability, 100 * probability, 'soft')]
    for origin, colour in zip(origins, CYCLE):
        held = np.searchsorted(np.sort(origin.nees), limit, 'right') / len(origin.nees)
        curves.append(Curve(origin.name, 100 * probability, 100 * held, colour))
    return line_chart('reliability', curves, 'true positions inside [%]',
                      'probability of the ellipse [%]')


def risk_against_coverage(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of the mean error over the share of frames with the smallest sigmas."""
    curves = []
    for origin, colour in zip(origins, CYCLE):
        errors = origin.error_m[np.argsort(origin.sigma_m, kind='stable')]
        count = np.arange(1, len(errors) + 1)
        curves.append(Curve(origin.name, 100 * count / origin.frames,
                            np.cumsum(errors) / count, colour))
    return line_chart('risk against coverage', curves, 'mean position error [m]',
                      'frames used, the surest first [%]')


def error_against_sigma(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of every pose: what was claimed, and what it was."""
    def draw(axes: Axes) -> None:
        for origin, colour in reversed(list(zip(origins, CYCLE))):
            axes.plot(np.clip(origin.sigma_m, *SIGMA_M), np.clip(origin.error_m, *ERROR_M), '.',
                      color=COLOURS[colour], markersize=6, alpha=0.5, label=origin.name)
        for factor, colour in ((1, 'soft'), (3, 'red')):
            axes.plot(SIGMA_M, np.multiply(factor, SIGMA_M), color=COLOURS[colour], linewidth=1,
                      label=f'{factor} sigma')
        axes.set(xlabel='claimed sigma [m]', ylabel='position error [m]', xscale='log',
                 yscale='log', xlim=SIGMA_M, ylim=ERROR_M)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter('{x:g}')
        axes.legend(loc='lower left', bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=5)

    return chart('error against sigma', draw, height=TALL)


def errors_over_time(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of the 95th percentiles of the errors, second by second of all drives."""
    return line_chart('error over time', [
        Curve(origin.name, *by_second(origin, lambda errors: (
            np.percentile(errors, 95) if len(errors) else np.nan)), colour)
        for origin, colour in zip(origins, CYCLE)], '95th percentile [m]',
        'time since the first image [s]')


def published_over_time(origins: Sequence[PublishedPoses], images_a_second: float) -> Markup:
    """Return a chart of how many images led to a pose, second by second of all drives."""
    return line_chart('published over time', [
        Curve(origin.name, *by_second(
            origin, lambda errors: 100 * len(errors) / images_a_second), colour)
        for origin, colour in zip(origins, CYCLE)], 'published [%]',
        'time since the first image [s]')


def by_second(origin: PublishedPoses, figure: Callable[[np.ndarray], float]
              ) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds up to the last pose, and a figure of the errors of each."""
    second = np.floor(origin.time_s + 1e-6).astype(int)
    seconds = np.arange(second.max() + 1)
    return seconds, np.array([figure(origin.error_m[second == each]) for each in seconds])


def belief_uri(moment: Moment) -> str:
    """Return a picture of a belief on the aerial image as a data URI; white is the truth."""
    figure = Figure((PICTURE_IN, PICTURE_IN), dpi=PICTURE_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(moment.picture, extent=moment.extent_m)
    strength = moment.density / max(float(moment.density.max()), np.finfo(float).tiny)
    axes.imshow(strength, extent=moment.extent_m, origin='lower', cmap=BELIEF_COLOURS,
                alpha=np.clip(3 * strength, 0, 0.75), vmin=0, vmax=1)
    draw_pose(axes, moment.truth, TRUTH_COLOUR)
    if moment.published:
        draw_claim(axes, moment.published)
    axes.set(xlim=moment.extent_m[:2], ylim=moment.extent_m[2:])
    axes.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format='jpg', pil_kwargs={'quality': JPEG_QUALITY})
    return f'data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}'


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
    values, vectors = np.linalg.eigh(claim.covariance[:2, :2])
    width, height = 2 * np.sqrt(-2 * np.log(0.05) * values)
    angle = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
    return Ellipse(claim.pose[:2], width, height, angle=angle, fill=False, color=COLOURS['teal'])


def rounded(value: object) -> object:
    """Return a figure with as many digits as anybody reads."""
    return f'{value:.4g}' if isinstance(value, float) else value

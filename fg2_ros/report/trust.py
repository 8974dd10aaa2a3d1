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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from fg2_ros.evaluation.drives import figures as trust_figures
from fg2_ros.evaluation.drives.evaluate import Evaluation
from fg2_ros.evaluation.drives.results import DriveResult
from fg2_ros.report.charts import chart, COLOURS, Curve, CYCLE, line_chart
from fg2_ros.report.error_map import error_map
from fg2_ros.report.html_page import write_page
from fg2_ros.report.pose_pictures import belief_uri, frame_uri
from markupsafe import Markup
from matplotlib.axes import Axes
import numpy as np

ORIGINS = {'belief': trust_figures.tracked, '~/pose': trust_figures.measured,
           'each image alone': trust_figures.alone}
TALL = 300  # points
SIGMA_M, ERROR_M = (0.05, 10.0), (0.01, 100.0)  # what the chart of both shows
COMPARED = {  # figure: unit and digits after the point
    'published_after_3s': ('', 3), 'median_error_m': ('m', 2), 'p95_error_m': ('m', 2),
    'max_error_m': ('m', 2), 'median_yaw_error_deg': ('°', 2), 'wrong_published': ('', 4),
    'anees_track': ('', 2), 'anees_pose': ('', 2), 'coverage_90': ('', 3),
    'median_sigma_m': ('m', 2), 'right_within_5s': ('', 2), 'right_within_15s': ('', 2)}
BY_DRIVE = {
    'length_m': ('m', 0), 'frames': ('', 0), 'published_share': ('', 3),
    'median_error_m': ('m', 2), 'p95_error_m': ('m', 2), 'max_error_m': ('m', 2),
    'median_sigma_m': ('m', 2), 'wrong_published': ('', 4), 'anees_track': ('', 2),
    'time_to_right_pose_s': ('s', 1)}


@dataclass(frozen=True)
class PublishedPoses:
    """
    Poses of one origin: (N,) arrays over those that were published.

    :param name: what the legend calls them.
    :param frame_time_s: (M,) of all frames, published or not.
    :param time_s: since the first image of the drive.
    :param sigma_m: that was claimed, in the direction in which the position is known worst.
    :param nees: squared Mahalanobis distance of the true position, with 2 degrees of freedom.
    """

    name: str
    frame_time_s: np.ndarray
    time_s: np.ndarray
    error_m: np.ndarray
    sigma_m: np.ndarray
    nees: np.ndarray


def write_trust_report(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """
    Write figures, charts, maps and beliefs as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param evaluations: of the same drives with one network, or with several to be compared.
    """
    first = evaluations[0]
    if len(evaluations) == 1:
        origins = published_poses(first.drives, ORIGINS)
    else:
        origins = [poses for each in evaluations for poses in published_poses(
            each.drives, {each.name: trust_figures.tracked})]
    origins = [origin for origin in origins if len(origin.error_m)]
    write_page(
        path, 'trust.html', title='How far the poses can be trusted',
        subtitle=subtitle(first.figures), evaluations=[shown(each) for each in evaluations],
        charts=charts(origins) if origins else {}, compared=COMPARED, by_drive=BY_DRIVE)


def shown(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the page shows of one network."""
    return {
        'name': evaluation.name, 'figures': evaluation.figures,
        'moments': [(moment, belief_uri(moment)) for moment in evaluation.moments],
        'worst': [(frame, frame_uri(frame)) for frame in evaluation.worst],
        'maps': {drive.name: error_map(drive, evaluation.grounds[drive.name])
                 for drive in evaluation.drives if drive.name in evaluation.grounds},
        'plain_figures': plain_figures(evaluation.figures)}


def plain_figures(figures: dict) -> dict[str, tuple[object, object]]:
    """Return (own, of each image alone) under the names of figures; '' where there is none."""
    alone = figures['single_frame']
    alone = alone | {'anees_track': alone['anees']} if alone['published'] else {}
    return {name: (rounded(value), rounded(alone.get(name, '')))
            for name, value in figures.items() if not isinstance(value, dict)}


def subtitle(figures: dict) -> str:
    """Return in a line what was driven."""
    if 'data_sets' in figures:
        parts = [f'{figures["recorded_drives"]} recorded drives of '
                 f'{", ".join(figures["data_sets"])}', f'split: {figures["split"]}',
                 f'{figures["frames"]} images in {figures["drives"]} runs over '
                 f'{figures["length_m"] / 1000:.1f} km']
    else:
        count = figures['drives']
        parts = [f'{count} drive{"s" * (count > 1)} in {figures["difficulty"]} cities',
                 f'{figures["frames"]} images at {figures["rate_hz"]:g} Hz']
    parts.append(f'fault: {figures["fault"]}')
    if figures['prior_offset_m']:
        parts.append(f'fixes off by {figures["prior_offset_m"]:g} m')
    if not figures['has_heading']:
        parts.append('no heading')
    return ', '.join(parts)


def published_poses(drives: Sequence[DriveResult], origins: Mapping[str, trust_figures.Source]
                    ) -> list[PublishedPoses]:
    """Return the published poses of some origins, against the truth."""
    images = [image for drive in drives for image in drive.images]
    found = []
    for name, source in origins.items():
        results = trust_figures.results(images, source)
        found.append(PublishedPoses(
            name, np.array([image.time_s for image in images]),
            np.array([image.time_s for image in images if source(image) is not None]),
            np.array([result.position_error_m for result in results]),
            np.array([trust_figures.sigma_m(result.covariance) for result in results]),
            np.array([trust_figures.position_nees(result) for result in results])))
    return found


def charts(origins: Sequence[PublishedPoses]) -> dict[str, Markup]:
    """Return all charts by their titles."""
    return {
        'Ellipses that hold the truth': reliability(origins),
        'Error if only the surest poses are used': risk_against_coverage(origins),
        'Error against claimed sigma': error_against_sigma(origins),
        'Error over the drive': errors_over_time(origins),
        'Published over the drive': published_over_time(origins)}


def reliability(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of how many true positions the ellipses of a probability hold."""
    probability = np.linspace(0, 0.999, 200)
    limit = -2 * np.log1p(-probability)
    curves = [Curve('honest', 100 * probability, 100 * probability, 'soft')]
    for origin, colour in zip(origins, cycle(CYCLE)):
        held = np.searchsorted(np.sort(origin.nees), limit, 'right') / len(origin.nees)
        curves.append(Curve(origin.name, 100 * probability, 100 * held, colour))
    return line_chart('reliability', curves, 'true positions inside [%]',
                      'probability of the ellipse [%]')


def risk_against_coverage(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of the mean error over the share of frames with the smallest sigmas."""
    curves = []
    for origin, colour in zip(origins, cycle(CYCLE)):
        errors = origin.error_m[np.argsort(origin.sigma_m, kind='stable')]
        count = np.arange(1, len(errors) + 1)
        curves.append(Curve(origin.name, 100 * count / len(origin.frame_time_s),
                            np.cumsum(errors) / count, colour))
    return line_chart('risk against coverage', curves, 'mean position error [m]',
                      'frames used, the surest first [%]')


def error_against_sigma(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of every pose: what was claimed, and what it was."""
    def draw(axes: Axes) -> None:
        for origin, colour in reversed(list(zip(origins, cycle(CYCLE)))):
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
        for origin, colour in zip(origins, cycle(CYCLE))], '95th percentile [m]',
        'time since the first image [s]')


def published_over_time(origins: Sequence[PublishedPoses]) -> Markup:
    """Return a chart of how many images led to a pose, second by second of all drives."""
    curves = []
    for origin, colour in zip(origins, cycle(CYCLE)):
        frames, published = (
            np.bincount(seconds(time_s), minlength=seconds(origin.frame_time_s).max() + 1)
            for time_s in (origin.frame_time_s, origin.time_s))
        some = np.flatnonzero(frames)
        curves.append(Curve(origin.name, some, 100 * published[some] / frames[some], colour))
    return line_chart(
        'published over time', curves, 'published [%]', 'time since the first image [s]')


def seconds(time_s: np.ndarray) -> np.ndarray:
    """Return the whole seconds of times."""
    return np.floor(time_s + 1e-6).astype(int)


def by_second(origin: PublishedPoses, figure: Callable[[np.ndarray], float]
              ) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds up to the last pose, and a figure of the errors of each."""
    second = seconds(origin.time_s)
    each_second = np.arange(second.max() + 1)
    return each_second, np.array([
        figure(origin.error_m[second == each]) for each in each_second])


def rounded(value: object) -> object:
    """Return a figure with the digits that are significant."""
    return f'{value:.4g}' if isinstance(value, float) else value

"""Charts of how far poses can be trusted, as pictures for a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
import io

from fg2_ros.geometry.se2 import Pose2
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
import numpy as np

STYLE = {
    'svg.hashsalt': 'fg2', 'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False,
    'axes.grid': True, 'grid.color': '#e4e7ec', 'axes.edgecolor': '#98a2b3',
    'axes.axisbelow': True, 'legend.frameon': False}
COLOURS = ('#0e7c8b', '#f79009', '#6941c6')
GRID_COLOUR, TRUTH_COLOUR, LIMIT_COLOUR = '#98a2b3', '#ffffff', '#d92d20'
SIZE_IN = (5.4, 3.6)
ARROW_M = 6.0


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


@dataclass(frozen=True)
class Moment:
    """
    A belief on the aerial image.

    :param title: which drive and when.
    :param sentence: what was published, or why nothing was.
    :param picture: (h, w, 3) uint8 RGB, north up.
    :param extent_m: of picture and density: west, east, south, north in the map.
    :param density: (n, m) of places, rows growing north; any unit.
    :param truth: pose of base_link.
    :param published: pose and (3, 3) covariance; None if nothing was.
    """

    title: str
    sentence: str
    picture: np.ndarray
    extent_m: tuple[float, float, float, float]
    density: np.ndarray
    truth: Pose2
    published: tuple[Pose2, np.ndarray] | None = None


def reliability(origins: Sequence[PublishedPoses]) -> str:
    """Return a picture of how many true positions the ellipses of a probability hold."""
    def draw(axes: Axes) -> None:
        probability = np.linspace(0, 0.999, 200)
        limit = -2 * np.log1p(-probability)
        axes.plot([0, 100], [0, 100], color=GRID_COLOUR, linestyle='--', label='honest')
        for origin, colour in zip(origins, COLOURS):
            held = np.searchsorted(np.sort(origin.nees), limit, 'right') / len(origin.nees)
            axes.plot(100 * probability, 100 * held, color=colour, label=origin.name)
        axes.set(xlabel='probability of the ellipse [%]',
                 ylabel='ellipses that hold the truth [%]', xlim=(0, 100), ylim=(0, 101))
        axes.legend(loc='upper left')

    return chart(draw)


def risk_against_coverage(origins: Sequence[PublishedPoses]) -> str:
    """Return a picture of the error that remains when only the surest poses are used."""
    def draw(axes: Axes) -> None:
        for origin, colour in zip(origins, COLOURS):
            errors = origin.error_m[np.argsort(origin.sigma_m, kind='stable')]
            count = np.arange(1, len(errors) + 1)
            share = 100 * count / origin.frames
            axes.plot(share, np.cumsum(errors) / count, color=colour, label=origin.name)
            axes.plot(share, [np.percentile(errors[:k], 95) for k in count], color=colour,
                      linestyle=':')
        axes.set(xlabel='frames used, the surest first [%]', xlim=(0, 100),
                 ylabel='position error [m]', ylim=(0, None))
        axes.plot([], [], color=GRID_COLOUR, label='mean')
        axes.plot([], [], color=GRID_COLOUR, linestyle=':', label='95th percentile')
        axes.legend(loc='best', ncols=2)

    return chart(draw)


def error_against_sigma(origins: Sequence[PublishedPoses]) -> str:
    """Return a picture of every pose: what was claimed, and what it was."""
    def draw(axes: Axes) -> None:
        for origin, colour in reversed(list(zip(origins, COLOURS))):
            axes.plot(origin.sigma_m, np.maximum(origin.error_m, 0.01), '.', color=colour,
                      markersize=3, alpha=0.35, label=origin.name)
        sigma = np.geomspace(0.05, 10, 50)
        axes.plot(sigma, sigma, color=GRID_COLOUR, linestyle='--', label='1 sigma')
        axes.plot(sigma, 3 * sigma, color=LIMIT_COLOUR, linestyle='--', label='3 sigma')
        axes.set(xlabel='claimed sigma [m]', ylabel='position error [m]', xscale='log',
                 yscale='log', xlim=(0.05, 10), ylim=(0.01, 100))
        axes.legend(loc='upper left', ncols=2)

    return chart(draw)


def errors_over_time(origins: Sequence[PublishedPoses]) -> str:
    """Return a picture of the errors, second by second of all drives."""
    def draw(axes: Axes) -> None:
        for origin, colour in zip(origins, COLOURS):
            seconds, errors = by_second(origin)
            axes.plot(seconds, [np.median(each) for each in errors], color=colour,
                      label=origin.name)
            axes.plot(seconds, [np.percentile(each, 95) for each in errors], color=colour,
                      linestyle=':')
        axes.plot([], [], color=GRID_COLOUR, label='median')
        axes.plot([], [], color=GRID_COLOUR, linestyle=':', label='95th percentile')
        axes.set(xlabel='time since the first image [s]', ylabel='position error [m]',
                 yscale='log')
        axes.legend(loc='best', ncols=2)

    return chart(draw)


def published_over_time(origins: Sequence[PublishedPoses], images_a_second: float) -> str:
    """
    Return a picture of how many images led to a pose, second by second.

    :param images_a_second: of all drives together.
    """
    def draw(axes: Axes) -> None:
        for origin, colour in zip(origins, COLOURS):
            seconds, errors = by_second(origin)
            axes.plot(seconds, [100 * len(each) / images_a_second for each in errors],
                      color=colour, label=origin.name)
        axes.set(xlabel='time since the first image [s]', ylabel='published [%]', ylim=(0, 105))
        axes.legend(loc='lower right')

    return chart(draw)


def by_second(origin: PublishedPoses) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the seconds of the drives, and the errors of the poses of each."""
    second = np.floor(origin.time_s + 1e-6).astype(int)
    seconds = np.unique(second)
    return seconds, [origin.error_m[second == each] for each in seconds]


def belief_picture(moment: Moment) -> str:
    """Return a picture of a belief on the aerial image; white is the true pose."""
    def draw(axes: Axes) -> None:
        axes.grid(False)
        axes.imshow(moment.picture, extent=moment.extent_m)
        strength = moment.density / max(float(moment.density.max()), 1e-300)
        axes.imshow(np.ma.masked_less(strength, 1e-3), extent=moment.extent_m, origin='lower',
                    cmap='plasma', alpha=np.clip(3 * strength, 0, 0.75), vmin=0, vmax=1)
        draw_pose(axes, moment.truth, TRUTH_COLOUR)
        if moment.published:
            pose, covariance = moment.published
            draw_pose(axes, pose, COLOURS[0])
            axes.add_patch(ellipse_95(pose, covariance))
        axes.set(xlim=moment.extent_m[:2], ylim=moment.extent_m[2:],
                 xlabel='east [m]', ylabel='north [m]')

    return chart(draw, (4.2, 4.0), 'png')


def draw_pose(axes: Axes, pose: Pose2, colour: str) -> None:
    """Draw an arrow that begins where a vehicle is and points where it looks."""
    axes.annotate('', (pose.x + ARROW_M * np.cos(pose.yaw), pose.y + ARROW_M * np.sin(pose.yaw)),
                  (pose.x, pose.y), arrowprops={
                      'arrowstyle': '-|>', 'color': colour, 'linewidth': 1.6, 'shrinkA': 0,
                      'shrinkB': 0})


def ellipse_95(pose: Pose2, covariance: np.ndarray) -> Ellipse:
    """Return the ellipse that holds the position with 95 %."""
    values, vectors = np.linalg.eigh(covariance[:2, :2])
    width, height = 2 * np.sqrt(-2 * np.log(0.05) * values)
    angle = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
    return Ellipse(pose[:2], width, height, angle=angle, fill=False, color=COLOURS[0])


def chart(draw, size_in: tuple[float, float] = SIZE_IN, kind: str = 'svg') -> str:
    """
    Return a chart as a data URI.

    :param draw: puts everything onto the axes that it is given.
    """
    with rc_context(STYLE):
        figure = Figure(size_in, layout='constrained', dpi=110)
        draw(figure.subplots())
        data = io.BytesIO()
        figure.savefig(data, format=kind, metadata={'Date': None} if kind == 'svg' else None)
    mime = {'svg': 'image/svg+xml', 'png': 'image/png'}[kind]
    return f'data:{mime};base64,{base64.b64encode(data.getvalue()).decode()}'

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

"""Log-likelihoods of camera poses, from an image and the aerial imagery around them."""

from __future__ import annotations

import math
from typing import NamedTuple

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import grid_from_map, Pose2, rotation2, wrap_angle
from fg2_ros.imagery.patch import ImageryError, ImageryNotReady
from fg2_ros.localizer.matcher import AerialView, GroundView, Matcher
from fg2_ros.localizer.views import GivenImage
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow
from fg2_ros.tracker.inputs import Observation, SearchPlan
import numpy as np
from scipy.ndimage import map_coordinates
import torch
from torch import Tensor

HEADING_STEP_RAD = math.radians(4.5)  # images are turned to multiples of it
LIKELIHOODS_KEPT = 8  # for further grids on the same patch: a wide search has a thousand


class _Evaluated(NamedTuple):
    """
    Log-likelihoods that may still be computed on the device.

    :param values: (headings, norths, easts), in the axes of the patch.
    :param resemblance: (1,).
    :param turn_rad: of the patch's right against east.
    """

    values: Tensor
    resemblance: Tensor
    turn_rad: float


class Observer:
    """
    Evaluate the likelihood of poses given an image.

    :param matcher: compares images with aerial patches.
    """

    def __init__(self, matcher: Matcher):
        """Start with no image."""
        self._matcher = matcher

    @torch.inference_mode()
    def observe(self, image: GivenImage, frame: MapFrame, plan: SearchPlan,
                base_from_camera: Pose2) -> Observation:
        """
        Return the log-likelihoods of the poses that a plan asks for.

        :raises ImageryError: if there is no aerial imagery for any of them; where there is none
            for some, their volumes are None. ImageryNotReady while some is still being fetched:
            places with a likelihood would have an advantage over those that wait.
        """
        described = self._described(frame, plan)
        evaluated = self._evaluated(image, plan, described)
        # All grids are queued on the device before the host waits for the first.
        volumes = tuple(each and _volume(grid, each)
                        for grid, each in zip(plan.grids, evaluated))
        resemblances = tuple(float(_on_host(each.resemblance)[0]) if each else math.nan
                             for each in evaluated)
        shares = [aerial.valid_share for aerial in described if aerial is not None]
        return Observation(volumes, base_from_camera, float(np.mean(shares)), resemblances)

    def _evaluated(self, image: GivenImage, plan: SearchPlan,
                   described: list[AerialView | None]) -> list[_Evaluated | None]:
        """Return the log-likelihoods on each grid, of which neighbours share views and scores."""
        views: dict[float, GroundView] = {}
        likelihoods: dict[tuple[int, float], DenseLikelihood] = {}
        evaluated: list[_Evaluated | None] = []
        for grid, aerial in zip(plan.grids, described):
            if aerial is None:
                evaluated.append(None)
                continue
            yaw_rad = _rounded(grid.middle.yaw)
            if yaw_rad not in views:
                views[yaw_rad] = self._matcher.view(image, yaw_rad)
            key = id(aerial.descriptors), yaw_rad
            if key not in likelihoods:
                if len(likelihoods) == LIKELIHOODS_KEPT:
                    likelihoods.clear()
                likelihoods[key] = self._matcher.likelihood(aerial, views[yaw_rad])
            evaluated.append(
                self._evaluate(grid, likelihoods[key], aerial, views[yaw_rad]))
        return evaluated

    def _described(self, frame: MapFrame, plan: SearchPlan) -> list[AerialView | None]:
        """Return the aerial side of each grid; all are asked for before one is waited for."""
        described: list[AerialView | None] = []
        missing: list[ImageryError] = []
        for grid in plan.grids:
            middle = grid.middle
            try:
                described.append(self._matcher.aerial(
                    frame, middle._replace(yaw=_rounded(middle.yaw))))
            except ImageryError as error:
                described.append(None)
                missing.append(error)
        waiting = [error for error in missing if isinstance(error, ImageryNotReady)]
        if waiting or len(missing) == len(described):
            raise (waiting or missing)[0]
        return described

    def _evaluate(self, grid: PoseGrid, likelihood: DenseLikelihood, aerial: AerialView,
                  ground: GroundView) -> _Evaluated:
        turn_rad = wrap_angle(aerial.grid.yaw)
        right_up = np.subtract(grid.middle[:2], aerial.patch.centre_m) @ rotation2(turn_rad)
        cells = self._matcher.config.cell_m / grid.step_m
        places = grid.shape[1] // 2
        if turn_rad:  # the corners of the grid in the turned patch
            places = math.ceil(places * math.sqrt(2))
        away = [*grid_from_map(*right_up), wrap_angle(ground.view.heading_rad - grid.middle.yaw)]
        at = self._matcher.uploaded(np.array([away], np.float32))
        window = PoseWindow(
            at[:, :2], at[:, 2], places, grid.shape[0] // 2, _parts(cells), grid.step_rad)
        values = likelihood.evaluate(window)
        # Bearings grow clockwise and rows grow south.
        return _Evaluated(
            values[0].flip(0, 1), likelihood.resemblance(window, values), turn_rad)


def _on_host(values: Tensor) -> np.ndarray:
    """Copy values from the device, for which the host waits."""
    return values.cpu().numpy()


def _volume(grid: PoseGrid, evaluated: _Evaluated) -> PoseVolume:
    values = _on_host(evaluated.values)
    return PoseVolume(
        grid, _turned_back(values, evaluated.turn_rad, grid) if evaluated.turn_rad else values)


def _rounded(yaw_rad: float) -> float:
    """Return the yaw for which an image is turned and an aerial patch is described."""
    return wrap_angle(round(yaw_rad / HEADING_STEP_RAD) * HEADING_STEP_RAD)


def _parts(cells: float) -> int:
    """
    Return how many steps of a grid make a cell.

    :raises ValueError: if that is not a whole number.
    """
    parts = max(round(cells), 1)
    if abs(cells - parts) > 1e-3:
        raise ValueError(f'the steps of a grid must be whole parts of a cell, not 1/{cells:g}')
    return parts


def _turned_back(values: np.ndarray, turn_rad: float, grid: PoseGrid) -> np.ndarray:
    """
    Return values over the places of a grid, of which there are values in turned axes.

    :param values: (headings, ups, rights) around the same middle, in the same steps.
    """
    reach = grid.shape[1] // 2
    north, east = np.mgrid[-reach:reach + 1, -reach:reach + 1].astype(float)
    right, up = np.moveaxis(np.stack([east, north], -1) @ rotation2(turn_rad), -1, 0)
    middle = values.shape[1] // 2
    return np.stack([
        map_coordinates(layer, [up + middle, right + middle], order=1, mode='nearest')
        for layer in values]).astype(np.float32)

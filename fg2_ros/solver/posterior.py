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

"""
The pose likelihood of an image over many poses at once.

It is the likelihood that `fg2_ros.solver.refinement` climbs,

    sum_g w_g log( 1 + density_g(camera + R^T y_g) / floor ),

evaluated on regular grids of places and headings, with a constant left out, so that it is zero
where no ground cell finds its like. Under one heading the places of a grid that are whole cells
apart shift a ground cell's density by whole cells: a window of the density's logarithm serves them
all, with the same four weights of a bilinear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.settings import setting
from fg2_ros.solver.grid import BevGrid
import torch
from torch import Tensor
import torch.nn.functional as F


WINDOW_VALUES = 2 ** 20  # that are held at once


@dataclass(frozen=True)
class PosteriorSettings:
    """How the dense likelihood is evaluated."""

    heaviest: int = setting(
        300, 'Ground cells that are evaluated, those that matched best. Fewer are faster.',
        between=(10, 100000), read_only=True)
    bandwidth_cells: float = setting(
        0.7, 'Standard deviation of the kernel that smooths the matching probabilities.',
        unit='grid cells', between=(0.3, 4.0), read_only=True)
    window_cells: int = setting(
        3, 'Reach of the kernel each way.', unit='grid cells', between=(1, 8), read_only=True)
    floor: float = setting(
        0.005, 'Density of a wrong match: larger trusts only sharp matches near the pose.',
        unit='probability per grid cell', between=(1e-6, 1.0), read_only=True)


@dataclass(frozen=True)
class PoseWindow:
    """
    The poses at which B frames are evaluated, around one pose each.

    :param camera: (B, 2) (row, column) in metres from the patch centres.
    :param bearing: (B,) radians, of the camera against the patch's up.
    :param places: how many steps the places go each way, along rows and columns.
    :param headings: how many steps the bearings go each way.
    :param parts: steps of the places in a cell.
    :param step_rad: between neighbouring bearings.
    """

    camera: Tensor
    bearing: Tensor
    places: int
    headings: int
    parts: int
    step_rad: float

    def poses(self, cell_m: float) -> Tensor:
        """Return (B, headings, places, places, 3): row, column and bearing of the poses."""
        device = self.camera.device
        place = torch.arange(-self.places, self.places + 1, device=device) * (cell_m / self.parts)
        turn = torch.arange(-self.headings, self.headings + 1, device=device) * self.step_rad
        turn, row, column = torch.meshgrid(turn, place, place, indexing='ij')
        middle = torch.cat([self.camera, self.bearing[:, None]], -1)
        return torch.stack([row, column, turn], -1) + middle[:, None, None, None]


def smoothing_matrix(cells: int, settings: PosteriorSettings,
                     device: torch.device | str = 'cpu') -> Tensor:
    """Return the symmetric (n, n) matrix that smooths along an axis, a density per cell."""
    axis = torch.arange(cells, device=device, dtype=torch.float32)
    away = (axis[:, None] - axis).abs()
    kernel = torch.exp(-0.5 * (away / settings.bandwidth_cells).square())
    kernel = torch.where(away <= settings.window_cells, kernel, 0.0)
    return kernel / (math.sqrt(2 * math.pi) * settings.bandwidth_cells)


class DenseLikelihood:
    """
    The log-likelihood of poses under the matching scores of B frames.

    :param scores: (B, aerial cells, ground cells); -inf where a ground cell is not visible.
    :param probabilities: (B, aerial cells, ground cells), mutual.
    :param grid: where the cells lie.
    :param log_partition: (B, ground cells), the log-sum-exp of the scores, if it is known.
    """

    def __init__(self, scores: Tensor, probabilities: Tensor, grid: BevGrid,
                 settings: PosteriorSettings = PosteriorSettings(),
                 log_partition: Tensor | None = None):
        """Smooth the densities of the heaviest cells; all evaluations share them."""
        weight = probabilities.detach().sum(1).float()
        count = min(settings.heaviest, weight.shape[1])
        self._weight, heavy = weight.topk(count, dim=-1, sorted=False)
        self._grid = grid
        self._ground = grid.ground[heavy]  # (B, K, 2)
        partition = scores.logsumexp(1) if log_partition is None else log_partition
        self._partition, self._visible = partition.float(), weight > 0
        self._terms = self._log_density(scores, partition, heavy, settings)

    def evaluate(self, window: PoseWindow) -> Tensor:
        """
        Return (B, headings, places, places) log-likelihoods.

        Along each axis bearing, row and column grow.
        """
        parts = window.parts
        sides = [len(range(part, 2 * window.places + 1, parts)) for part in range(parts)]
        terms, margin = self._padded(window)
        at = self._cells(window) + margin
        volume = self._ground.new_empty(*at.shape[:2], *2 * (2 * window.places + 1,))
        for row, rows in enumerate(sides):
            for column, columns in enumerate(sides):
                first = at[..., 0] + row / parts, at[..., 1] + column / parts
                volume[:, :, row::parts, column::parts] = _windows(terms, first, (rows, columns))
        return volume

    def resemblance(self, window: PoseWindow, values: Tensor) -> Tensor:
        """
        Return (B,) how much of what is around the cameras finds its like anywhere in the patches.

        A density says where in a patch the likes of a cell are, if there are any. How many there
        are is the sum that makes it one: this is its logarithm, averaged over the cells that are
        seen and lie in the patch if the camera is where it is likeliest.

        :param values: of the window, from `evaluate`.
        """
        pose = window.poses(self._grid.cell_m).flatten(1, 3)
        best = values.flatten(1).argmax(1)
        camera, bearing = pose[torch.arange(len(pose), device=pose.device), best].split((2, 1), -1)
        predicted = self._grid.ground @ _rotations(bearing[:, 0]) + camera[:, None]
        inside = self._visible & (predicted.abs() <= self._grid.extent_m / 2).all(-1)
        found = torch.where(inside, self._partition, 0.0)  # hidden ones are minus infinity
        return found.sum(1) / inside.sum(1).clamp_min(1)

    def _log_density(self, scores: Tensor, partition: Tensor, heavy: Tensor,
                     settings: PosteriorSettings) -> Tensor:
        """Return (B, K, n, n) weighted logarithms of 1 + density / floor."""
        cells = self._grid.cells
        index = heavy[:, None].expand(-1, scores.shape[1], -1)
        # An invisible cell is all -inf; exp(-inf - -inf) must be 0 there.
        partition = partition.gather(1, heavy).clamp_min(-1e30)
        given_ground = (scores.gather(2, index).float() - partition[:, None]).exp_()
        density = given_ground.mT.contiguous().view(*heavy.shape, cells, cells)
        smooth = smoothing_matrix(cells, settings, scores.device)
        density = smooth @ density @ smooth
        return density.div_(settings.floor).log1p_() * self._weight[..., None, None]

    def _padded(self, window: PoseWindow) -> tuple[Tensor, int]:
        """Return the terms amid as many zeros as windows can reach, and how many on each side."""
        cells = self._grid.cells
        margin = math.ceil((math.sqrt(2) - 1) * cells / 2) + 2 * window.places // window.parts + 3
        return F.pad(self._terms, 4 * (margin,)), margin

    def _cells(self, window: PoseWindow) -> Tensor:
        """Return (B, headings, K, 2): aerial cells of ground cells at a window's first place."""
        step = torch.arange(
            -window.headings, window.headings + 1, device=self._ground.device)
        bearing = window.bearing[:, None] + step * window.step_rad
        predicted = self._ground[:, None] @ _rotations(bearing) + window.camera[:, None, None]
        first = (self._grid.cells - 1) / 2 - window.places / window.parts
        return predicted / self._grid.cell_m + first


def _windows(images: Tensor, first: tuple[Tensor, Tensor], shape: tuple[int, int]) -> Tensor:
    """
    Return the sums over K of a window in each image, interpolated bilinearly.

    :param images: (B, K, n, n).
    :param first: (B, H, K) rows and columns of the windows' first entries; windows stay inside the
        images.
    :return: (B, H, rows, columns).
    """
    size, (rows, columns) = images.shape[-1], shape
    row, column = (each.clamp(0, size - side - 1) for each, side in zip(first, shape))
    whole_row, whole_column = row.long(), column.long()
    down, right = row - whole_row, column - whole_column
    share = torch.stack([
        (1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], 2)
    image = torch.arange(images.shape[0] * images.shape[1], device=images.device)
    start = (image.view(-1, 1, images.shape[1]) * size + whole_row) * size + whole_column
    starts = images.numel() - rows * size - columns
    view = images.as_strided((starts, rows + 1, columns + 1), (1, size, 1))
    at_once = max(WINDOW_VALUES // (start[:, 0].numel() * (rows + 1) * (columns + 1)), 1)
    corner = torch.cat([  # a few headings at a time: all windows of a search would fill gigabytes
        part @ view[begin].flatten(3)
        for part, begin in zip(share.split(at_once, 1), start.split(at_once, 1))], 1)
    corner = corner.unflatten(-1, (rows + 1, columns + 1))
    return (corner[:, :, 0, :-1, :-1] + corner[:, :, 1, :-1, 1:]
            + corner[:, :, 2, 1:, :-1] + corner[:, :, 3, 1:, 1:])


def _rotations(bearing: Tensor) -> Tensor:
    """Return the (..., 2, 2) matrices that turn (row, column) points of a camera's ground grid."""
    c, s = torch.cos(bearing), torch.sin(bearing)
    return torch.stack([c, -s, s, c], -1).unflatten(-1, (2, 2))

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

"""RANSAC over drawn matches: all hypotheses of all draws and frames as one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fg2_ros.settings import setting
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import (
    Alignment, alignment_from_moments, determinant, weighted_procrustes)
from fg2_ros.solver.sampling import draw_pairs, Pairs
import torch
from torch import Tensor

MINIMAL_SET = 3  # two points determine a planar motion; the third makes bad sets show
FEATURES = 10  # of a match; see `_features`
SURVEYED = 512  # matches that suffice to tell the hopeless hypotheses
KEPT = 16  # one in so many hypotheses is then scored by all matches
SATURATED = 40.0  # its sigmoid is 1; from 87 on one is slow, for exp(-87) is a denormal number
ROUND_OFF = 1e-5  # of covariances that are differences of moments, generously


@dataclass(frozen=True)
class RansacSettings:
    """
    How many hypotheses are tried and what counts as an inlier.

    The defaults are the published ones (FG2's robust pose) with several finalists.
    """

    draws: int = setting(
        20, 'Independent draws of matches for each image.', between=(1, 100))
    samples: int = setting(
        8192, 'Matches in a draw.', between=(16, 65536))
    hypotheses: int = setting(
        100, 'Poses from three matches each that are tried in a draw.', between=(1, 10000))
    score_threshold_m: float = setting(
        5.0, 'Distance at which a match counts half for a pose.', unit='m', between=(0.1, 50.0))
    inlier_threshold_m: float = setting(
        2.5, 'Distance below which a match is an inlier.', unit='m', between=(0.1, 50.0))
    refinements: int = setting(
        4, 'At most so many fits of a pose to its inliers.', between=(0, 100))
    finalists: int = setting(
        16, 'So many of the best poses are fitted to their inliers before one is chosen; 1 is '
        'the published scheme.', between=(1, 1000))

    @classmethod
    def published(cls) -> RansacSettings:
        """Return the published settings."""
        return cls(finalists=1)

    @classmethod
    def real_time(cls) -> RansacSettings:
        """Return the settings for a frame in a few milliseconds and well-trained weights."""
        return cls(
            draws=1, samples=1024, hypotheses=512, score_threshold_m=2.0, inlier_threshold_m=2.0)


class PoseGate(NamedTuple):
    """
    Where a pose is looked for; hypotheses outside are not considered.

    :param camera: (B, 2) centre, (row, column) metres in the aerial grid.
    :param radius_m: (B,) distance from it.
    :param angle_rad: (B,) largest difference of the bearing from north.
    """

    camera: Tensor
    radius_m: Tensor
    angle_rad: Tensor

    def holds(self, alignment: Alignment) -> Tensor:
        """Return (B, ...) bool: which of (B, ...) motions lie inside."""
        extra = (1,) * (alignment.ok.dim() - 1)
        centre = self.camera.view(-1, *extra, 2)
        distance = torch.linalg.vector_norm(alignment.camera - centre, dim=-1)
        return ((distance <= self.radius_m.view(-1, *extra))
                & (alignment.bearing.abs() <= self.angle_rad.view(-1, *extra)))


class Consensus(NamedTuple):
    """
    What RANSAC agreed on for B frames.

    :param alignment: (B) motions; not ok where no hypothesis was valid.
    :param aerial: (B, N) aerial cells of the winning draw.
    :param ground: (B, N) ground cells of the winning draw.
    :param weight: (B, N) their probabilities.
    :param inlier: (B, N) bool.
    :param score: (B,) soft inlier count of the winning hypothesis.
    """

    alignment: Alignment
    aerial: Tensor
    ground: Tensor
    weight: Tensor
    inlier: Tensor
    score: Tensor


def solve(
        probabilities: Tensor, grid: BevGrid, settings: RansacSettings = RansacSettings(),
        gate: PoseGate | None = None, generator: torch.Generator | None = None) -> Consensus:
    """
    Return the motion most matches agree on, for each frame.

    Minimal sets are drawn by weight from matches which are themselves drawn by weight; each
    gives an unweighted Procrustes hypothesis, scored by its soft inlier count. The best ones are
    fitted to their inliers again, see `_refined`, and the one of the highest score then wins.
    Nothing waits for the device.

    :param probabilities: (B, aerial cells, ground cells).
    :param gate: where the pose may be; None for anywhere.
    :param generator: of the probabilities' device, for repeatable results.
    """
    pairs = draw_pairs(probabilities, settings.samples, settings.draws, generator)
    matches = _features(pairs, grid)
    hypotheses = _hypotheses(matches, pairs.weight, settings.hypotheses, generator)
    valid = hypotheses.ok if gate is None else hypotheses.ok & gate.holds(hypotheses)
    scores = _scores(hypotheses, valid, matches, settings).flatten(1)

    best_scores, best = scores.topk(min(settings.finalists, scores.shape[1]))
    rows = torch.arange(len(best), device=best.device)[:, None]
    draw = torch.div(best, settings.hypotheses, rounding_mode='floor')
    finalists = Alignment(*(value.flatten(1, 2)[rows, best] for value in hypotheses))
    finalists = finalists._replace(ok=finalists.ok & (best_scores > 0))
    finalists, inlier, score = _refined(finalists, matches[rows, draw], settings, gate)

    winner = score.argmax(-1)
    rows = rows[:, 0]
    draw = draw[rows, winner]
    aerial, ground, weight = (value[rows, draw] for value in pairs)
    return Consensus(
        alignment=finalists.take(winner), aerial=aerial, ground=ground, weight=weight,
        inlier=inlier[rows, winner], score=score[rows, winner])


def _features(pairs: Pairs, grid: BevGrid) -> Tensor:
    """
    Return (B, D, FEATURES, N) numbers of the matches x, y: all that motions need of them.

    They are |x|^2 + |y|^2, 1, x, x . y, x cross y, y, x_0 y_0 and x_0 y_1.
    """
    features = torch.empty(
        (*pairs.weight.shape[:2], FEATURES, pairs.weight.shape[2]), device=pairs.weight.device)
    square, one, down, right, dot, cross, y_down, y_right, first, second = features.unbind(2)
    for out, points, cells in (
            ((down, right), grid.aerial, pairs.aerial),
            ((y_down, y_right), grid.ground, pairs.ground)):
        for axis in range(2):
            out[axis].copy_(points[:, axis].contiguous().take(cells))
    torch.mul(down, y_down, out=first)
    torch.mul(down, y_right, out=second)
    torch.addcmul(first, right, y_right, out=dot)
    torch.addcmul(second, right, y_down, value=-1, out=cross)
    torch.mul(down, down, out=square)
    for value in (right, y_down, y_right):
        square.addcmul_(value, value)
    # Matches of weight 0 are padding: move them out of everyone's reach.
    square += torch.where(pairs.weight > 0, 0.0, 1e12)
    one.fill_(1)
    return features


def _hypotheses(
        matches: Tensor, weight: Tensor, count: int,
        generator: torch.Generator | None) -> Alignment:
    """Return (B, D, count) motions of minimal sets drawn from matches by (B, D, N) weights."""
    # A set that holds a match twice has rank 1 and is thereby discarded.
    total = weight.cumsum(-1)
    shape = (*weight.shape[:-1], count * MINIMAL_SET)
    uniform = torch.rand(shape, generator=generator, device=weight.device)
    chosen = torch.searchsorted(total, uniform * total[..., -1:], right=True)
    chosen = chosen.clamp_max(weight.shape[-1] - 1)
    aerial, ground = (
        torch.stack([matches[:, :, axis].gather(-1, chosen) for axis in axes], -1).unflatten(
            -2, (count, MINIMAL_SET)) for axes in ((2, 3), (6, 7)))
    return weighted_procrustes(aerial, ground, torch.ones_like(aerial[..., 0]))


def _motion(alignment: Alignment) -> Tensor:
    """
    Return (..., 8) numbers of motions whose products with features are squared residuals.

    ``|R x + t - y|^2`` is linear in eight numbers of the motion and eight of the match, so all
    distances are one matrix product. Centimetres are lost to float32: nothing at metre thresholds.
    """
    rotation, translation = alignment.rotation, alignment.translation
    return torch.cat([
        torch.ones_like(translation[..., :1]), translation.square().sum(-1, keepdim=True),
        -2 * alignment.camera, -2 * rotation[..., :, 0], -2 * translation], -1)


def _scores(
        hypotheses: Alignment, valid: Tensor, matches: Tensor, settings: RansacSettings) -> Tensor:
    """
    Return the (B, D, H) scores of (B, D, H) motions among their draw's matches, -1 if hopeless.

    Scores are soft inlier counts. Where that many matches are not needed to tell bad motions, a
    part of the matches selects those which all matches score.
    """
    motion = _motion(hypotheses)
    step, keep = matches.shape[-1] // SURVEYED, max(motion.shape[2] // KEPT, settings.finalists)
    if step < 4 or keep >= motion.shape[2]:
        return torch.where(valid, _soft_counts(motion, matches, settings), -1.0)
    first_look = _first_look(motion, matches[..., ::step].contiguous(), settings)
    kept = torch.where(valid, first_look, -torch.inf).topk(keep, sorted=False).indices
    motion = motion.gather(2, kept[..., None].expand(-1, -1, -1, motion.shape[-1]))
    counts = torch.where(valid.gather(2, kept), _soft_counts(motion, matches, settings), -1.0)
    return torch.full_like(first_look, -1).scatter(2, kept, counts)


def _first_look(motion: Tensor, matches: Tensor, settings: RansacSettings) -> Tensor:
    """
    Return (B, D, H) numbers that are in about the order of the soft inlier counts.

    A match counts as steeply at the threshold, but by the square of its distance, without a root.
    """
    motion = motion * (2.5 / settings.score_threshold_m ** 2)
    motion[..., 1] -= 2.5
    return -(motion @ matches[..., :8, :]).clamp_(max=SATURATED).sigmoid_().sum(-1)


def _soft_counts(motion: Tensor, matches: Tensor, settings: RansacSettings) -> Tensor:
    """Return the (B, D, H) soft inlier counts of (B, D, H, 8) motions, all in one product."""
    motion = motion * _steepness(settings) ** 2
    return _soft_inliers(motion @ matches[..., :8, :])


def _steepness(settings: RansacSettings) -> float:
    """Return the factor of distances that `_soft_inliers` wants."""
    return 5 / settings.score_threshold_m


def _soft_inliers(squares: Tensor) -> Tensor:
    """
    Return `procrustes.soft_inliers` of (..., N) squared distances, which are overwritten.

    :param squares: in units of 0.2 thresholds.
    """
    outliers = squares.clamp_(0, (5 + SATURATED) ** 2).sqrt_().sub_(5).sigmoid_()
    return squares.shape[-1] - outliers.sum(-1)


def _refined(
        start: Alignment, matches: Tensor, settings: RansacSettings,
        gate: PoseGate | None) -> tuple[Alignment, Tensor, Tensor]:
    """
    Fit (B, K) motions to their inliers among (B, K, FEATURES, N), again and again.

    As published, a single finalist is fitted while its inliers become more. Several are compared
    by their scores afterwards, which is fair between fits only: these are also taken, instead of
    motions of three matches each, while inliers just do not become fewer. A fit that leaves the
    gate is not taken.

    :return: the motions, their inliers (B, K, N) and their soft scores (B, K).
    """
    best, inlier = start, _inliers(start, matches, settings)
    moments, improving = _moments(matches, inlier), start.ok
    grown = torch.gt if settings.finalists == 1 else torch.ge
    for _ in range(settings.refinements):
        fitted = _fitted(moments)
        fitted_inlier = _inliers(fitted, matches, settings)
        fitted_moments = _moments(matches, fitted_inlier)
        improving = improving & fitted.ok & grown(fitted_moments[..., 1], moments[..., 1])
        improving = improving if gate is None else improving & gate.holds(fitted)
        best = fitted.where(improving, best)
        inlier = torch.where(improving[..., None], fitted_inlier, inlier)
        moments = torch.where(improving[..., None], fitted_moments, moments)
    score = _soft_inliers(_squares(best, matches) * _steepness(settings) ** 2)
    return best, (inlier > 0) & best.ok[..., None], torch.where(best.ok, score, -1.0)


def _squares(alignment: Alignment, matches: Tensor) -> Tensor:
    """Return the (B, K, N) squared residuals of one motion for each set of matches."""
    return (_motion(alignment)[..., None, :] @ matches[..., :8, :])[..., 0, :]


def _inliers(alignment: Alignment, matches: Tensor, settings: RansacSettings) -> Tensor:
    """Return 1 for each inlier and 0 for all others, (B, K, N)."""
    return _squares(alignment, matches).lt_(settings.inlier_threshold_m ** 2)


def _moments(matches: Tensor, inlier: Tensor) -> Tensor:
    """Return the (B, K, FEATURES) sums over the inliers (B, K, N)."""
    return torch.einsum('bkfn,bkn->bkf', matches, inlier)


def _fitted(moments: Tensor) -> Alignment:
    """Return the (B, K) motions of least squared residuals over inliers of known moments."""
    moments = moments / moments[..., 1:2].clamp_min(1)
    square, _, down, right, dot, cross, y_down, y_right, first, second = moments.unbind(-1)
    covariance = torch.stack([
        first - down * y_down, second - down * y_right,
        second - cross - right * y_down, dot - first - right * y_right], -1).unflatten(-1, (2, 2))
    fitted = alignment_from_moments(covariance, moments[..., 2:4], moments[..., 6:8])
    noise = ROUND_OFF * square * torch.linalg.matrix_norm(covariance)
    return fitted._replace(ok=fitted.ok & (determinant(covariance).abs() > noise))

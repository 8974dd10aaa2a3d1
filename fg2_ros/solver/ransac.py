"""RANSAC over drawn matches: all hypotheses of all draws and frames as one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fg2_ros.settings import setting
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import Alignment, residuals_m, soft_inliers, weighted_procrustes
from fg2_ros.solver.sampling import draw_pairs
import torch
from torch import Tensor

MINIMAL_SET = 3  # two points determine a planar motion; the third makes bad sets show


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
    fitted to their inliers again while these do not become fewer, and the one of the highest
    score then wins. Nothing waits for the device.

    :param probabilities: (B, aerial cells, ground cells).
    :param gate: where the pose may be; None for anywhere.
    :param generator: of the probabilities' device, for repeatable results.
    """
    pairs = draw_pairs(probabilities, settings.samples, settings.draws, generator)
    aerial, ground = grid.aerial[pairs.aerial], grid.ground[pairs.ground]

    hypotheses = _hypotheses(aerial, ground, pairs.weight, settings.hypotheses, generator)
    valid = hypotheses.ok if gate is None else hypotheses.ok & gate.holds(hypotheses)
    counted = pairs.weight > 0
    scores = _scores(hypotheses, aerial, ground, counted, settings.score_threshold_m)
    scores = torch.where(valid, scores, -1.0).flatten(1)

    best_scores, best = scores.topk(min(settings.finalists, scores.shape[1]))
    rows = torch.arange(len(best), device=best.device)[:, None]
    draw = torch.div(best, settings.hypotheses, rounding_mode='floor')
    finalists = Alignment(*(value.flatten(1, 2)[rows, best] for value in hypotheses))
    finalists = finalists._replace(ok=finalists.ok & (best_scores > 0))
    finalists, inlier, score = _refined(
        finalists, aerial[rows, draw], ground[rows, draw], counted[rows, draw], settings, gate)

    winner = score.argmax(-1)
    rows = rows[:, 0]
    draw = draw[rows, winner]
    return Consensus(
        finalists.take(winner), *(value[rows, draw] for value in pairs),
        inlier[rows, winner], score[rows, winner])


def _hypotheses(
        aerial: Tensor, ground: Tensor, weight: Tensor, count: int, generator) -> Alignment:
    """Return (B, D, count) motions of minimal sets drawn from (B, D, N) weighted matches."""
    # A set that holds a match twice has rank 1 and is thereby discarded.
    total = weight.cumsum(-1)
    shape = (*weight.shape[:-1], count * MINIMAL_SET)
    uniform = torch.rand(shape, generator=generator, device=weight.device)
    chosen = torch.searchsorted(total, uniform * total[..., -1:], right=True)
    chosen = chosen.clamp_max(weight.shape[-1] - 1)[..., None].expand(*shape, 2)
    sets = (
        points.gather(-2, chosen).unflatten(-2, (count, MINIMAL_SET))
        for points in (aerial, ground))
    return weighted_procrustes(*sets, torch.ones((), device=weight.device).expand(
        *weight.shape[:-1], count, MINIMAL_SET))


def _scores(
        hypotheses: Alignment, aerial: Tensor, ground: Tensor, counted: Tensor,
        threshold_m: float) -> Tensor:
    """
    Return the (B, D, H) soft inlier counts of (B, D, H) motions over (B, D, N) matches.

    ``|R x + t - y|^2`` is linear in eight numbers of the motion and eight of the match, so all
    distances are one matrix product. Centimetres are lost to float32: nothing at metre thresholds.
    """
    rotation, translation = hypotheses.rotation, hypotheses.translation
    motion = torch.cat([
        torch.ones_like(translation[..., :1]), translation.square().sum(-1, keepdim=True),
        -2 * hypotheses.camera, -2 * rotation[..., :, 0], -2 * translation], -1)
    match = torch.cat([
        (aerial.square() + ground.square()).sum(-1, keepdim=True),
        torch.ones_like(aerial[..., :1]), aerial,
        (aerial * ground).sum(-1, keepdim=True),
        aerial[..., :1] * ground[..., 1:] - aerial[..., 1:] * ground[..., :1], ground], -1)
    # Matches of weight 0 are padding: move them out of everyone's reach.
    match[..., 0] += torch.where(counted, 0.0, 1e12)
    scores = [
        _soft_inliers_of_squares(one @ other.mT, threshold_m)  # a draw at a time fits the cache
        for one, other in zip(motion.flatten(0, 1), match.flatten(0, 1))]
    return torch.stack(scores).view(translation.shape[:-1])


def _soft_inliers_of_squares(square: Tensor, threshold_m: float) -> Tensor:
    """Return `soft_inliers` of squared distances, which are overwritten."""
    distance = square.clamp_(min=0).sqrt_()
    return distance.mul_(-5 / threshold_m).add_(5).sigmoid_().sum(-1)


def _refined(
        start: Alignment, aerial: Tensor, ground: Tensor, counted: Tensor,
        settings: RansacSettings, gate: PoseGate | None) -> tuple[Alignment, Tensor, Tensor]:
    """
    Fit (B, K) motions to their inliers among (B, K, N) matches while these are not fewer.

    A fit that leaves the gate is not taken.

    :return: the motions, their inliers (B, K, N) and their soft scores (B, K).
    """
    best, distance = start, residuals_m(start, aerial, ground)
    inlier = (distance < settings.inlier_threshold_m) & counted
    improving = start.ok
    for _ in range(settings.refinements):
        fitted = weighted_procrustes(aerial, ground, inlier.to(aerial.dtype))
        fitted_distance = residuals_m(fitted, aerial, ground)
        fitted_inlier = (fitted_distance < settings.inlier_threshold_m) & counted
        improving = improving & fitted.ok & (fitted_inlier.sum(-1) >= inlier.sum(-1))
        improving = improving if gate is None else improving & gate.holds(fitted)
        best = fitted.where(improving, best)
        inlier = torch.where(improving[..., None], fitted_inlier, inlier)
        distance = torch.where(improving[..., None], fitted_distance, distance)
    distance = torch.where(counted, distance, torch.inf)
    score = soft_inliers(distance, settings.score_threshold_m)
    return best, inlier & best.ok[..., None], torch.where(best.ok, score, -1.0)

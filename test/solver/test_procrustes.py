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

"""Planar Procrustes: parity with the reference outputs, and what alignments mean."""

from test.helpers.paths import REFERENCE

from fg2_ros.geometry.se2 import map_pose_from_solution, Pose2, solution_from_map_pose
from fg2_ros.solver.procrustes import (
    alignment_from_camera, residuals_m, soft_inliers, weighted_procrustes)
import numpy as np
import pytest
import torch


@pytest.fixture(scope='module')
def reference():
    """Return the stored arrays as tensors."""
    with np.load(REFERENCE / 'procrustes.npz') as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.parametrize('kind', ['weighted', 'unweighted'])
def test_parity_mirrored_set_included(reference, kind):
    """All six sets as one batch; the mirrored one still gives a rotation."""
    weights = reference['w'] if kind == 'weighted' else torch.ones_like(reference['w'])
    found = weighted_procrustes(reference['X'], reference['Y'], weights)
    torch.testing.assert_close(found.rotation, reference[f'R_{kind}'], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.translation, reference[f't_{kind}'][:, 0], atol=1e-5, rtol=1e-5)
    assert found.ok.all()
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.ones(6))


def test_parity_of_inlier_counts(reference):
    """Soft count at 5 m, hard mask at 2.5 m, of the weighted alignments."""
    found = weighted_procrustes(reference['X'], reference['Y'], reference['w'])
    distance = residuals_m(found, reference['X'], reference['Y'])
    torch.testing.assert_close(
        soft_inliers(distance, 5.0)[:, None], reference['soft_inliers_th5'], atol=1e-4, rtol=1e-5)
    assert torch.equal(distance < 2.5, reference['inliers_th2p5'].bool())


def test_degenerate_points_determine_nothing():
    """A line, one spot, a repeated pair and weightless points are not ok; a triangle is."""
    line = torch.linspace(-30, 30, 8)[:, None] * torch.tensor([0.6, 0.8]) + 7
    points = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)) * 20
    cases = [
        (line, points, torch.ones(8)), (points, line, torch.ones(8)),
        (points[:1].expand(8, 2), points, torch.ones(8)), (points, points, torch.zeros(8)),
        (points, points, torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0])),
        (points, points, torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 0]))]
    found = weighted_procrustes(*(torch.stack(values) for values in zip(*cases)))
    assert found.ok.tolist() == [False] * 5 + [True]
    assert torch.isfinite(found.rotation).all() and torch.isfinite(found.translation).all()


def test_agrees_with_svd_on_random_weighted_sets():
    """The closed form is Kabsch's answer, in float64 to round-off."""
    generator = torch.Generator().manual_seed(3)
    aerial, ground = torch.randn(2, 50, 12, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(50, 12, generator=generator, dtype=torch.float64)
    found = weighted_procrustes(aerial, ground, weights)
    share = (weights / weights.sum(-1, keepdim=True))[..., None]
    x, y = aerial - (share * aerial).sum(1, True), ground - (share * ground).sum(1, True)
    u, _, vh = torch.linalg.svd((share * x).mT @ y)
    flip = torch.diag_embed(torch.stack([torch.ones(50), torch.linalg.det(u @ vh)], -1))
    rotation = vh.mT @ flip.double() @ u.mT
    torch.testing.assert_close(found.rotation, rotation, atol=1e-9, rtol=0)


def test_is_differentiable():
    """Training takes the gradient of the pose by the weights."""
    generator = torch.Generator().manual_seed(1)
    aerial, ground = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda w: weighted_procrustes(aerial, ground, w)[:2], weights)


def test_alignments_speak_the_package_s_conventions():
    """Camera and bearing are those of geometry's solution; the round trip is exact."""
    pose = Pose2(4.0, -7.0, 2.5)  # east, north, yaw
    rotation, translation = solution_from_map_pose(pose)
    camera = torch.tensor([[7.0, 4.0]], dtype=torch.float64)
    made = alignment_from_camera(camera, torch.tensor([np.pi / 2 - 2.5], dtype=torch.float64))
    np.testing.assert_allclose(made.rotation[0], rotation, atol=1e-12)
    np.testing.assert_allclose(made.translation[0], translation, atol=1e-12)
    np.testing.assert_allclose(made.camera, camera, atol=1e-12)
    assert map_pose_from_solution(*(v[0].numpy() for v in made[:2])) == pytest.approx(pose)

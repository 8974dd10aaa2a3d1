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

"""The covariance's factor is found from errors whose true spread is known."""

from test.helpers.tiny_run import make_trainer, NoiseDataset

from fg2_ros.geometry.se2 import map_pose_from_solution, Pose2, solution_from_map_pose
from fg2_ros.solver.covariance import FLOOR_M, FLOOR_RAD
from fg2_ros.training.panorama.calibration import calibrated_scale, errors_of, honest_scale
from fg2_ros.training.panorama.samples import Sample
import numpy as np
import pytest
import torch
from torch.utils.data import Subset

FLOOR = np.diag([FLOOR_M, FLOOR_M, FLOOR_RAD]) ** 2


@pytest.mark.parametrize('factor', [0.3, 1.0, 60.0])
def test_factor_of_known_errors_is_found(factor):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4000, 3, 3)) * [[[1.0], [1.0], [0.02]]]
    claimed = mixing @ mixing.transpose(0, 2, 1) + np.diag([0.2, 0.2, 0.001])
    errors = np.stack([
        rng.multivariate_normal(np.zeros(3), one * factor + FLOOR) for one in claimed])
    assert honest_scale(errors, claimed + FLOOR) == pytest.approx(factor, rel=0.1)


def test_no_frames_leave_the_covariance_as_it_is():
    assert honest_scale(np.zeros((0, 3)), np.zeros((0, 3, 3))) == 1.0


def test_errors_are_east_north_and_yaw():
    true, found = Pose2(1.0, 2.0, 1.5), Pose2(1.3, 1.6, 1.6)
    poses = [
        [torch.tensor(value, dtype=torch.float32)[None] for value in solution_from_map_pose(pose)]
        for pose in (true, found)]
    sample = Sample(None, None, *poses[0], None)

    class Solved:
        rotation, translation = poses[1]
        ok = torch.tensor([True])

    back = map_pose_from_solution(*(value[0].numpy() for value in poses[1]))
    assert back == pytest.approx(found, abs=1e-5)
    assert errors_of(Solved, sample)[0].tolist() == pytest.approx([0.3, -0.4, 0.1], abs=1e-5)


def test_network_that_knows_nothing_gets_some_finite_factor(tmp_path):
    network = make_trainer(tmp_path).average
    scale = calibrated_scale(network, Subset(NoiseDataset(), range(4)))
    assert 0 < scale <= 1e4

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

"""Poses of planted matches: in the right place for every camera, roll, batch and seed."""

from test.helpers import mini_data, tiny_network
from test.helpers.synthetic_network import PlantedNetwork

from fg2_ros.datasets.frames import rolled
from fg2_ros.datasets.kitti import KittiDataset
from fg2_ros.datasets.vigor import VigorDataset
from fg2_ros.evaluation.vigor_kitti.results import CrossViewResult
from fg2_ros.evaluation.vigor_kitti.solver import CrossViewSolver, match_picture, seed_of
import numpy as np
import pytest

YAWS_DEG = (0.0, 130.0, -75.0, 180.0)


@pytest.fixture(scope='module')
def frames():
    """Return frames of both data sets at the tiny networks' sizes, panoramas rolled."""
    vigor = VigorDataset(mini_data.VIGOR, 'samearea', 'test', tiny_network.CONFIGS['vigor'])
    kitti = KittiDataset(mini_data.KITTI, 'test1', tiny_network.CONFIGS['kitti'])
    return {'vigor': [rolled(frame, yaw) for frame, yaw in zip(vigor, YAWS_DEG)],
            'kitti': list(kitti)}


@pytest.mark.parametrize('how', ['procrustes', 'ransac', 'posterior'])
@pytest.mark.parametrize('data_set', ['vigor', 'kitti'])
def test_planted_poses_are_found(frames, data_set, how):
    solver = CrossViewSolver(PlantedNetwork(data_set, frames[data_set]), how)
    for frame, solved in zip(frames[data_set], solver.solve(frames[data_set])):
        result = CrossViewResult.of(0, frame, solved.pose)
        within_m = solver.config.cell_m
        assert result.error_m < within_m and result.camera_error_m < within_m
        assert result.yaw_error_deg < 3
        assert solved.pose.inlier_ratio == solved.inlier.mean() > 0
        assert np.linalg.eigvalsh(np.array(solved.pose.covariance)).min() > 0


def test_matches_connect_what_belongs_together(frames):
    """A match's ground pixel looks from the camera towards its aerial pixel."""
    solver = CrossViewSolver(PlantedNetwork('vigor', frames['vigor']), 'procrustes')
    config = solver.config
    for frame, solved in zip(frames['vigor'], solver.solve(frames['vigor'])):
        grid_m = (solved.aerial_px - config.aerial_image_hw[1] / 2) * config.aerial_resolution_m
        offset_m = grid_m[:, ::-1] - frame.camera_m
        far = np.hypot(*offset_m.T) > 15
        bearing = np.arctan2(offset_m[:, 1], -offset_m[:, 0])
        seen = (solved.ground_px[:, 0] / frame.ground.shape[1] - 0.5) * 2 * np.pi
        wrong = np.angle(np.exp(1j * (bearing - seen - np.radians(-frame.yaw_deg))))
        assert far.sum() > 100
        assert np.degrees(np.median(np.abs(wrong[far]))) < 8


def test_matches_of_a_pinhole_camera_are_inside_its_image_or_nowhere(frames):
    solver = CrossViewSolver(PlantedNetwork('kitti', frames['kitti']), 'procrustes')
    for frame, solved in zip(frames['kitti'], solver.solve(frames['kitti'])):
        seen = np.isfinite(solved.ground_px).all(-1)
        height, width = frame.ground.shape[:2]
        assert 0 < seen.sum() < len(seen)
        assert (solved.ground_px[seen] >= 0).all()
        assert (solved.ground_px[seen] <= [width, height]).all()


@pytest.mark.parametrize('how', ['procrustes', 'ransac'])
def test_draws_depend_on_the_frame_s_name_only(frames, how):
    network = PlantedNetwork('vigor', frames['vigor'])
    solver = CrossViewSolver(network, how)
    together = [solved.pose for solved in solver.solve(frames['vigor'])]
    alone = [solver.solve([frame])[0].pose for frame in frames['vigor'][::-1]][::-1]
    assert together == alone
    other = CrossViewSolver(network, how, seed=1).solve(frames['vigor'])
    assert [solved.pose for solved in other] != together


def test_the_posterior_does_not_depend_on_batch_or_seed(frames):
    network = PlantedNetwork('vigor', frames['vigor'])
    solver = CrossViewSolver(network, 'posterior')
    together = [solved.pose for solved in solver.solve(frames['vigor'])]
    for frame, pose in zip(frames['vigor'], together):
        other, = CrossViewSolver(network, 'posterior', seed=1).solve([frame])
        assert np.allclose(other.pose.camera, pose.camera, atol=1e-4)
        assert np.allclose(other.pose.covariance, pose.covariance, rtol=1e-3)


def test_matches_on_one_spot_give_no_pose(frames):
    blind = frames['vigor'][1]
    solver = CrossViewSolver(PlantedNetwork('vigor', frames['vigor'], {blind.name}), 'ransac')
    poses = [solved.pose for solved in solver.solve(frames['vigor'])]
    assert [pose is None for pose in poses] == [False, True, False, False]


def test_the_real_network_takes_batches(frames):
    for data_set, several in frames.items():
        solver = CrossViewSolver(tiny_network.network(data_set), 'procrustes')
        for frame, solved in zip(several, solver.solve(several)):
            alone, = solver.solve([frame])
            assert alone.weight.mean() == pytest.approx(solved.weight.mean(), rel=1e-2)
            assert len(solved.ground_px) == len(solved.aerial_px) == len(solved.inlier)


def test_a_picture_shows_true_pose_and_estimate(frames):
    solver = CrossViewSolver(PlantedNetwork('vigor', frames['vigor']), 'ransac')
    frame = frames['vigor'][0]
    solved, = solver.solve([frame])
    picture = match_picture(frame, solved, solver.config, 'caption')
    assert picture.shape == (512, 1536, 3) and picture.dtype == np.uint8
    row_m, column_m = frame.camera_m
    row, column = (round(256 + metres / 71 * 512) for metres in (row_m, column_m))
    around = picture[row - 12:row + 12, 1024 + column - 12:1024 + column + 12].reshape(-1, 3)
    assert (np.abs(around.astype(int) - (255, 220, 0)).max(-1) < 30).any()


def test_seeds_of_frames_differ():
    seeds = {seed_of(seed, name) for seed in (0, 1) for name in ('a', 'b')}
    assert len(seeds) == 4 and max(seeds) < 2 ** 32

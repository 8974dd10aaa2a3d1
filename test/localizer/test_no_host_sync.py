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
Nothing between the upload of an image and its pose makes the host wait for a GPU.

The GPU's way is run on a CPU, where every operation that would have to know a value on the host,
or that would upload one, is an error.
"""

from dataclasses import replace
import math
from test.helpers.truthful_network import FRAME, orthophoto

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.localizer import LocalizerSettings, observer
from fg2_ros.localizer.matcher import Matcher, SearchRegion, Stopwatch
from fg2_ros.localizer.observer import Observer
from fg2_ros.localizer.views import GivenImage
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.attention import DeformableAttention
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.solver import sampling
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import Solution, solve_pose
from fg2_ros.solver.ransac import PoseGate, RansacSettings
from fg2_ros.tracker.inputs import SearchPlan
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

SMALL = {
    'grid_cells': 11, 'iterations': 2, 'ffn_of_iteration': (1, 2), 'height_count': 3,
    'feedforward_channels': 32, 'ground_image_hw': (56, 112), 'aerial_image_hw': (56, 56)}
CONFIGS = {
    'sim': replace(FG2Config.preset('sim'), **SMALL | {
        'ground_image_hw': (64, 128), 'aerial_image_hw': (64, 64)}),
    'vigor': replace(
        FG2Config.preset('vigor'), backbone='dinov2_vits14', channels=384, **SMALL),
    'kitti': replace(
        FG2Config.preset('kitti'), backbone='dinov2_vits14', channels=384, **SMALL)}
SETTINGS = {
    'real time': replace(RansacSettings.real_time(), samples=256),
    'published': RansacSettings(samples=4096, finalists=1)}


# Operations whose result, or the shape of whose result, the host has to wait for.
WAITING = {
    'aten::_local_scalar_dense', 'aten::_linalg_check_errors', 'aten::_unique2', 'aten::bincount',
    'aten::equal', 'aten::is_nonzero', 'aten::masked_select', 'aten::nonzero',
    'aten::repeat_interleave'}
# Python functions that make a tensor of values on the host, which is an upload, or the reverse.
COPYING = {
    torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.new_tensor, torch.Tensor.cpu,
    torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.item}


class NoWaiting(TorchDispatchMode):
    """Raise at operations that wait for values."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().partition('.')[0]
        by_mask = name in ('aten::index', 'aten::index_put_', 'aten::_unsafe_index') and any(
            index is not None and index.dtype == torch.bool for index in args[1])
        if name in WAITING or by_mask:
            raise AssertionError(f'{function.name()} makes the host wait')
        return function(*args, **(kwargs or {}))


class NoCopying(TorchFunctionMode):
    """Raise at functions that copy between host and device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in COPYING:
            raise AssertionError(f'{function} copies between host and device')
        return function(*args, **(kwargs or {}))


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Take the ways that a GPU takes."""
    monkeypatch.setattr(DeformableAttention, 'sparse', False)
    monkeypatch.setattr(sampling, '_is_on_cpu', lambda tensor: False)


@pytest.mark.usefixtures('as_on_a_gpu')
@pytest.mark.parametrize('settings', SETTINGS)
@pytest.mark.parametrize('preset', CONFIGS)
def test_from_images_to_the_solution(preset, settings):
    torch.manual_seed(0)
    config = CONFIGS[preset]
    network, grid = optimise_for_inference(FG2Network(config)), BevGrid.of(config)
    image, patch = (
        torch.rand(1, 3, *hw) for hw in (config.ground_image_hw, config.aerial_image_hw))
    camera_k = torch.eye(3)[None] * 50 if preset == 'kitti' else None
    gate = PoseGate(torch.zeros(1, 2), torch.full((1,), 50.0), torch.full((1,), 4.0))
    network(image, patch, camera_k)  # what is made once only
    with torch.no_grad(), NoCopying(), NoWaiting():
        matching = network(image, patch, camera_k)
        solution = solve_pose(
            matching.scores, matching.probabilities, grid, SETTINGS[settings], gate=gate)
    assert solution.covariance.isfinite().all()
    assert solution.weight.shape == (1, SETTINGS[settings].samples)


class Arrived(Exception):
    """The pose is on its way to the host."""


@pytest.fixture
def uploads(monkeypatch):
    """Let the matcher upload, return what it does, and stop where it takes the pose home."""
    made, upload = [], Matcher.uploaded

    def noting(matcher, values):
        made.append(values.shape)
        with torch._C.DisableTorchFunction():
            return upload(matcher, values)

    def arriving(values):
        raise Arrived
    monkeypatch.setattr(Matcher, 'uploaded', noting)
    monkeypatch.setattr(Solution, 'cpu', arriving)
    monkeypatch.setattr(observer, '_on_host', arriving)
    return made


@pytest.mark.usefixtures('as_on_a_gpu')
@pytest.mark.parametrize('camera', ['panorama', 'pinhole'])
@torch.no_grad()
def test_the_matcher_uploads_only_and_waits_for_the_pose(camera, uploads):
    """Patch, image, intrinsics if there are any, and gate; of a patch already there, no patch."""
    config = replace(CONFIGS['sim'], camera=camera)
    matcher = Matcher(
        optimise_for_inference(FG2Network(config)), orthophoto(),
        LocalizerSettings())
    image = np.zeros((*config.ground_image_hw, 3), np.uint8)
    camera_k = np.array([[50.0, 0, 64], [0, 50.0, 32], [0, 0, 1]])
    patch, limits = (*config.aerial_image_hw, 3), (1, 4)
    each = [image.shape, (3, 3), limits] if camera == 'pinhole' else [image.shape, limits]
    for east_m, expected in ((0.0, [patch, *each]), (0.5, each), (9.0, [patch, *each])):
        uploads.clear()
        guess = SearchRegion(Pose2(east_m, 0.0, 1.0), 5.0, 0.3)
        with NoCopying(), NoWaiting(), pytest.raises(Arrived):
            matcher.find(
                GivenImage(image, camera_k), FRAME, guess, Stopwatch())
        assert uploads == expected


@pytest.mark.usefixtures('as_on_a_gpu')
@torch.no_grad()
def test_the_observer_waits_for_nothing_before_all_grids_are_queued(uploads):
    """Two headings, a fine and a wide grid at each: a patch, two rolled images, four windows."""
    config = CONFIGS['sim']
    watching = Observer(Matcher(
        optimise_for_inference(FG2Network(config)), orthophoto(), LocalizerSettings()))
    image = np.zeros((*config.ground_image_hw, 3), np.uint8)
    seen = np.ones(config.ground_image_hw, bool)
    grids = tuple(
        PoseGrid(Pose2(1.0, 2.0, yaw), config.cell_m / parts, 0.05, (3, 5, 5))
        for yaw in (0.3, 0.3 + math.pi) for parts in (2, 1))
    with NoCopying(), NoWaiting(), pytest.raises(Arrived):
        watching.observe(
            GivenImage(image, None, seen), FRAME, SearchPlan(grids), Pose2(0.0, 0.0, 0.0))
    heading = [image.shape, seen.shape, (1, 3), (1, 3)]
    assert uploads == [(*config.aerial_image_hw, 3), *heading, *heading]


@pytest.mark.parametrize('wait', [
    lambda x: x.sum().item(), lambda x: bool(x[0] > 0), lambda x: x.nonzero(), lambda x: x[x > 0],
    lambda x: x.new_tensor([1.0]), lambda x: x.cpu(), lambda x: float(x[0]), lambda x: x.tolist(),
    lambda x: torch.tensor([1.0]), lambda x: torch.linalg.inv(x.diag())])
def test_what_would_make_the_host_wait_is_noticed(wait):
    x = torch.ones(3)
    with NoCopying(), NoWaiting(), pytest.raises(AssertionError):
        wait(x)

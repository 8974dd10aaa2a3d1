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

"""Speed of the package relative to the naive implementation, both timed in one run."""

from __future__ import annotations

from dataclasses import dataclass, replace
import time
from typing import Callable

from fg2_ros.bench import naive
from fg2_ros.bench.synthetic import synthetic_scores
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.dinov2 import Attention, PATCH_PX, SIZES
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.matching import dual_softmax
from fg2_ros.solver import ransac
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.ransac import RansacSettings
import torch
from torch import Tensor


@dataclass(frozen=True)
class Comparison:
    """
    Best times of two ways to the same result.

    :param difference: between the results, in the unit that the comparison says.
    """

    fast_ms: float
    naive_ms: float
    difference: float

    @property
    def ratio(self) -> float:
        """How many times as fast."""
        return self.naive_ms / self.fast_ms


@torch.inference_mode()
def compare_head(
        config: FG2Config, device: torch.device, dtype: torch.dtype, runs: int = 2) -> Comparison:
    """
    Compare the heads of a network with random weights; they differ by so much in their scores.

    :param runs: of the naive one; the other runs twice as often.
    """
    torch.manual_seed(0)
    with torch.inference_mode(False):
        network = optimise_for_inference(headed(config)).to(device, dtype)
    ground, aerial = (
        random_tokens(config, hw, device, dtype)
        for hw in (config.ground_image_hw, config.aerial_image_hw))
    camera_k = None
    if config.camera == 'pinhole':
        camera_k = torch.tensor([[[700.0, 0, 600], [0, 700.0, 180], [0, 0, 1]]], device=device)
    return compare(
        lambda: network.head(ground, aerial, camera_k).scores,
        lambda: naive.head(network, ground, aerial, camera_k).scores,
        score_difference, device, runs)


def score_difference(found: Tensor, expected: Tensor) -> Tensor:
    """Return the largest difference; where both are -inf (of cells that are not visible) none."""
    invisible = found.isneginf() & expected.isneginf()
    return (found - expected).abs().masked_fill(invisible, 0).max()


def headed(config: FG2Config) -> FG2Network:
    """Return a network whose attention looks around as trained ones do; its backbone is small."""
    network = FG2Network(replace(config, backbone='cnn'))
    for name, parameter in network.named_parameters():
        if name.endswith('sampling_offsets.bias'):
            torch.nn.init.normal_(parameter, std=2.0)
    return network


def random_tokens(
        config: FG2Config, image_hw: tuple[int, int], device: torch.device,
        dtype: torch.dtype) -> Tensor:
    """Return (1, C, h, w) tokens of an image of a size, in memory as a transformer leaves them."""
    rows, columns = (side // PATCH_PX for side in image_hw)
    tokens = torch.randn(1, rows, columns, config.channels, device=device, dtype=dtype)
    return tokens.permute(0, 3, 1, 2)


@torch.inference_mode()
def compare_attention(
        config: FG2Config, device: torch.device, dtype: torch.dtype, runs: int = 2) -> Comparison:
    """
    Compare self-attentions of the backbone's size to a ground image; they differ by so much.

    The naive one holds the weights of all pairs of tokens twice: 4 GB at full size.
    """
    torch.manual_seed(0)
    channels, _ = SIZES[config.backbone]
    attention = Attention(channels).to(device, dtype)
    x = torch.randn(
        1, token_count(config.ground_image_hw), channels, device=device, dtype=dtype)
    return compare(
        lambda: attention(x), lambda: naive.self_attention(attention, x),
        lambda found, expected: (found - expected).abs().max(), device, runs)


def token_count(image_hw: tuple[int, int]) -> int:
    """Return the patches of an image and the class token."""
    return (image_hw[0] // PATCH_PX) * (image_hw[1] // PATCH_PX) + 1


@torch.inference_mode()
def compare_ransac(
        config: FG2Config, device: torch.device, outliers: float = 0.5,
        settings: RansacSettings = RansacSettings.published(), runs: int = 2) -> Comparison:
    """
    Compare robust poses of matches with a planted pose; they differ by so many metres.

    On one thread: a loop over small steps gains nothing from more.
    """
    grid, generator = BevGrid.of(config), torch.Generator().manual_seed(0)
    camera, bearing = torch.tensor([3.0, -4.0]), torch.tensor(0.2)
    scores = synthetic_scores(grid, camera, bearing, outliers, generator)
    probabilities = dual_softmax(scores, torch.tensor(1.0))[0].to(device)
    grid = BevGrid.of(config, device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compare(
            lambda: ransac.solve(probabilities, grid, settings).alignment.camera[0],
            lambda: naive.ransac(probabilities[0], grid, settings).camera,
            lambda found, expected: torch.linalg.vector_norm(found - expected), device, runs)
    finally:
        torch.set_num_threads(threads)


def compare(
        fast: Callable[[], Tensor], plain: Callable[[], Tensor],
        difference: Callable[[Tensor, Tensor], Tensor], device: torch.device,
        runs: int) -> Comparison:
    """Time two functions in turns, of which the fast one has run before."""
    found, fast_ms, plain_ms = fast(), [], []
    for _ in range(runs):
        fast_ms += [elapsed_ms(fast, device) for _ in range(2)]
        plain_ms.append(elapsed_ms(plain, device))
    return Comparison(min(fast_ms), min(plain_ms), float(difference(found, plain())))


def elapsed_ms(function: Callable[[], object], device: torch.device) -> float:
    """Return how long a call takes, until the device has done what it started."""
    began_s = now_s(device)
    function()
    return (now_s(device) - began_s) * 1e3


def now_s(device: torch.device) -> float:
    """Return the seconds of a clock when the device has done all it was asked to."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()

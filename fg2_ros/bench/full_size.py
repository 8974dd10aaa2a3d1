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
Time and memory of one frame of the full-size network, in a process of its own.

Started as a program by `fg2 bench --full`; the figures go to the standard output as JSON. The
weights are random: neither time nor memory depend on them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import re
import resource
import subprocess
import sys

from fg2_ros.bench.comparison import elapsed_ms, token_count
from fg2_ros.bench.timing import Bench, EVERY_PATCH_ANEW
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.dinov2 import DinoV2
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.weights import usable_precision
import numpy as np
import torch

STATUS = Path('/proc/self/status')


def measure_in_own_process(
        config: FG2Config, device: str, precision: str, threads: int) -> dict:
    """
    Return `measure_frame` of a new process.

    :param threads: of torch.
    :raises ValueError: if it fails; the sentence ends with its last words.
    """
    child = subprocess.run(
        [sys.executable, '-m', __name__, json.dumps(config.to_dict()), device, precision,
         str(threads)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ['no reason given'])[-1]
        raise ValueError(f'the full-size network could not be run: {last}')
    return json.loads(child.stdout)


def measure_frame(config: FG2Config, device: torch.device, dtype: torch.dtype) -> dict:
    """
    Return stages (ms) and peak memory (bytes) of a frame, and how fast the transformer was.

    The device's own rate is that of one large matrix product before each of its blocks.

    :raises ValueError: if the backbone is not a DINOv2.
    """
    torch.manual_seed(0)
    network = optimise_for_inference(FG2Network(config).to(device, dtype))
    backbone = network.backbone
    if not isinstance(backbone, DinoV2):
        raise ValueError(f'the backbone {config.backbone} is not a transformer to be measured')
    gauge = MatmulGauge(backbone, token_count(config.ground_image_hw))
    bench = noise_bench(network)
    stages = bench.run()
    backbone_ms = stages['ground_backbone'] - gauge.products_ms
    stages = stages | {
        'ground_backbone': backbone_ms, 'total': stages['total'] - gauge.products_ms}
    rate = transformer_flops(backbone, config.ground_image_hw) / backbone_ms
    return {
        'stages_ms': stages, 'peak_bytes': peak_bytes(device),
        'transformer_gflops': rate / 1e6, 'matmul_gflops': gauge.gflops,
        'transformer_share_of_matmul': rate / 1e6 / gauge.gflops}


def noise_bench(network: FG2Network) -> Bench:
    """Return the bench for images of noise."""
    rng, frame = np.random.default_rng(0), MapFrame(47.0, 8.5)
    imagery = RasterImagery(
        rng.integers(0, 256, (800, 800, 3), np.uint8), frame, (0.0, 0.0), 0.2)
    panorama = rng.integers(0, 256, (*network.config.ground_image_hw, 3), np.uint8)
    return Bench(
        network, imagery, frame, panorama=panorama, pose=Pose2(0.0, 0.0, 1.0),
        settings=EVERY_PATCH_ANEW)


class MatmulGauge:
    """
    A large matrix product, timed before each block of a transformer while that is at work.

    :param tokens: of the images to which this applies.
    """

    def __init__(self, backbone: DinoV2, tokens: int):
        like = backbone.pos_embed
        channels = like.shape[-1]
        self._tokens, self._device = tokens, like.device
        self._left = like.new_ones(tokens, channels)
        self._right = like.new_ones(channels, 4 * channels)
        self._product = like.new_empty(tokens, 4 * channels)
        self.products, self.products_ms = 0, 0.0
        for block in backbone.blocks:
            block.register_forward_pre_hook(self._time)

    @property
    def gflops(self) -> float:
        """Return the rate of all products, in 1e9 operations a second."""
        each = 2 * self._product.numel() * len(self._right)
        return self.products * each / self.products_ms / 1e6

    def _time(self, block: torch.nn.Module, inputs: tuple) -> None:
        if inputs[0].shape[1] == self._tokens:
            self.products += 1
            self.products_ms += elapsed_ms(self._multiply, self._device)

    def _multiply(self) -> None:
        torch.mm(self._left, self._right, out=self._product)


def transformer_flops(backbone: DinoV2, image_hw: tuple[int, int]) -> float:
    """Return the multiplications and additions of matrix products in a transformer."""
    tokens, channels = token_count(image_hw), backbone.pos_embed.shape[-1]
    projections = 2 * tokens * 12 * channels ** 2
    attention = 4 * tokens ** 2 * channels
    return len(backbone.blocks) * float(projections + attention)


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that this process has held, of the GPU if it uses one."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    # Unlike getrusage, this does not count what was there before `exec`.
    if peak := re.search(r'VmHWM:\s*(\d+) kB', STATUS.read_text() if STATUS.exists() else ''):
        return int(peak[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure as the arguments say and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=lambda text: FG2Config.from_dict(json.loads(text)))
    for name in ('device', 'precision'):
        parser.add_argument(name)
    parser.add_argument('threads', type=int)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    print(json.dumps(measure_frame(
        args.config, device, usable_precision(args.precision, device))))


if __name__ == '__main__':
    main()

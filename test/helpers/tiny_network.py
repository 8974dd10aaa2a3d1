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

"""Networks for VIGOR and KITTI that are small enough for tests, with random weights."""

from dataclasses import replace

from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.weights import save_weights
import torch

SMALL = {
    'backbone': 'cnn', 'channels': 16, 'grid_cells': 9, 'height_count': 3, 'iterations': 1,
    'attention_heads': 2, 'attention_points': 2, 'feedforward_channels': 16,
    'ffn_of_iteration': (1,), 'descriptor_widths': (16, 16, 16), 'descriptor_layers': 1,
    'aerial_image_hw': (64, 64)}
CONFIGS = {
    'vigor': replace(FG2Config.preset('vigor'), ground_image_hw=(64, 128), **SMALL),
    'kitti': replace(FG2Config.preset('kitti'), ground_image_hw=(64, 192), **SMALL)}


def network(preset):
    """Return a network in evaluation mode, always of the same weights."""
    torch.manual_seed(3)
    return FG2Network(CONFIGS[preset]).eval()


def weights(preset, folder):
    """Write the network's weights into a folder and return the file."""
    path = folder / f'tiny_{preset}.safetensors'
    save_weights(network(preset), path, {'trained_on': 'nothing'})
    return path

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

"""The learning rate schedule and weight decay."""

from __future__ import annotations

import math

from torch import nn


def learning_rate(step: int, steps: int, peak_rate: float, warmup_share: float) -> float:
    """Return the rate of a step: a linear rise, then a cosine down to 1 % of the peak."""
    warmup = max(1.0, warmup_share * steps)
    if step < warmup:
        return peak_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, steps - warmup)
    return peak_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Return what learns: matrices with and vectors (biases, norms) without weight decay."""
    parameters = [each for each in network.parameters() if each.requires_grad]
    return [
        {'params': [each for each in parameters if each.dim() > 1],
         'weight_decay': weight_decay},
        {'params': [each for each in parameters if each.dim() <= 1], 'weight_decay': 0.0}]

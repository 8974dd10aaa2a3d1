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

"""Synchronized batch normalization over several processes."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.distributed as dist


class SharedBatchNorm2d(nn.BatchNorm2d):
    """
    Batch normalisation whose statistics are those of all processes' images together.

    `torch.nn.SyncBatchNorm` does the same on GPUs only.
    """

    # torch lets these be None where no statistics are kept; here they always are.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> SharedBatchNorm2d:
        """Return one with the parameters and statistics of another normalisation."""
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared.weight, shared.bias = norm.weight, norm.bias
        for name, value in norm.named_buffers():
            setattr(shared, name, value)
        return shared.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised (B, C, h, w) map; its values must not all be in one place."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        places = values.new_tensor([x.numel() / x.shape[1]])
        total = _Sum.apply(torch.cat([values.sum((0, 2, 3)), places]))
        count = total[-1]
        mean = total[:-1] / count
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def share_batch_statistics(module: nn.Module) -> None:
    """Replace all batch normalisations inside a module, whose tensors keep their names."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, SharedBatchNorm2d.of(child))
        else:
            share_batch_statistics(child)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient, as all of them use the sum."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total

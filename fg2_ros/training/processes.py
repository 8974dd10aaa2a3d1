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

"""Distributed training processes, one a GPU, as `torchrun` starts them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
import os
from typing import Any, Iterator

import torch
from torch import Tensor
import torch.distributed as dist

FAILURE = 'fg2_ros/failure'  # under which a process tells the others why it ends


@dataclass(frozen=True)
class Processes:
    """
    This process among those that train together.

    :param rank: of this one; the first one alone writes.
    :param count: of all.
    :param device: of this one.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device('cpu')

    @property
    def is_first(self) -> bool:
        """Return whether this process is the one that writes."""
        return self.rank == 0

    @property
    def are_several(self) -> bool:
        """Return whether there are others."""
        return self.count > 1

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of the values of all processes."""
        if self.are_several:
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list:
        """Return the values of all processes, in the order of their ranks."""
        if not self.are_several:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value of the first process."""
        if not self.are_several:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, device=self.device)
        return holder[0]


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """
    Join the processes that `torchrun` started beside this one; without it there is one only.

    If one ends with an error the others end, too, and say why.

    :param device: 'auto', or a torch device; with several processes each takes a GPU of its own.
    :raises ValueError: if the device is not there, or another process failed.
    """
    if int(os.environ.get('WORLD_SIZE', '1')) == 1:
        yield Processes(device=_device(device, 0))
        return
    own = _device(device, int(os.environ.get('LOCAL_RANK', '0')))
    store, rank, count = next(dist.rendezvous('env://'))
    dist.init_process_group(
        'nccl' if own.type == 'cuda' else 'gloo', store=store, rank=rank, world_size=count)
    try:
        yield Processes(rank, count, own)
    except Exception as error:
        reason = _told(store) or _lost(error)
        if reason:  # this error is only the consequence
            raise ValueError(reason) from error
        _tell(store, f'process {rank} of {count}: {error}')
        raise
    dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    device = torch.device(name)
    if device.type != 'cuda':
        return device
    index = device.index if device.index is not None else local_rank
    if index >= torch.cuda.device_count():
        raise ValueError(
            f'there is no GPU {index}: this machine has {torch.cuda.device_count()}')
    torch.cuda.set_device(index)
    return torch.device('cuda', index)


def _tell(store: dist.Store, sentence: str) -> None:
    try:
        store.set(FAILURE, sentence)
    except RuntimeError:
        pass  # whoever kept the store has ended already


def _told(store: dist.Store) -> str:
    """Return why another process ended, or an empty text."""
    try:
        return store.get(FAILURE).decode() if store.check([FAILURE]) else ''
    except RuntimeError:
        return ''


def _lost(error: Exception) -> str:
    """Return a sentence for what a collective raises when another process has just vanished."""
    of_gloo = isinstance(error, RuntimeError) and 'gloo' in str(error)
    if of_gloo or isinstance(error, dist.DistError):
        return 'another process of this training has ended'
    return ''

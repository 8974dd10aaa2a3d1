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

"""Finding the state dict in trainers' checkpoints, and removing their prefixes."""

from __future__ import annotations

from collections.abc import Mapping
import logging
import re
from typing import Any

from torch import Tensor

# Entries that hold the network, the first choice first: an average is taken if it is alone.
WRAPPINGS = (
    'state_dict', 'model_state_dict', 'model', 'net', 'network', 'module', 'weights', 'params',
    'teacher', 'state_dict_ema', 'model_ema', 'ema_state_dict', 'ema_model', 'params_ema', 'ema',
    'averaged_model', 'swa_model', 'shadow', 'backbone')
NO_NETWORK = re.compile('optim|sched|scaler|loss|callback|loop|hyper|rng|args|config')
# Of DistributedDataParallel, torch.compile, averages, Lightning and other wrapped modules.
PREFIXES = (
    'module.', '_orig_mod.', 'model.', 'net.', 'network.', 'ema_model.', 'averaged_model.', 'ema.',
    'teacher.', 'backbone.')
# What DINOv2's and others' training puts beside the backbone or the network.
BESIDE = re.compile(r'(dino_head|ibot_head|heads?|classifier|fc|online_model|student|ema_model|'
                    r'averaged_model|ema)\.')
COUNTERS = {'n_averaged', 'num_updates', 'decay', 'initted', 'step', 'epoch', 'global_step'}
_DEEPEST = 5
_logger = logging.getLogger(__name__)


def state_dict_in(content: Any, source: str) -> dict[str, Tensor]:
    """
    Return the tensors of a network by their own names.

    :param content: what a checkpoint holds.
    :param source: what messages call it.
    :raises ValueError: if there is no network in it, or it is not clear which.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f'{source} holds a {type(content).__name__}, not a state dict')
    found = _networks(content)
    if not found:
        raise ValueError(
            f'{source} holds no state dict, but: {", ".join(map(_shown, content)) or "nothing"}')
    entries = list(found)
    if len(entries) > 1 and entries[0].split('.')[-1] not in WRAPPINGS:
        raise ValueError(
            f'{source} holds several state dicts: {", ".join(entries)}; save the one that is '
            'meant alone')
    if len(entries) > 1:
        _logger.info('%s: of %s the first is taken', source, ', '.join(entries))
    return _without_prefixes(found[entries[0]])


def _networks(content: Mapping, deep: int = 0) -> dict[str, dict[str, Tensor]]:
    """Return the state dicts in it by where they are: the content itself is ''."""
    if deep == _DEEPEST:
        return {}
    inside: dict[str, dict[str, Tensor]] = {}
    known = [name for name in WRAPPINGS if name in content]
    for name in known or filter(_may_be_network, content):
        if isinstance(content[name], Mapping):
            inside |= {f'{name}.{below}'.rstrip('.'): tensors
                       for below, tensors in _networks(content[name], deep + 1).items()}
    tensors = {name: value for name, value in content.items()
               if isinstance(value, Tensor) and isinstance(name, str) and name not in COUNTERS}
    return inside or ({'': tensors} if tensors else {})


def _may_be_network(name: Any) -> bool:
    return isinstance(name, str) and not NO_NETWORK.search(name.lower())


def _shown(name: Any) -> str:
    return str(name)[:80]


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by names without a prefix that all of them have, but for heads."""
    for prefix in PREFIXES:
        with_it = [name for name in tensors if name.startswith(prefix)]
        if with_it and all(name.startswith(prefix) or BESIDE.match(name) for name in tensors):
            return _without_prefixes({name.removeprefix(prefix): tensors[name]
                                      for name in with_it})
    return dict(tensors)

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

"""Settings of a training run on VIGOR or KITTI."""

from __future__ import annotations

from dataclasses import asdict, dataclass, Field, field, fields
from typing import Any, TYPE_CHECKING

from fg2_ros.settings import checked, setting, with_values, yaml_content

if TYPE_CHECKING:
    from fg2_ros.network.config import FG2Config

NOT_OF_KITTI = ('area', 'random_orientation')  # it is one area, and not of panoramas


@dataclass(frozen=True)
class Recipe:
    """What is learned, and how. A run that is resumed must have the same."""

    epochs: int = setting(25, 'Passes over the training frames.', between=(1, 100000))
    batch: int = setting(
        24, 'Frames in an optimiser step, of all processes together.', between=(1, 4096))
    rate: float = setting(1e-4, 'Learning rate of Adam, constant.', between=(0.0, 1.0))
    beta: float = setting(
        1.0, 'Weight of InfoNCE beside the virtual correspondence error. 100 for a network that '
        'must find an unknown orientation first.', between=(0.0, 1e6))
    pairs: int = setting(
        1024, 'Matches drawn from a frame for its pose.', between=(3, 1000000))
    random_orientation: float = setting(
        0.0, 'Panoramas are rolled by a random angle up to this, either way: 180 for an unknown '
        'orientation, 0 for a known one.',
        unit='deg', between=(0.0, 180.0), option={'const': 180.0})
    clip_norm: float = setting(
        0.0, 'Longer gradients are shortened to this length; 0 for none.', between=(0.0, 1e9))
    batch_norm: str = setting(
        'batch', 'Whose statistics normalise in training: of the whole batch, on whatever devices '
        'it is, or of the frames on each device.', choices=('batch', 'device'))
    queries: str = setting(
        'fixed', 'Queries of the grid seen from above: random and fixed, as in the published '
        'networks, or learned.', choices=('fixed', 'learned'))
    precision: str = setting(
        'fp32', 'Of the matrix products; weights, losses and sums remain in fp32.',
        choices=('fp32', 'fp16', 'bf16'))
    validation_share: float = setting(
        0.2, 'Share of the frames that are not trained on but measured after each epoch.',
        between=(0.0, 0.9))
    best_by: str = setting(
        'position', 'The mean validation error that decides which epoch is the best.',
        choices=('position', 'orientation'))
    seed: int = setting(0, 'Of all that is random.', between=(0, 2 ** 31))


@dataclass(frozen=True)
class Machine:
    """Where files are and what runs it. A run that is resumed may have another."""

    root: str = setting('', 'Folder of the data set.')
    area: str = setting('samearea', 'Of VIGOR.', choices=('samearea', 'crossarea'))
    backbone: str = setting(
        '', 'File of the frozen backbone: DINOv2 as its authors publish it (.pth), or weights of '
        'this package (.safetensors).')
    start_from: str = setting(
        '', 'Weights of this package that a new run starts with, backbone included.')
    out: str = setting('', 'Folder of the run.')
    feature_cache: str = setting(
        '', 'Folder where features of images that never change are kept, in half precision: '
        '10.7 MB of a VIGOR panorama, 4.1 MB of an aerial image. Images that are rolled or drawn '
        'anew in each epoch are not kept.')
    micro_batch: int = setting(
        0, 'Frames whose matches a process holds in memory at once; more frames are computed in '
        'parts, twice. The result is the same but for rounding. 0 for all.', between=(0, 4096))
    workers: int = setting(2, 'Processes that read images.', between=(0, 256))
    device: str = setting('auto', 'Of torch.')
    checkpoint_every: int = setting(
        250, 'Steps between checkpoints, beside those after each epoch.', between=(1, 10 ** 9))


def network_changes(value: Any) -> dict[str, Any]:
    """
    Return the mapping that a user writes for the network, as YAML on a command line.

    :raises ValueError: if it is something else.
    """
    try:
        content = yaml_content(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f'{value!r} cannot be used: {error}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{value!r} is not a mapping of names to values')
    return content


@dataclass(frozen=True)
class NetworkChanges:
    """What differs from the published network."""

    network: dict[str, Any] | None = setting(
        None, 'Fields of the network that differ from the preset, as {grid_cells: 31}.', of=dict,
        parse=network_changes, option={'metavar': 'YAML'})


@dataclass(frozen=True)
class RunConfig:
    """
    A whole run.

    :param data_set: 'vigor' or 'kitti'.
    :param network: fields of `FG2Config` that differ from the data set's preset.
    """

    data_set: str
    recipe: Recipe = Recipe()
    machine: Machine = Machine()
    network: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data_set: str, values: dict[str, Any]) -> RunConfig:
        """
        Return the defaults of a data set with other values.

        :param values: by the names of the fields of `Recipe`, `Machine` and `NetworkChanges`.
        :raises ValueError: naming what is unknown, of the wrong type or out of range.
        """
        given = checked(values, settings_of(data_set))
        config = cls(
            data_set, with_values(published_recipe(data_set), given),
            with_values(Machine(), given), given.get('network', {}))
        config.require_complete()
        return config

    def network_config(self) -> FG2Config:
        """
        Return the configuration of the network.

        :raises ValueError: if a field of ``network`` is unknown.
        """
        from fg2_ros.network.config import FG2Config
        preset = FG2Config.preset(self.data_set)
        return FG2Config.from_dict(preset.to_dict() | self.network)

    def to_dict(self) -> dict[str, Any]:
        """Return what `of` makes the same run from."""
        values = asdict(self.recipe) | asdict(self.machine)
        return {name: values[name] for name in settings_of(self.data_set) if name in values} | {
            'network': self.network}

    def require_complete(self) -> None:
        """
        Refuse a run without data or folder, or of a network that cannot be.

        :raises ValueError: naming what is missing or unknown.
        """
        missing = [name for name in ('root', 'out') if not getattr(self.machine, name)]
        if missing:
            raise ValueError(f'missing: {", ".join(missing)}')
        self.network_config()


def published_recipe(data_set: str) -> Recipe:
    """Return the recipe of the published network of a data set."""
    if data_set == 'kitti':
        return Recipe(epochs=100, validation_share=0.1)
    return Recipe()


def settings_of(data_set: str) -> dict[str, Field]:
    """Return the settings that a data set has."""
    lacking = NOT_OF_KITTI if data_set == 'kitti' else ()
    return {one.name: one for part in (Recipe, Machine, NetworkChanges) for one in fields(part)
            if one.name not in lacking}

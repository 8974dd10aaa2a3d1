"""All that a run on VIGOR or KITTI can be told: on the command line or in a YAML file."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, Field, field, fields, replace
from pathlib import Path
from typing import Any, TYPE_CHECKING

from fg2_ros.settings import converted, setting
import yaml

if TYPE_CHECKING:
    from fg2_ros.network.config import FG2Config


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
        unit='deg', between=(0.0, 180.0))
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

        :param values: by the names of the fields of `Recipe` and `Machine`, and ``network``.
        :raises ValueError: naming what is unknown, of the wrong type or out of range.
        """
        values = {name: value for name, value in values.items() if value is not None}
        settings = settings_of(data_set)
        unknown = sorted(set(values) - set(settings) - {'network'})
        if unknown:
            raise ValueError(
                f'unknown setting{"s" * (len(unknown) > 1)} {", ".join(unknown)}; there are '
                f'{", ".join([*settings, "network"])}')
        network = values.get('network', {})
        if not isinstance(network, dict):
            raise ValueError(f'network is no mapping of names to values, but {network!r}')
        checked = {name: converted(name, _as_number(value, settings[name]), settings[name])
                   for name, value in values.items() if name != 'network'}
        recipe, machine = (
            replace(part, **{name: checked[name] for name in asdict(part) if name in checked})
            for part in (published_recipe(data_set), Machine()))
        config = cls(data_set, recipe, machine, network)
        config._check()
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
        return {name: values[name] for name in settings_of(self.data_set)} | {
            'network': self.network}

    def _check(self) -> None:
        missing = [name for name in ('root', 'out') if not getattr(self.machine, name)]
        if missing:
            raise ValueError(f'missing: {", ".join(missing)}')
        self.network_config()


def published_recipe(data_set: str) -> Recipe:
    """Return the recipe of the published network of a data set."""
    if data_set == 'kitti':
        return Recipe(epochs=100, validation_share=0.1)
    return Recipe()


def add_options(parser: argparse.ArgumentParser, data_set: str) -> None:
    """Declare an option for each setting; only those that are given end up in the namespace."""
    defaults = asdict(published_recipe(data_set)) | asdict(Machine())
    for name, known in settings_of(data_set).items():
        unit = f' {known.metadata["unit"]}' if known.metadata['unit'] else ''
        default = f' ({defaults[name]}{unit})' if defaults[name] != '' else ''
        parser.add_argument(
            f'--{name.replace("_", "-")}', type=type(known.default), default=argparse.SUPPRESS,
            choices=known.metadata['choices'] or None, help=known.metadata['help'] + default,
            **({'nargs': '?', 'const': 180.0} if name == 'random_orientation' else {}))
    parser.add_argument(
        '--network', type=yaml.safe_load, default=argparse.SUPPRESS, metavar='YAML',
        help='fields of the network that differ from the preset, as {grid_cells: 31}')
    parser.add_argument(
        '--config', type=Path, metavar='FILE',
        help='YAML file with these settings under the names of the options, with underscores; '
        'the command line wins')
    parser.add_argument(
        '--import-ini', type=Path, metavar='FILE',
        help='configuration of another FG2 program, read by the names of its keys; what is not '
        'understood is named. YAML file and command line win')


def given(args: argparse.Namespace, data_set: str) -> dict[str, Any]:
    """Return the settings that were given on the command line."""
    names = {*settings_of(data_set), 'network'}
    return {name: value for name, value in vars(args).items() if name in names}


def settings_of(data_set: str) -> dict[str, Field]:
    """Return the settings that a data set has; KITTI is one area, and not of panoramas."""
    known = {one.name: one for part in (Recipe, Machine) for one in fields(part)}
    if data_set == 'kitti':
        del known['area'], known['random_orientation']
    return known


def _as_number(value: Any, declared: Field) -> Any:
    """Return text as a number where one is wanted: YAML takes 1e-4, without a point, for text."""
    if isinstance(value, str) and isinstance(declared.default, float):
        try:
            return float(value)
        except ValueError:
            pass
    return value

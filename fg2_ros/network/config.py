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

"""The one configuration of an FG2 network: what the weights were trained for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

# Between which each number, or number of a tuple, makes sense: beyond them, a network hangs or
# takes all memory before its weights are seen not to fit.
_LIMITS: dict[str, tuple[float, float]] = {
    'ground_image_hw': (8, 4096), 'aerial_image_hw': (8, 4096), 'channels': (1, 4096),
    'grid_cells': (2, 257), 'grid_extent_m': (1.0, 2000.0), 'height_range_m': (-1000.0, 1000.0),
    'height_count': (1, 129), 'iterations': (1, 24), 'attention_heads': (1, 64),
    'attention_points': (1, 64), 'feedforward_channels': (1, 16384), 'ffn_of_iteration': (1, 24),
    'descriptor_widths': (1, 4096), 'descriptor_layers': (1, 16), 'temperature': (1e-4, 100.0),
    'dropout': (0.0, 0.99), 'panorama_wrap_tokens': (0, 512)}
_CHOICES = {'camera': ('panorama', 'pinhole'), 'aerial_sampling': ('resize', 'points'),
            'image_resize': ('bilinear', 'area')}
_LONGEST = 24  # of tuples of any length


@dataclass(frozen=True)
class FG2Config:
    """
    Architecture, image sizes and metric grid of an FG2 network.

    The defaults are the full-size VIGOR network (Xia & Alahi, CVPR 2025, section 4).

    :raises ValueError: naming the field, if a value is of the wrong type or makes no sense.
    """

    name: str = 'vigor'
    camera: str = 'panorama'  # or 'pinhole': only the half plane ahead is lifted
    backbone: str = 'dinov2_vitl14'  # dinov2_vit{s,b,l}14 or 'cnn'
    ground_image_hw: tuple[int, int] = (714, 1428)
    aerial_image_hw: tuple[int, int] = (630, 630)
    channels: int = 1024  # C, of the backbone's token maps
    grid_cells: int = 41  # n, cells along a side of the aerial grid
    grid_extent_m: float = 71.0  # G, ground size of the aerial patch and of the BEV grid
    height_range_m: tuple[float, float] = (-10.0, 10.0)  # of the lifted points, camera at 0
    height_count: int = 11
    iterations: int = 6
    attention_heads: int = 8
    attention_points: int = 4
    feedforward_channels: int = 1024
    ffn_of_iteration: tuple[int, ...] = (1, 2, 3, 1, 5, 6)  # the published network reuses 1 in 4
    descriptor_widths: tuple[int, ...] = (512, 256, 128)
    descriptor_layers: int = 3
    temperature: float = 0.1
    dropout: float = 0.1  # in training, after each attention's output projection
    aerial_sampling: str = 'resize'  # as an image, as published; 'points' hits the grid exactly
    panorama_wrap_tokens: int = 0  # columns that continue a panorama's tokens beyond its edges
    image_resize: str = 'bilinear'  # how ground images were brought to their size; or 'area'

    def __post_init__(self):
        """Check each field, and those that must go together."""
        for field in fields(self):
            _require_sense(field.name, getattr(self, field.name), field.default)
        if self.height_range_m[0] > self.height_range_m[1]:
            raise ValueError(f'height_range_m = {self.height_range_m} is upside down')
        if self.channels % self.attention_heads:
            raise ValueError(f'channels = {self.channels} cannot be divided among '
                             f'attention_heads = {self.attention_heads}')
        if len(self.ffn_of_iteration) < self.iterations:
            raise ValueError(f'ffn_of_iteration = {self.ffn_of_iteration} names none for some of '
                             f'{self.iterations} iterations')

    @property
    def ground_rows(self) -> int:
        """Rows of the ground BEV grid: all, or for a pinhole camera those at or ahead of it."""
        return self.grid_cells if self.camera == 'panorama' else self.grid_cells // 2 + 1

    @property
    def descriptor_channels(self) -> int:
        """Channels of the matched descriptors."""
        return self.descriptor_widths[-1]

    @property
    def cell_m(self) -> float:
        """Metres between neighbouring grid points."""
        return self.grid_extent_m / (self.grid_cells - 1)

    @property
    def aerial_resolution_m(self) -> float:
        """Metres per pixel of the aerial image."""
        return self.grid_extent_m / self.aerial_image_hw[1]

    @classmethod
    def preset(cls, name: str) -> FG2Config:
        """
        Return a named configuration.

        :raises ValueError: if no preset has that name; the sentence lists those there are.
        """
        if name not in PRESETS:
            raise ValueError(f'no preset {name!r}: choose from {", ".join(PRESETS)}')
        return PRESETS[name]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FG2Config:
        """
        Return the configuration that `to_dict` wrote, in this or an earlier version.

        :raises ValueError: if a field is unknown, missing or makes no sense.
        """
        known = {field.name for field in fields(cls)}
        values = YOUNGER_FIELDS | values
        wrong = sorted(known.symmetric_difference(values))[:_LONGEST]
        if wrong:
            raise ValueError(f'the configuration has unknown or missing fields: {wrong}')
        tuples: dict[str, Any] = {
            key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return cls(**values | tuples)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()}


def _require_sense(name: str, value: Any, default: Any) -> None:
    """Raise a ValueError unless a value is of its default's type and within its limits."""
    if isinstance(default, tuple):
        fixed = name.endswith(('_hw', '_range_m'))
        if not isinstance(value, tuple) or len(value) > _LONGEST or (
                len(value) != len(default) if fixed else not value):
            raise _senseless(name, value)
        for item in value:
            _require_sense(name, item, default[0])
    elif isinstance(default, str):
        if not isinstance(value, str) or value not in _CHOICES.get(name, (value,)):
            raise _senseless(name, value)
    else:
        wanted = (int, float) if isinstance(default, float) else int
        low, high = _LIMITS[name]
        if not isinstance(value, wanted) or isinstance(value, bool) or not low <= value <= high:
            raise _senseless(name, value)


def _senseless(name: str, value: Any) -> ValueError:
    told = f': it lies between {_LIMITS[name][0]:g} and {_LIMITS[name][1]:g}' if (
        name in _LIMITS) else f': choose from {", ".join(_CHOICES[name])}' if (
        name in _CHOICES) else ''
    return ValueError(f'{name} = {repr(value)[:80]} makes no sense{told}')


YOUNGER_FIELDS = {'image_resize': 'area'}  # than some files, which were trained with these values
PRESETS = {
    'vigor': FG2Config(),
    'kitti': FG2Config(
        name='kitti', camera='pinhole', ground_image_hw=(364, 1232), aerial_image_hw=(504, 504),
        grid_extent_m=99.0, height_range_m=(-12.5, 12.5)),
    'sim': FG2Config(
        name='sim', backbone='cnn', ground_image_hw=(320, 640), aerial_image_hw=(256, 256),
        channels=64, attention_heads=4, attention_points=2,
        grid_extent_m=44.0, height_range_m=(-3.0, 3.0), height_count=7, iterations=2,
        feedforward_channels=128, ffn_of_iteration=(1, 2), descriptor_widths=(64, 64, 64),
        descriptor_layers=2, dropout=0.0, aerial_sampling='points', panorama_wrap_tokens=8,
        image_resize='area'),
}

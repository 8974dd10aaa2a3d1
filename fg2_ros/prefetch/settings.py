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

"""Settings of prefetching, and the required resolution of imagery."""

from __future__ import annotations

from dataclasses import dataclass, MISSING
import json
from pathlib import Path

from fg2_ros.settings import MAINTAINERS, setting, SHIPPED_WEIGHTS


@dataclass(frozen=True)
class PrefetchSettings:
    """Which tiles are fetched from whom, and where they are kept."""

    source: str = setting(
        MISSING, 'A name of the catalogue, or a URL template like that of the node.', of=str,
        option={'metavar': 'NAME|URL'})
    margin_m: float = setting(
        100.0, 'Metres around the route; half a patch and the error of GNSS at least.',
        between=(0.0, 1e6), option={'name': 'margin', 'metavar': 'M'})
    catalogue: str = setting(
        '', 'Describes the sources. Empty: config/sources.yaml of the package.',
        option={'metavar': 'FILE'})
    tile_px: int = setting(256, 'Side of the tiles of a URL.', choices=(256, 512))
    max_zoom: int = setting(19, 'Finest zoom of a URL.', between=(0, 24))
    cache: str = setting(
        '~/.cache/fg2_ros', 'Folder with a file for each source, or an .mbtiles file.',
        option={'metavar': 'PATH'})
    cache_mb: float = setting(
        512.0, 'Its bound; the same as imagery.cache_mb of the node.', unit='MB',
        between=(1.0, 1e6))
    rate_per_s: float = setting(
        0.0, 'Most requests a second; 0: as fast as the server answers.', between=(0.0, 1e4),
        option={'name': 'rate', 'metavar': 'PER_S'})
    contact: str = setting(
        MAINTAINERS, 'Your mail address or web page, for those who run the server.')
    offline_allowed: bool = setting(
        False, 'Of a URL: I have read its terms, and they allow to fetch and keep its tiles.')


@dataclass(frozen=True)
class ResolutionSettings:
    """How fine imagery has to be: as a zoom, in metres per pixel, or as some weights want it."""

    zoom: int | None = setting(
        None, 'Of the tiles.', of=int, between=(0, 24),
        option={'metavar': 'Z', 'group': 'resolution'})
    resolution_m: float | None = setting(
        None, 'Metres per pixel (default: what the weights want).', of=float,
        between=(0.001, 1e5),
        option={'name': 'resolution', 'metavar': 'M_PER_PX', 'group': 'resolution'})
    weights: Path = setting(
        SHIPPED_WEIGHTS, 'File of the network that will use the imagery.',
        option={'group': 'resolution'})

    def patch(self) -> tuple[float, float]:
        """
        Return metres per pixel and side in metres of the aerial patches.

        :raises ValueError: if the weights cannot be read.
        """
        size_m, resolution_m = patch_of_weights(self.weights)
        return self.resolution_m or resolution_m, size_m


def patch_of_weights(path: Path) -> tuple[float, float]:
    """
    Return side in metres and metres per pixel of the aerial patch that weights want; no torch.

    :raises ValueError: if they cannot be read.
    """
    try:
        from safetensors import safe_open, SafetensorError
    except ImportError:
        raise ValueError('safetensors is not installed, so the weights cannot say which '
                         'resolution they want: give --resolution or --zoom') from None
    try:
        with safe_open(path, 'numpy') as file:
            config = json.loads(file.metadata()['config'])
        size_m, size_px = float(config['grid_extent_m']), int(config['aerial_image_hw'][1])
    except (SafetensorError, OSError, TypeError, LookupError, ValueError, OverflowError,
            RecursionError):
        raise ValueError(f'{path} is no weights file of this package') from None
    if not (1.0 <= size_m <= 2000.0 and 8 <= size_px <= 4096):
        raise ValueError(f'{path} wants an aerial patch of {size_m:g} m and {size_px} pixels, '
                         'which makes no sense')
    return size_m, size_m / size_px

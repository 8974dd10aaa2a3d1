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

"""Put the localizer together from the node's settings; torch is imported here, not before."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

from fg2_ros.imagery import HttpSettings, Imagery, open_imagery
from fg2_ros.ros.node_settings import ImagerySettings, NodeSettings
from fg2_ros.settings import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from fg2_ros.localizer import Localizer


class Loaded(NamedTuple):
    """
    The localizer and the imagery that it draws on.

    :param needs_intrinsics: whether the camera is a pinhole camera.
    """

    localizer: Localizer
    imagery: Imagery
    needs_intrinsics: bool = False

    def close(self) -> None:
        """Stop the imagery's background work."""
        self.imagery.close()


def load_localizer(settings: NodeSettings) -> Loaded:
    """
    Return a localizer that is ready to estimate.

    :raises ValueError: with a sentence naming the file, address or package that is at fault.
    """
    if importlib.util.find_spec('torch') is None:
        raise ValueError('torch is not installed: see "Installation" in the README')
    from fg2_ros.localizer import Localizer
    weights = weights_file('weights', settings.weights) or SHIPPED_WEIGHTS
    imagery = load_imagery(settings.imagery)
    try:
        localizer = Localizer.load(
            weights, imagery, device=settings.device, precision=settings.precision,
            settings=settings.localizer, compiled=settings.compile)
    except Exception:
        imagery.close()
        raise
    return Loaded(localizer, imagery, localizer.needs_intrinsics)


def weights_file(parameter: str, path: str) -> Path | None:
    """
    Return the path that a parameter names, None if it names none.

    :raises ValueError: if there is no such file.
    """
    if not path:
        return None
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f'the weights file {file} does not exist (parameter {parameter})')
    return file


def load_imagery(wanted: ImagerySettings) -> Imagery:
    """
    Return the imagery that the settings ask for.

    :raises ValueError: with a sentence that names the source at fault.
    """
    sources = [source for source in (wanted.url, *wanted.sources) if source]
    if not sources:
        raise ValueError(
            'there is no imagery: set the parameter imagery.sources to names of the catalogue '
            '(config/sources.yaml) or files, or imagery.url to the address of a tile server, such '
            'as http://localhost:8080/{z}/{x}/{y}.png')
    return open_imagery(
        sources, wanted.catalogue, cache_path=wanted.cache_path,
        cache_bytes=int(wanted.cache_mb * 1e6), key=wanted.key,
        coarsest_resolution_m=wanted.coarsest_resolution_m,
        http=HttpSettings(contact=wanted.contact), tile_px=wanted.tile_px,
        min_zoom=wanted.min_zoom, max_zoom=wanted.max_zoom)


def are_out_of_domain(metadata: dict[str, Any], simulated_camera: bool) -> bool:
    """Return whether weights that were trained in simulation only get images of a real camera."""
    return _trained_in_simulation(metadata) and not simulated_camera


def trained_on(metadata: dict[str, Any]) -> str:
    """Return what weights say that they were trained on, in words."""
    if _trained_in_simulation(metadata):
        return 'simulation only'
    return str(metadata.get('trained_on', 'they do not say'))


def _trained_in_simulation(metadata: dict[str, Any]) -> bool:
    return metadata.get('trained_on') == 'simulation'

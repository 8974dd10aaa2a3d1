"""Put the localizer together from the node's settings; torch is imported here, not before."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

from fg2_ros.imagery.patch import Imagery
from fg2_ros.ros.node_settings import NodeSettings

if TYPE_CHECKING:
    from fg2_ros.localizer import Localizer

SHIPPED_WEIGHTS = Path(__file__).parents[1] / 'weights' / 'fg2_sim.safetensors'


class Loaded(NamedTuple):
    """The localizer and the imagery that it draws on."""

    localizer: Localizer
    imagery: Imagery

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
    weights = Path(settings.weights).expanduser() if settings.weights else SHIPPED_WEIGHTS
    if not weights.is_file():
        raise ValueError(f'the weights file {weights} does not exist (parameter weights)')
    imagery = open_imagery(settings)
    try:
        localizer = Localizer.load(
            weights, imagery, device=settings.device, precision=settings.precision,
            settings=settings.localizer)
    except Exception:
        imagery.close()
        raise
    return Loaded(localizer, imagery)


def open_imagery(settings: NodeSettings) -> Imagery:
    """
    Return the imagery that the settings ask for.

    :raises ValueError: if there is no address.
    """
    from fg2_ros.imagery import TileImagery
    if not settings.imagery.url:
        raise ValueError('there is no imagery: set the parameter imagery.url to the address of a '
                         'tile server, such as http://localhost:8080/{z}/{x}/{y}.png')
    wanted = settings.imagery
    return TileImagery(
        wanted.url, cache_path=Path(wanted.cache_path).expanduser() if wanted.cache_path else None,
        cache_bytes=int(wanted.cache_mb * 1e6), key=wanted.key, tile_px=wanted.tile_px,
        min_zoom=wanted.min_zoom, max_zoom=wanted.max_zoom)


def trained_in_simulation(metadata: dict[str, Any]) -> bool:
    """Return whether weights say of themselves that they saw nothing but simulation."""
    return metadata.get('trained_on') == 'simulation'

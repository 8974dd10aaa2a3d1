"""FG2 for ROS 2: localize a ground panorama in aerial imagery."""

from importlib import import_module
from typing import Any, TYPE_CHECKING

from fg2_ros.version import __version__

if TYPE_CHECKING:
    from fg2_ros.imagery import open_imagery
    from fg2_ros.localizer import Estimate, Localizer, Prior

__all__ = ['__version__', 'Estimate', 'Localizer', 'open_imagery', 'Prior']
_HOMES = {'open_imagery': 'fg2_ros.imagery'}  # of the others: fg2_ros.localizer, which needs torch


def __getattr__(name: str) -> Any:
    """Import what this package hands on when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES.get(name, 'fg2_ros.localizer')), name)

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

"""FG2 for ROS 2: localize a ground panorama in aerial imagery."""

from importlib import import_module
from typing import Any, TYPE_CHECKING

from fg2_ros.version import __version__

if TYPE_CHECKING:
    from fg2_ros.imagery import open_imagery
    from fg2_ros.localizer import Estimate, Localizer, Prior
    from fg2_ros.tracker import Tracker

__all__ = ['__version__', 'Estimate', 'Localizer', 'open_imagery', 'Prior', 'Tracker']
# Of the others: fg2_ros.localizer, which needs torch.
_HOMES = {'open_imagery': 'fg2_ros.imagery', 'Tracker': 'fg2_ros.tracker'}


def __getattr__(name: str) -> Any:
    """Import what this package hands on when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES.get(name, 'fg2_ros.localizer')), name)

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

"""Aerial imagery as metric, north-up patches: tile servers, files, and fallback chains of both."""

from fg2_ros.imagery.catalogue import open_imagery
from fg2_ros.imagery.fallback import FallbackImagery
from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, ImageryNotReady, PatchView
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.server.opening import open_server
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.tiles.pyramid import TileImagery

__all__ = ['AerialPatch', 'FallbackImagery', 'HttpSettings', 'Imagery', 'ImageryError',
           'ImageryNotReady', 'ImageryStatus', 'PatchView', 'RasterImagery', 'TileImagery',
           'open_imagery', 'open_server']

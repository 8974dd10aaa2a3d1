"""Aerial imagery as metric, north-up patches: servers of tiles, files, chains of both."""

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

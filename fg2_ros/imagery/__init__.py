"""Aerial imagery as metric, north-up patches: tiles over HTTP, a disk cache, orthophotos."""

from fg2_ros.imagery.download import HttpSettings
from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, ImageryNotReady
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.imagery.tiles import TileImagery

__all__ = ['AerialPatch', 'HttpSettings', 'Imagery', 'ImageryError', 'ImageryNotReady',
           'RasterImagery', 'TileImagery']

"""Aerial imagery as metric, north-up patches: tiles over HTTP, a disk cache, orthophotos."""

from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, ImageryNotReady
from fg2_ros.imagery.raster import RasterImagery

__all__ = ['AerialPatch', 'Imagery', 'ImageryError', 'ImageryNotReady', 'RasterImagery']

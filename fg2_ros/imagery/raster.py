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

"""One orthophoto in memory as a source of patches: for simulation and evaluation."""

from __future__ import annotations

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import AerialPatch, Imagery, PatchView, require_enough
from fg2_ros.imagery.resample import Pyramid, unit_nodes
from fg2_ros.imagery.status import ImageryStatus
import numpy as np


class RasterImagery(Imagery):
    """
    Patches of one north-up orthophoto.

    Patches may be asked for in another frame than the orthophoto's: the two meet on the ellipsoid.

    :param image: (H, W, 3) uint8 RGB; up is north in the axes of ``frame``.
    :param frame: the map frame of the orthophoto.
    :param centre_m: (east, north) of the image's centre in ``frame``.
    :param resolution_m: metres per pixel.
    :param name: what messages call it.
    :raises ValueError: if the image or the resolution cannot be used.
    """

    def __init__(self, image: np.ndarray, frame: MapFrame, centre_m: tuple[float, float],
                 resolution_m: float, name: str = 'the orthophoto'):
        """Take the orthophoto, without copying it."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f'an orthophoto is (H, W, 3) uint8, not {image.shape} {image.dtype}')
        if not 0 < resolution_m < np.inf:
            raise ValueError(f'a resolution of {resolution_m} metres per pixel makes no sense')
        self.name = name
        self._pyramid = Pyramid(np.ascontiguousarray(image))
        self._frame = frame
        self._resolution_m = resolution_m
        height, width = image.shape[:2]
        self._west_m = centre_m[0] - width / 2 * resolution_m
        self._north_m = centre_m[1] + height / 2 * resolution_m
        self._patches = 0

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`. There is never anything to wait for.

        :raises ImageryError: if more than half of it lies outside the orthophoto.
        """
        if view.frame == self._frame:
            x_nodes, y_nodes = self.pixel_from_map(*view.map_nodes())
        else:
            x_nodes, y_nodes = self.pixel_from_geodetic(*view.geodetic_nodes())
        image, valid = self._pyramid.warp(x_nodes, y_nodes, view.size_px)
        patch = AerialPatch(
            image, view, valid, self.name, native_resolution_m=self._resolution_m)
        require_enough(patch, 'the place is outside it')
        self._patches += 1
        return patch

    def tile(self, zoom: int, x: int, y: int, tile_px: int = 256) -> np.ndarray | None:
        """
        Return a Web Mercator tile, reprojected exactly and without aliasing.

        :return: (tile_px, tile_px, 3) uint8 RGB; None if it lies outside the orthophoto.
        """
        u, v = unit_nodes()
        place = mercator.geodetic_from_world_pixel(x + u, y + v, zoom, tile_px=1)
        x_nodes, y_nodes = self.pixel_from_geodetic(*place)
        image, valid = self._pyramid.warp(x_nodes, y_nodes, tile_px)
        return image if valid is None or valid.any() else None

    def pixel_from_geodetic(self, latitude_deg, longitude_deg):
        """Return continuous (column, row) of the orthophoto of places in degrees."""
        return self.pixel_from_map(*self._frame.map_from_geodetic(
            latitude_deg, longitude_deg, anywhere=True))

    def pixel_from_map(self, east_m, north_m):
        """Return continuous (column, row) of points in the orthophoto's own frame."""
        return ((np.asarray(east_m) - self._west_m) / self._resolution_m,
                (self._north_m - np.asarray(north_m)) / self._resolution_m)

    def status(self) -> ImageryStatus:
        """Return how many patches there were."""
        return ImageryStatus(self.name, hits=self._patches)

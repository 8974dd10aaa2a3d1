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

"""
Worlds: the look of countries and cameras, one that the weights know and one they do not.

The cities of a seed have the same plan in every world; colours, facades, roofs, the vehicle's
camera and the aerial sensor differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fg2_ros.simulation.cameras import Mount
from fg2_ros.simulation.shapes import Ground, Surface
import numpy as np

Range = tuple[float, float]
Hsv = tuple[Range, Range, Range]  # hue in degrees, saturation, value


@dataclass(frozen=True)
class FacadeStyle:
    """
    Walls: sizes in metres and shares of a bay's width or a storey's height.

    :param bay_m: distance of windows along a wall.
    :param storey_m: height of a storey.
    :param half_width: of a window, share of the bay.
    :param half_height: of a window, share of the storey.
    :param shops: share of buildings with a shop front.
    :param band: how high the bands between storeys are, share of the storey; how bright.
    :param shutters: share of buildings with coloured shutters beside the windows.
    """

    bay_m: Range = (2.0, 4.4)
    storey_m: Range = (2.7, 3.4)
    half_width: Range = (.15, .35)
    half_height: float = .24
    shops: float = .4
    band: tuple[float, float] = (.06, .8)
    shutters: float = 0.0


@dataclass(frozen=True)
class Sensor:
    """
    What a camera makes of light.

    :param mixing: (3, 3), how much of red, green and blue light goes into each channel.
    :param vignetting: share of the light that is missing in the corners of an image.
    :param jpeg_quality: range in which it is drawn; None for that of the difficulty.
    """

    mixing: tuple[tuple[float, float, float], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    vignetting: float = 0.0
    jpeg_quality: tuple[int, int] | None = None

    def recorded(self, radiance: np.ndarray) -> np.ndarray:
        """Return what arrives at the sensor, (H, W, 3), of radiance of the same shape."""
        rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) ** 2
                         for side in radiance.shape[:2])
        light = 1 - self.vignetting / 2 * (rows[:, None] + columns)
        mixed = radiance @ np.asarray(self.mixing, np.float32).T
        return np.maximum(mixed, 0) * light[..., None]


@dataclass(frozen=True)
class World:
    """
    One look of cities, vehicles and sensors.

    :param ground_hsv: of kinds of ground that look otherwise than usual.
    :param surface_hsv: of surfaces that do.
    :param hipped: whether roofs slope on all sides.
    :param camera_height_m: range above the ground; None for that of the difficulty.
    :param body_sine: sine of the elevation below which the vehicle hides the view ahead and
        behind, and to its sides.
    :param camera: of the vehicle.
    :param aerial: of the orthophoto.
    :param lean: of the aerial view at most: metres sideways for a metre of height.
    """

    name: str
    facade: FacadeStyle = FacadeStyle()
    ground_hsv: Mapping[Ground, Hsv] = field(default_factory=dict)
    surface_hsv: Mapping[Surface, Hsv] = field(default_factory=dict)
    hipped: bool = False
    camera_height_m: Range | None = None
    body_sine: tuple[float, float] = (-0.87, -0.87)
    camera: Sensor = Sensor()
    aerial: Sensor = Sensor()
    lean: float = 0.06

    def mount(self, usual: Mount) -> Mount:
        """Return how a vehicle's camera is carried, where it usually is carried otherwise."""
        return replace(usual, height_m=self.camera_height_m or usual.height_m)

    def is_body(self, directions: np.ndarray) -> np.ndarray:
        """Return (H, W) bool: where (H, W, 3) unit rays of the camera meet its own vehicle."""
        ahead, side = self.body_sine
        level = np.maximum(np.hypot(directions[..., 0], directions[..., 1]), 1e-6)
        limit = side + (ahead - side) * (directions[..., 0] / level) ** 2
        return directions[..., 2] < limit


WORLDS = {world.name: world for world in (
    World('A'),
    World(
        'B',
        facade=FacadeStyle(
            bay_m=(3.4, 6.0), storey_m=(3.2, 4.0), half_width=(.08, .2), half_height=.34,
            shops=.15, band=(.14, 1.2), shutters=.6),
        ground_hsv={
            Ground.ASPHALT: ((15, 50), (.05, .22), (.38, .72)),
            Ground.PAVEMENT: ((0, 25), (.15, .45), (.25, .55)),
            Ground.KERB: ((0, 360), (.0, .05), (.2, .4)),
            Ground.PAVING: ((330, 380), (.1, .4), (.25, .6)),
            Ground.DRIVEWAY: ((20, 45), (.2, .5), (.5, .8)),
            Ground.SOIL: ((5, 25), (.35, .65), (.25, .5))},
        surface_hsv={
            Surface.WALL: ((20, 50), (.3, .7), (.55, .95)),
            Surface.ROOF: ((5, 22), (.5, .85), (.35, .7)),
            Surface.CROWN: ((75, 150), (.2, .5), (.1, .3))},
        hipped=True, camera_height_m=(2.6, 2.9), body_sine=(-0.42, -0.62),
        camera=Sensor(mixing=((.86, .2, 0), (.06, .92, .06), (0, .12, .8)), vignetting=.45,
                      jpeg_quality=(40, 60)),
        aerial=Sensor(mixing=((.75, .3, 0), (.1, .8, .14), (.04, .1, 1.0)), vignetting=.1,
                      jpeg_quality=(60, 80)),
        lean=0.12))}

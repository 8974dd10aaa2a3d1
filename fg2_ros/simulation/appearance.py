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
Appearance of the city on one day: season, light, colours, wear, parked cars, camera.

The aerial image and the panoramas of one scene are taken on two days. The days share the city's
geometry and meaning, not its pixels: every colour and texture is drawn anew for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
from fg2_ros.simulation.city import City
from fg2_ros.simulation.rasters import draw_line, draw_polygon, HALF_SIZE_M
from fg2_ros.simulation.shapes import corners, Ground
from fg2_ros.simulation.worlds import Sensor, World, WORLDS
import numpy as np

# hue (degrees), saturation and value ranges of the ground, by season where it matters
_GROUND_HSV = {
    Ground.GRASS: {'summer': ((70, 120), (.25, .6), (.22, .5)),
                   'dry': ((38, 62), (.25, .55), (.4, .68)),
                   'winter': ((50, 90), (.08, .3), (.25, .5))},
    Ground.SOIL: ((20, 42), (.15, .5), (.22, .6)),
    Ground.ASPHALT: ((20, 240), (.0, .1), (.2, .62)),
    Ground.PAVEMENT: ((15, 60), (.0, .22), (.3, .75)),
    Ground.KERB: ((20, 60), (.0, .1), (.35, .8)),
    Ground.PAVING: ((8, 50), (.02, .35), (.3, .72)),
    Ground.CAR_PARK: ((20, 240), (.0, .1), (.2, .62)),
    Ground.PATH: ((25, 50), (.05, .4), (.35, .75)),
    Ground.DRIVEWAY: ((8, 50), (.0, .3), (.28, .75)),
    Ground.WATER: ((120, 215), (.1, .5), (.1, .4)),
    Ground.BED: ((20, 330), (.15, .6), (.2, .55)),
    Ground.MARKING: ((40, 60), (.0, .1), (.75, 1.)),
}
SEASONS = ('summer', 'dry', 'winter')
Range = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """One day in the city and the quality of the camera that saw it."""

    seed: int
    season: str
    leaves: float  # share of the leaves that are on the trees
    sun: np.ndarray  # (3,) unit vector towards the sun
    sun_light: np.ndarray  # (3,) RGB
    sky_light: np.ndarray  # (3,) RGB, on a face that sees the whole sky
    cars: float  # share of the parking slots taken
    people: int
    blur_px: float
    noise: float
    jpeg_quality: int
    exposure: float
    tint: np.ndarray  # (3,) RGB gains
    gamma: float
    sensor: Sensor

    @classmethod
    def draw(cls, seed: int, season: str, hard: bool, sensor: Sensor = Sensor()) -> Look:
        """Draw a day; ``hard`` days are taken with a poor camera."""
        quality = sensor.jpeg_quality or ((28, 60) if hard else (75, 95))
        rng = np.random.default_rng(seed)
        elevation, azimuth = np.radians(rng.uniform(22, 65)), rng.uniform(0, 2 * np.pi)
        overcast = rng.uniform(0, 1) ** 2
        return cls(
            seed=seed, season=season,
            leaves=1.0 if season != 'winter' else rng.uniform(.12, .35),
            sun=np.array([np.cos(elevation) * np.cos(azimuth),
                          np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]),
            sun_light=(1 - .8 * overcast) * np.array([1.0, .96, .88]) * rng.uniform(.85, 1.1),
            sky_light=(.36 + .5 * overcast) * np.array([.92, .97, 1.05]),
            cars=rng.uniform(.25, .75), people=int(rng.integers(40, 240)),
            blur_px=rng.uniform(.5, 1.0) if hard else rng.uniform(.3, .7),
            noise=rng.uniform(.01, .03) if hard else rng.uniform(.004, .012),
            jpeg_quality=int(rng.integers(*quality)),
            exposure=rng.uniform(.8, 1.2), tint=rng.uniform(.92, 1.08, 3),
            gamma=rng.uniform(.85, 1.15), sensor=sensor)

    def expose(self, radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the (H, W, 3) uint8 image that the day's camera makes of float radiance."""
        light = self.sensor.recorded(radiance.astype(np.float32))
        image = cv2.GaussianBlur(light, (0, 0), self.blur_px)
        image = np.clip(image * (self.exposure * self.tint).astype(np.float32), 0, None)
        image = (image / (1 + .25 * image)) ** np.float32(self.gamma)
        grain = rng.standard_normal(image.shape[:2], dtype=np.float32) * self.noise
        pixels = np.clip((image + grain[..., None]) * 255, 0, 255).astype(np.uint8)
        _, packed = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
        shown = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert shown is not None, 'what was just encoded can be decoded'
        return shown


def colour(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> np.ndarray:
    """Draw RGB values (3,) in [0, 1] from ranges of hue (degrees), saturation and value."""
    hsv = np.array([[[
        rng.uniform(*hue) % 360, rng.uniform(*saturation), rng.uniform(*value)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def colours(rng: np.random.Generator, count: int, hue: Range, saturation: Range,
            value: Range) -> np.ndarray:
    """Return (count, 3) such colours."""
    hsv = np.stack([rng.uniform(*hue, count) % 360, rng.uniform(*saturation, count),
                    rng.uniform(*value, count)], axis=-1).astype(np.float32)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def fractal(rng: np.random.Generator, size: int, cells: tuple[int, ...]) -> np.ndarray:
    """Return (size, size) float32 smooth noise of unit variance; ``cells`` are its octaves."""
    total = np.zeros((size, size), np.float32)
    for count in cells:
        grid = rng.standard_normal((count, count), dtype=np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR)
    return (total - total.mean()) / total.std()


def paint_ground(city: City, look: Look, world: World = WORLDS['A']) -> np.ndarray:
    """Return the (N, N, 3) uint8 albedo of the city's ground (rows south) on a day."""
    rng = np.random.default_rng([look.seed, 1])
    ranges: dict[Ground, Any] = {**_GROUND_HSV, **world.ground_hsv}
    palette = np.stack([_ground_colour(rng, ranges[kind], look.season) for kind in Ground])
    albedo = (palette * 255).astype(np.uint8)[city.ground]
    shade = _weathering(rng, len(city.ground))
    _repair_streets(rng, city, shade)
    _paint_markings(rng, city, albedo, palette[Ground.MARKING])
    cv2.multiply(albedo, cv2.merge([shade] * 3), albedo, scale=1 / 128)
    return albedo


def _ground_colour(rng: np.random.Generator, ranges: dict | tuple, season: str) -> np.ndarray:
    return colour(rng, *(ranges[season] if isinstance(ranges, dict) else ranges))


def _weathering(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return (size, size) uint8 shading of stains, puddles and grain; 128 changes nothing."""
    broad = fractal(rng, size // 4, (12, 30, 70, 160, 300))
    stains = np.where(fractal(rng, size // 4, (60, 140)) > rng.uniform(1., 1.7),
                      rng.uniform(.62, 1.3), 1.0).astype(np.float32)
    coarse = cv2.resize(np.exp(.13 * broad) * stains, (size, size))
    grain = rng.standard_normal((512, 512), dtype=np.float32) * .5
    grain += fractal(rng, 512, (256, 128)) * .8
    tiled = np.tile(np.exp(.1 * grain), (size // 512 + 1, size // 512 + 1))[:size, :size]
    return np.clip(128 * coarse * tiled, 0, 255).astype(np.uint8)


def _repair_streets(rng: np.random.Generator, city: City, shade: np.ndarray) -> None:
    """Put patches, trenches and tar lines on the streets of the day."""
    for road in city.roads:
        for _ in range(rng.integers(3, 10)):
            along = rng.integers(1, len(road.polyline) - 1)
            heading = road.polyline[along] - road.polyline[along - 1]
            yaw = np.arctan2(heading[1], heading[0])
            centre = road.polyline[along] + rng.normal(0, road.width_m / 3, 2)
            size = (rng.uniform(.6, 12), rng.uniform(.4, 3.2))
            draw_polygon(shade, corners(centre, size, yaw), int(128 * rng.uniform(.55, 1.5)))
        for _ in range(rng.integers(1, 6)):
            steps = rng.normal(0, 2.2, (6, 2)) + rng.normal(0, 2.0, 2)
            start = road.polyline[rng.integers(len(road.polyline))]
            draw_line(shade, start + np.cumsum(steps, axis=0), rng.uniform(.1, .25),
                      int(128 * rng.uniform(.4, .8)))


def _paint_markings(rng: np.random.Generator, city: City, albedo: np.ndarray,
                    white: np.ndarray) -> None:
    """Blend the markings in, each as worn, repainted or gone as the day has it."""
    where = np.nonzero(city.markings)
    kinds = city.markings[where]
    count = int(kinds.max()) + 1 if len(kinds) else 1
    wear = np.where(rng.uniform(size=count) < .3, 0, rng.uniform(.2, 1, count))
    yellow = np.array([.85, .65, .15], np.float32)
    paint = np.where(rng.uniform(size=(count, 1)) < .12, yellow, white)
    flakes = fractal(rng, 512, (256, 64))[where[0] % 512, where[1] % 512]
    alpha = np.clip(wear[kinds] * (1 + .5 * flakes), 0, 1)[:, None].astype(np.float32)
    albedo[where] = albedo[where] * (1 - alpha) + 255 * alpha * paint[kinds]


def ground_pyramid(albedo: np.ndarray, levels: int = 4) -> list[np.ndarray]:
    """Return the albedo at full, half, quarter, ... resolution."""
    pyramid = [albedo]
    for _ in range(levels - 1):
        height, width = pyramid[-1].shape[:2]
        pyramid.append(cv2.resize(
            pyramid[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return pyramid


def sample_ground(pyramid: list[np.ndarray], x: np.ndarray, y: np.ndarray,
                  footprint_m: np.ndarray) -> np.ndarray:
    """Return (K, 3) float32 albedo in [0, 1] at map points, each at a level for its footprint."""
    finest_m = 2 * HALF_SIZE_M / len(pyramid[0])
    level = np.clip(np.log2(np.maximum(footprint_m / finest_m, 1)), 0, len(pyramid) - 1)
    level = level.astype(np.int8)
    colour_at = np.empty((len(x), 3), np.float32)
    for index, albedo in enumerate(pyramid):
        chosen = np.nonzero(level == index)[0]
        cell_m = finest_m * 2 ** index
        column = (x[chosen] + HALF_SIZE_M) / cell_m - .5
        row = (HALF_SIZE_M - y[chosen]) / cell_m - .5
        colour_at[chosen] = _bilinear(albedo, column, row)
    return colour_at / 255


def _bilinear(image: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return (K, 3) float32 values of a uint8 image at K places."""
    width = 1024  # OpenCV wants pictures, not long lists
    padding = -len(column) % width
    column = np.pad(column.astype(np.float32), (0, padding)).reshape(-1, width)
    row = np.pad(row.astype(np.float32), (0, padding)).reshape(-1, width)
    if not column.size:
        return np.zeros((0, 3), np.float32)
    values = cv2.remap(image, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    values = values.reshape(-1, 3)
    return values[:len(values) - padding].astype(np.float32)

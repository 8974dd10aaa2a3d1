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

"""Scenes: a city rendered from the air on one day and from the street on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from fg2_ros.simulation import meshes
from fg2_ros.simulation.appearance import (
    colour, colours, ground_pyramid, Look, paint_ground, sample_ground, SEASONS)
from fg2_ros.simulation.cameras import CameraPose, MOUNTS, PanoramaCamera, PinholeCamera
from fg2_ros.simulation.city import City
from fg2_ros.simulation.meshes import Beacon, Mesh
from fg2_ros.simulation.rasters import HALF_SIZE_M
from fg2_ros.simulation.shapes import ParkingSlot, Surface
from fg2_ros.simulation.worlds import World, WORLDS
import numpy as np

DIFFICULTIES = ('standard', 'hard')
_HAZE_M = 350.0
_SHUTTER = np.array([.12, .3, .22], np.float32)
_ORTHOPHOTO_BAND_ROWS = 256
_SURFACE_HSV = {
    Surface.WALL: ((5, 60), (.02, .4), (.35, .9)),
    Surface.ROOF: ((0, 40), (.0, .5), (.15, .7)),
    Surface.CROWN: ((60, 125), (.25, .6), (.16, .42)),
    Surface.WOOD: ((15, 40), (.05, .35), (.15, .45)),
    Surface.CAR: ((0, 360), (.0, .7), (.05, .95)),
    Surface.GLASS: ((190, 220), (.1, .3), (.05, .2)),
    Surface.PERSON: ((0, 360), (.0, .8), (.1, .9)),
    Surface.BEACON: ((0, 360), (1., 1.), (1., 1.)),
}


@dataclass(frozen=True)
class Orthophoto:
    """
    A north-up image of the ground.

    ``image`` is (H, W, 3) uint8 RGB; ``resolution_m`` metres a pixel; ``centre_m`` the (east,
    north) of the image's centre.
    """

    image: np.ndarray
    resolution_m: float
    centre_m: tuple[float, float]


class Scene:
    """
    One city, one aerial day, one ground day (``aerial_look`` and ``ground_look``).

    :param seed: the city's seed, any integer from 0.
    :param difficulty: 'standard', or 'hard': another season, poor cameras, a moving rig and
        traffic that hides part of the view.
    :param beacons: glowing balls added to both days.
    :param world: what cities, vehicle and sensors look like: a name of WORLDS.
    :raises ValueError: for an unknown difficulty.
    """

    def __init__(self, seed: int, difficulty: str = 'standard',
                 beacons: Sequence[Beacon] = (), world: str = 'A'):
        if difficulty not in DIFFICULTIES:
            raise ValueError(f'difficulty {difficulty!r} is not one of {", ".join(DIFFICULTIES)}')
        self.seed, self.difficulty = int(seed), difficulty
        self.hard = difficulty == 'hard'
        self.world = WORLDS[world]
        self._beacons = beacons
        rng = np.random.default_rng([7, self.seed, self.hard])
        self.city = City(seed)
        first = rng.integers(len(SEASONS))
        second = (first + rng.integers(1, len(SEASONS))) % len(SEASONS) if self.hard else first
        looks = rng.integers(0, 2 ** 31, 2)
        self.aerial_look = Look.draw(
            int(looks[0]), SEASONS[first], self.hard, self.world.aerial)
        self.ground_look = Look.draw(
            int(looks[1]), SEASONS[second], self.hard, self.world.camera)
        # The aerial camera never stands exactly above.
        self._lean = rng.uniform(-self.world.lean, self.world.lean, 2)
        self._street_day: _Day | None = None

    def camera_poses(self, count: int, rng: np.random.Generator) -> list[CameraPose]:
        """Return poses of a camera on vehicles that drive on the city's streets."""
        legs = [leg for node in self.city.legs_inside().values() for _, leg in node]
        return [self._pose_on(legs[rng.integers(len(legs))], rng) for _ in range(count)]

    def _pose_on(self, leg: np.ndarray, rng: np.random.Generator) -> CameraPose:
        at = rng.integers(len(leg) - 1)
        heading = leg[at + 1] - leg[at]
        yaw = float(np.arctan2(heading[1], heading[0]))
        right_m = np.clip(rng.normal(1.6, .35), .8, 2.0)
        spot = leg[at] + rng.uniform() * heading + right_m * np.array([np.sin(yaw), -np.cos(yaw)])
        return self.mounted(float(spot[0]), float(spot[1]), yaw + rng.normal(0, .06), rng)

    def mounted(self, east_m: float, north_m: float, yaw_rad: float,
                rng: np.random.Generator) -> CameraPose:
        """Return the pose of a camera whose height and tilt are as the difficulty has them."""
        mount = self.world.mount(MOUNTS[self.difficulty])
        height_m = mount.draw_height_m(rng)
        roll, pitch = rng.normal(0, mount.tilt_sigma_rad, 2)
        return CameraPose(
            east_m, north_m, height_m, yaw_rad, roll_rad=float(roll), pitch_rad=float(pitch))

    def orthophoto(self, resolution_m: float = 0.2) -> Orthophoto:
        """Return the whole city from above, on the aerial day."""
        day = self._day(self.aerial_look, aloft=True)
        size = round(2 * HALF_SIZE_M / resolution_m)
        rng = np.random.default_rng([self.aerial_look.seed, 2])
        bands = [self._orthophoto_band(day, first, size, resolution_m, rng)
                 for first in range(0, size, _ORTHOPHOTO_BAND_ROWS)]
        image = self.aerial_look.expose(np.concatenate(bands), rng)
        return Orthophoto(image, resolution_m, (0.0, 0.0))

    def _day(self, look: Look, aloft: bool = False) -> _Day:
        return _Day(self.city, look, self._beacons, self.world, aloft)

    def _orthophoto_band(self, day: _Day, first: int, size: int, resolution_m: float,
                         rng: np.random.Generator) -> np.ndarray:
        rows = min(_ORTHOPHOTO_BAND_ROWS, size - first)
        jitter = rng.uniform(0.2, 0.8, (2, rows, size))
        x = (np.arange(size) + jitter[0]) * resolution_m - HALF_SIZE_M
        y = HALF_SIZE_M - (np.arange(first, first + rows)[:, None] + jitter[1]) * resolution_m
        down = np.array([*self._lean, -1.0])
        start = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3) - 100.0 * down
        directions = np.broadcast_to(down / np.linalg.norm(down), start.shape)
        radiance = day.trace(start, directions, np.full(len(start), resolution_m))
        return radiance.reshape(rows, size, 3)

    def panorama(self, pose: CameraPose, width: int = 1024, height: int = 512,
                 frame: int = 0) -> np.ndarray:
        """
        Return the (height, width, 3) uint8 RGB panorama of a camera, on the ground day.

        :param frame: numbers the images of one camera: traffic and sensor noise follow from it.
        """
        return self.view(pose, PanoramaCamera(width, height), frame)

    def view(self, pose: CameraPose, camera: PanoramaCamera | PinholeCamera,
             frame: int = 0) -> np.ndarray:
        """Return the uint8 RGB image of a camera; see `panorama`."""
        rng = np.random.default_rng([self.ground_look.seed, 3, frame])
        if self._street_day is None:
            self._street_day = self._day(self.ground_look)
        body = camera.directions()
        directions = (body.reshape(-1, 3) @ pose.rotation.T.astype(np.float32))
        start = np.broadcast_to(pose.position.astype(np.float32), directions.shape)
        traffic = _Obstacles(_traffic_around(pose, self.hard, rng), rng, self.world)
        pixel_rad = 2 * np.pi / body.shape[1]
        radiance = self._street_day.trace(start, directions, pixel_rad, traffic)
        radiance = radiance.reshape(*body.shape[:2], 3)
        radiance[self.world.is_body(body)] = self._street_day.vehicle_colour
        return self.ground_look.expose(radiance, rng)


class _Obstacles:
    """A traceable mesh with a colour and the wall axes of every triangle."""

    def __init__(self, mesh: Mesh, rng: np.random.Generator, world: World):
        self.mesh = mesh
        self.scene = EmbreeScene()
        if len(mesh.triangles):
            TriangleMesh(self.scene, mesh.triangles)
        edges = np.diff(mesh.triangles, axis=1)
        normal = np.cross(edges[:, 0], edges[:, 1])
        self.normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        self.colour = _surface_colours(mesh, rng, {**_SURFACE_HSV, **world.surface_hsv})

    def cast(self, start, directions):
        """Return (distance, triangle) of the first hits; no hit is triangle -1."""
        if not len(self.mesh.triangles):
            return np.full(len(start), 1e30, np.float32), np.full(len(start), -1)
        hit = self.scene.run(start, directions, query='INTERSECT', output=True)
        return np.where(hit['primID'] >= 0, hit['tfar'], np.float32(1e30)), hit['primID']


class _Day:
    """The city on one day, ready for rays."""

    def __init__(self, city: City, look: Look, beacons: Sequence[Beacon], world: World,
                 aloft: bool = False):
        self.aloft = aloft  # seen from straight above: no haze between
        rng = np.random.default_rng([look.seed, 4])
        self.look, self._style = look, world.facade
        self._things = _Obstacles(
            _standing_things(city, look, beacons, world.hipped, rng), rng, world)
        glowing = self._things.mesh.surface == Surface.BEACON
        self._things.colour[glowing] = np.repeat(
            np.reshape([beacon.colour for beacon in beacons], (-1, 3)),
            glowing.sum() // max(len(beacons), 1), axis=0)
        if look.season == 'winter':
            self._strip_leaves(rng)
        self._ground = ground_pyramid(paint_ground(city, look, world))
        self._facade = rng.uniform(0, 1, (4096, 4)).astype(np.float32)
        self.vehicle_colour = colour(rng, (0, 360), (0, .15), (.05, .6))

    def _strip_leaves(self, rng: np.random.Generator) -> None:
        bare = self._things.mesh.surface == Surface.CROWN
        self._things.colour[bare] = colours(rng, int(bare.sum()), (15, 40), (.1, .35), (.15, .4))

    def trace(self, start, directions, footprint, traffic: _Obstacles | None = None):
        """
        Return (K, 3) float32 radiance along rays.

        :param footprint: (K,) metres that a ray covers on the ground, or one angle a pixel (rad).
        """
        start = np.ascontiguousarray(start, np.float32)
        directions = np.ascontiguousarray(directions, np.float32)
        distance, triangle = self._things.cast(start, directions)
        to_ground = np.where(directions[:, 2] < -1e-4,
                             -start[:, 2] / np.minimum(directions[:, 2], -1e-4), 1e30)
        on_ground = to_ground < distance
        distance = np.minimum(distance, to_ground)
        on_thing = (triangle >= 0) & ~on_ground
        radiance = np.empty((len(start), 3), np.float32)
        skyward = np.nonzero(~(on_ground | on_thing))[0]
        radiance[skyward] = self._sky(directions[skyward])
        self._shade_ground(
            radiance, np.nonzero(on_ground)[0], start=start, directions=directions,
            distance=distance, footprint=footprint)
        self._shade_things(
            radiance, np.nonzero(on_thing)[0], self._things, triangle=triangle, start=start,
            directions=directions, distance=distance)
        if traffic is not None:
            nearer, triangle = traffic.cast(start, directions)
            front = np.nonzero(nearer < distance)[0]
            self._shade_things(
                radiance, front, traffic, triangle=triangle, start=start, directions=directions,
                distance=nearer)
        return radiance

    def _shade_ground(self, radiance, index, start, directions, distance, footprint) -> None:
        point = start[index] + distance[index, None] * directions[index]
        if np.ndim(footprint):
            footprint_m = footprint[index]
        else:  # between the footprint's length and width, which differ at grazing angles
            footprint_m = footprint * distance[index] / np.sqrt(-directions[index, 2])
        albedo = sample_ground(self._ground, point[:, 0], point[:, 1], footprint_m)
        light = self._light(point, np.array([[0, 0, 1]], np.float32))
        radiance[index] = self._through_haze(albedo * light, distance[index])

    def _shade_things(self, radiance, index, obstacles, triangle, start, directions,
                      distance) -> None:
        hit = triangle[index]
        ray = directions[index]
        point = start[index] + distance[index, None] * ray
        normal = obstacles.normal[hit]
        normal = normal * -np.sign(np.sum(normal * ray, axis=1, keepdims=True))
        surface = obstacles.mesh.surface[hit]
        albedo = obstacles.colour[hit] * self._texture(surface, point)
        walls = np.nonzero(surface == Surface.WALL)[0]
        if len(walls):
            albedo[walls] = self._windows(
                albedo[walls], point[walls], normal[walls], obstacles.mesh.thing[hit[walls]])
        light = self._light(point, normal)
        light[surface == Surface.BEACON] = 1.0
        radiance[index] = self._through_haze(albedo * light, distance[index])

    def _texture(self, surface, point) -> np.ndarray:
        """Return (K, 1) brightness of leaves and roof tiles."""
        waves = np.array([[9.1, 4.3], [5.7, -8.9], [3.1, 7.7]], np.float32)
        wave = np.sin(point @ waves).prod(axis=1)
        depth = np.array([.06, .12, .35, .1, .03, .0, .1, .0], np.float32)[surface]
        return (1 + depth * wave)[:, None]

    def _windows(self, albedo, point, normal, thing) -> np.ndarray:
        """Return wall albedo with rows of windows, doors and shop fronts."""
        wall, style = self._facade[thing % len(self._facade)], self._style
        along = point[:, 1] * normal[:, 0] - point[:, 0] * normal[:, 1]
        column = along / _between(style.bay_m, wall[:, 0])
        storey = point[:, 2] / _between(style.storey_m, wall[:, 3])
        across, up = column % 1, storey % 1
        half = _between(style.half_width, wall[:, 1])
        level = np.abs(up - .55) < style.half_height
        window = (np.abs(across - .5) < half) & level
        shop = (storey < 1) & (wall[:, 2] > 1 - style.shops) & (np.abs(across - .5) < .42) & (
            up < .8)
        chosen = (window & (storey >= .3)) | shop
        pane = self._facade[(np.floor(column) * 7 + np.floor(storey) * 131).astype(int) % 4096, 0]
        glass = .08 + .3 * pane[:, None] * np.array([.8, .95, 1.1], np.float32)
        high, bright = style.band
        albedo = albedo * np.where(up < high, bright, 1.)[:, None]
        shutter = level & (wall[:, 2] < style.shutters) & (np.abs(across - .5) < 2 * half)
        albedo = np.where(shutter[:, None], _SHUTTER, albedo)
        return np.where(chosen[:, None], glass, albedo)

    def _light(self, point, normal) -> np.ndarray:
        """Return (K, 3) sun and sky light on faces."""
        look = self.look
        facing = np.maximum(normal @ look.sun.astype(np.float32), 0)
        facing = np.broadcast_to(facing, len(point)).copy()
        lit = np.nonzero(facing > 0)[0]
        if look.sun_light.max() > .3 and len(lit):
            start = point[lit] + .02 * (normal if len(normal) == 1 else normal[lit])
            towards = np.broadcast_to(look.sun.astype(np.float32), start.shape)
            blocked = self._things.scene.run(
                np.ascontiguousarray(start, np.float32), np.ascontiguousarray(towards),
                query='OCCLUDED')
            facing[lit[blocked >= 0]] = 0
        sky = .55 + .45 * normal[:, 2:]
        return (facing[:, None] * look.sun_light + sky * look.sky_light).astype(np.float32)

    def _sky(self, directions) -> np.ndarray:
        up = np.clip(directions[:, 2:], 0, 1)
        waves = np.array([[7, 3], [4, -6], [9, 12]], np.float32)
        clouds = np.sin(directions @ waves).prod(axis=1)
        bright = (.75 + .1 * clouds)[:, None] * self.look.sky_light / self.look.sky_light.mean()
        blue = np.array([1.2, .8, .3], np.float32)
        return (bright * (1.15 - .45 * up * blue)).astype(np.float32)

    def _through_haze(self, radiance, distance) -> np.ndarray:
        if self.aloft:
            return radiance
        clear = np.exp(-np.minimum(distance, 2000) / _HAZE_M)[:, None].astype(np.float32)
        return radiance * clear + .72 * (1 - clear)


def _standing_things(city: City, look: Look, beacons: Sequence[Beacon],
                     hipped: bool, rng: np.random.Generator) -> Mesh:
    """Return the mesh of the city with the trees, cars and people of a day."""
    shapes = np.random.default_rng([city.seed, 5])  # crowns keep their shape over the seasons
    parts = [meshes.building(shape, hipped) for shape in city.buildings]
    parts += [meshes.tree(shape, shapes, look.leaves) for shape in city.trees]
    parts += [meshes.post(shape) for shape in city.posts]
    parts += [meshes.car(_nudged(slot, rng), rng) for slot in city.slots
              if rng.uniform() < look.cars]
    for _ in range(look.people):
        road = city.roads[rng.integers(len(city.roads))]
        spot = road.polyline[rng.integers(len(road.polyline))] + rng.normal(0, 6, 2)
        parts.append(meshes.person(spot, rng))
    parts += [meshes.beacon(shape) for shape in beacons]
    return Mesh.join(parts)


def _nudged(slot: ParkingSlot, rng: np.random.Generator) -> ParkingSlot:
    centre = np.asarray(slot.centre) + rng.normal(0, .2, 2)
    return ParkingSlot(tuple(centre), slot.yaw_rad + rng.normal(0, .03))


def _traffic_around(pose: CameraPose, hard: bool, rng: np.random.Generator) -> Mesh:
    """Return vehicles on the lanes ahead, behind and beside a camera."""
    forward = np.array([np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)])
    left = np.array([-forward[1], forward[0]])
    parts = []
    for _ in range(rng.integers(3, 7) if hard else rng.integers(0, 3)):
        lane_m = rng.choice([0.0, 3.3])
        along_m = rng.choice([-1, 1]) * rng.uniform(9, 40)
        if lane_m:
            along_m *= rng.uniform(.1, 1)
        centre = np.array([pose.east_m, pose.north_m]) + along_m * forward + lane_m * left
        parts.append(meshes.car(ParkingSlot(tuple(centre), pose.yaw_rad), rng, moving=True))
    return Mesh.join(parts)


def _between(limits: tuple[float, float], share: np.ndarray) -> np.ndarray:
    return limits[0] + (limits[1] - limits[0]) * share


def _surface_colours(mesh: Mesh, rng: np.random.Generator, ranges: dict) -> np.ndarray:
    """Return the (T, 3) albedo of triangles: one colour for each thing and surface."""
    things = int(mesh.thing.max()) + 1 if len(mesh.thing) else 0
    table = np.stack([colours(rng, max(things, 1), *ranges[kind]) for kind in Surface])
    return table[mesh.surface, mesh.thing].astype(np.float32)

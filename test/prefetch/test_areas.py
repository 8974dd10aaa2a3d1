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

"""Which tiles a route needs: none is left out, hardly one is too many, wherever on Earth."""

from fg2_ros.geometry import mercator
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.prefetch.areas import tiles_within
from fg2_ros.prefetch.routes import box, Route, WGS84
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

LATITUDES = st.floats(-84.0, 84.0)
LONGITUDES = st.floats(-180.0, 180.0)
MARGINS = st.sampled_from([0.0, 30.0, 400.0, 6000.0])
SEEDS = st.integers(0, 10 ** 6)


def wandering(latitude, longitude, step_deg, seed):
    """Return a line of four places, which may cross +-180 degrees."""
    moves = np.random.default_rng(seed).uniform(-step_deg, step_deg, (4, 2))
    line = np.array([latitude, longitude]) + np.cumsum(moves, axis=0)
    line[:, 1] = wrapped(line[:, 1])
    return np.clip(line, [-85, -180], [85, 180])


def wrapped(longitude):
    """Return longitudes between -180 and 180 degrees."""
    return (longitude + 180) % 360 - 180


def along(line, count, generator):
    """Return random places on a line's edges, straight in degrees."""
    edge = generator.integers(0, len(line) - 1, count)
    step = line[edge + 1] - line[edge]
    step[:, 1] = wrapped(step[:, 1])
    return line[edge] + generator.random((count, 1)) * step


def tile_at(latitude, longitude, zoom):
    """Return the tile under a place."""
    x, y = mercator.world_pixel_from_geodetic(latitude, wrapped(longitude), zoom, tile_px=1)
    return TileId(zoom, int(x) % 2 ** zoom, int(y))


def ground(tile):
    """Return a grid of places on a tile, its edges included."""
    share = np.linspace(0, 1, 5)
    x, y = np.meshgrid(tile.x + share, tile.y + share)
    return mercator.geodetic_from_world_pixel(x.ravel(), y.ravel(), tile.zoom, tile_px=1)


def test_a_point_needs_the_tile_it_lies_on():
    route = Route((np.array([[47.3, 8.5]]),))
    assert list(tiles_within(route, 0.0, 17)) == [tile_at(47.3, 8.5, 17)]


@settings(max_examples=60, deadline=None)
@given(LATITUDES, LONGITUDES, MARGINS, st.integers(12, 19), SEEDS)
def test_every_place_within_the_margin_is_covered(latitude, longitude, margin_m, zoom, seed):
    generator = np.random.default_rng(seed)
    line = wandering(latitude, longitude, 0.03, seed)
    tiles = set(tiles_within(Route((line,)), margin_m, zoom))
    start = along(line, 200, generator)
    distance_m = margin_m * np.sqrt(generator.random(200))
    distance_m[:50] = margin_m
    places = WGS84.fwd(start[:, 1], start[:, 0], generator.uniform(0, 360, 200), distance_m)
    for there_longitude, there_latitude in zip(*places[:2]):
        if abs(there_latitude) < mercator.MAX_LATITUDE_DEG:
            assert tile_at(there_latitude, there_longitude, zoom) in tiles


@settings(max_examples=15, deadline=None)
@given(LATITUDES, LONGITUDES, st.sampled_from([0.0, 50.0, 800.0]), SEEDS)
def test_hardly_a_tile_is_too_many(latitude, longitude, margin_m, seed):
    line = wandering(latitude, longitude, 0.004, seed)
    tile_m = mercator.ground_resolution_m(latitude, 16, tile_px=1)
    dense = along(line, 100, np.random.default_rng(seed))
    for tile in tiles_within(Route((line,)), margin_m, 16):
        there = np.array(ground(tile))
        pairs = np.broadcast_arrays(
            there[1][:, None], there[0][:, None], dense[:, 1], dense[:, 0])
        nearest_m = WGS84.inv(*(each.ravel() for each in pairs))[2].min()
        raster_m = 0.2 * tile_m  # a tile is looked at in a few places only, and so is the line
        assert nearest_m <= margin_m + 0.04 * max(margin_m, tile_m) + raster_m


def test_tiles_are_distinct_and_counted_without_listing_them():
    line = np.array([[10.0, 20.0], [10.1, 20.1], [10.0, 20.0]])
    area = tiles_within(Route((line, line)), 300.0, 16)
    tiles = list(area)
    assert len(tiles) == len(set(tiles)) == len(area)
    assert tiles == sorted(tiles, key=lambda tile: (tile.y, tile.x))


def test_a_box_is_filled_and_its_outline_widened():
    """Against the columns and rows that the corners of a box on the equator give."""
    area = tiles_within(box(-1.0, -1.0, 1.0, 1.0), 0.0, 12)
    per_degree = 2 ** 12 / 360
    columns = np.floor(2048 + np.array([-1, 1]) * per_degree)
    assert len(area) == (np.diff(columns)[0] + 1) ** 2
    wider = set(tiles_within(box(-1.0, -1.0, 1.0, 1.0), 20_000.0, 12))
    assert wider > set(area)
    assert tile_at(1.17, 0.3, 12) in wider and tile_at(1.17, 1.17, 12) not in wider


def test_a_box_across_the_antimeridian_is_the_narrow_one():
    area = tiles_within(box(179.0, -1.0, -179.0, 1.0), 0.0, 10)
    assert set(area) == set(
        tiles_within(box(179.0, -1.0, 180.0, 1.0), 0.0, 10)) | set(
        tiles_within(box(-180.0, -1.0, -179.0, 1.0), 0.0, 10))
    assert {tile.x for tile in area} == {1021, 1022, 1023, 0, 1, 2}


def test_the_whole_world_is_counted_at_any_zoom():
    limit = mercator.MAX_LATITUDE_DEG
    world = box(-180, -limit, 180, limit)
    for zoom in (0, 3, 9):
        assert len(tiles_within(world, 0.0, zoom)) == 4 ** zoom
    with pytest.raises(ValueError, match='that is 1,073,.* tiles, more than'):
        tiles_within(world, 0.0, 15)


def test_a_hole_is_left_out():
    outer = np.array([[0, 0], [0, 2], [2, 2], [2, 0], [0, 0.0]])
    hole = np.array([[0.5, 0.5], [0.5, 1.5], [1.5, 1.5], [1.5, 0.5], [0.5, 0.5]])
    tiles = set(tiles_within(Route(areas=((outer, hole),)), 0.0, 12))
    assert tile_at(1.0, 1.0, 12) not in tiles
    for place in ((0.25, 1.0), (0.5, 1.0), (1.5, 0.5), (1.75, 1.0), (2.0, 2.0)):
        assert tile_at(*place, 12) in tiles


@settings(max_examples=40, deadline=None)
@given(LATITUDES, LONGITUDES, SEEDS)
def test_every_place_inside_an_area_is_covered(latitude, longitude, seed):
    generator = np.random.default_rng(seed)
    corners = np.clip(
        [latitude, longitude] + generator.uniform(-0.05, 0.05, (3, 2)), [-85, -999], [85, 999])
    shares = generator.dirichlet([1, 1, 1], 100)
    places = shares @ corners
    ring = np.column_stack([corners[:, 0], wrapped(corners[:, 1])])
    tiles = set(tiles_within(Route(areas=((ring,),)), 0.0, 17))
    assert all(tile_at(*place, 17) in tiles for place in places)


def test_latitudes_limit_an_area():
    """On both hemispheres, with the tiles on the limits."""
    area = tiles_within(box(-0.2, -0.2, 0.2, 0.4), 0.0, 14)
    band = area.within_parallels(0.1, 0.15)
    latitudes = {tile: np.abs(ground(tile)[0]) for tile in area}
    assert set(band) == {tile for tile in area
                         if latitudes[tile].max() >= 0.1 and latitudes[tile].min() <= 0.15}
    assert len(area.within_parallels(50.0, 60.0)) == 0


@pytest.mark.parametrize('bounds', [
    (-0.05, -0.1, 0.07, 0.1), (179.95, -0.1, -179.93, 0.1), (10.0, 10.0, 20.0, 20.0),
    (-180.0, -85.0, 180.0, 85.0)])
def test_bounds_limit_an_area_as_they_limit_its_source(bounds):
    source = TileSource('http://localhost/{z}/{x}/{y}', bounds=bounds)
    for longitude in (0.0, 180.0):
        area = tiles_within(Route((np.array([[0.0, longitude]]),)), 20_000.0, 13)
        inside = area.within_bounds(bounds)
        assert list(inside) == [tile for tile in area if source.covers(tile)]


@pytest.mark.parametrize('margin_m, route, problem', [
    (-1.0, Route((np.array([[0.0, 0.0]]),)), 'margin of -1 m'),
    (1e7, Route((np.array([[0.0, 0.0]]),)), 'margin of 1e[+]07 m'),
    (1.0, Route((np.array([[86.0, 0.0]]),)), 'reaches 86.0000 degrees'),
    (1.0, Route(areas=((np.array([[80.0, -120], [80, 0], [80, 120]]),),)), 'encloses a pole')])
def test_what_makes_no_sense_is_refused(margin_m, route, problem):
    with pytest.raises(ValueError, match=problem):
        tiles_within(route, margin_m, 5)

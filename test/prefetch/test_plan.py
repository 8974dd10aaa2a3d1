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

"""Plans for a route: the tiles that patches along it need, at the zooms that they take."""

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.mosaic import best_zoom, footprint
from fg2_ros.prefetch.plan import areas_for, coarser_plan, make_plan, tiles_at
from fg2_ros.prefetch.routes import box, Route, WGS84
import numpy as np
import pytest

RESOLUTION_M = 0.2
ZOOM = 17
STREET = Route((np.array([[47.0, 8.5], [47.001, 8.503]]),))


@pytest.mark.parametrize('latitude_deg, max_zoom', [
    (47.0, 22), (-33.3, 22), (0.01, 22), (60.0, 18)])
def test_a_plan_holds_what_patches_along_the_route_need(latitude_deg, max_zoom):
    """Everywhere within the margin, at the zoom that a patch there takes."""
    source = TileSource('http://localhost/{z}/{x}/{y}', max_zoom=max_zoom)
    line = np.array([[latitude_deg, 179.99], [latitude_deg + 0.05, -179.98]])
    size_m, margin_m = 56.0, 120.0
    tiles = {tile for area in areas_for(Route((line,)), margin_m, size_m / 280, source.layout)
             for tile in area}
    generator = np.random.default_rng(0)
    for share in generator.random(40):
        latitude, longitude = line[0] + share * (line[1] - line[0] + [0, 360])
        reach_m = (margin_m - size_m / np.sqrt(2)) * generator.random()
        longitude, latitude, _ = WGS84.fwd(longitude, latitude, 360 * generator.random(), reach_m)
        view = PatchView(MapFrame(latitude, longitude), (0.0, 0.0), size_m, 280)
        needed = footprint(view, source.layout, best_zoom(view, source.layout))
        assert set(needed.addresses) <= tiles


def test_a_route_across_a_change_of_zoom_gets_each_where_it_is_used():
    """At 47.6 degrees zoom 18 becomes as fine as 0.4028 m; only near it there are both."""
    source = TileSource('http://localhost/{z}/{x}/{y}')
    resolution_m = mercator.ground_resolution_m(47.6, 18)
    coarse, fine = areas_for(
        Route((np.array([[47.5, 8.0], [47.7, 8.0]]),)), 100.0, resolution_m, source.layout)
    assert (coarse.zoom, fine.zoom) == (18, 19)
    for area, check in ((coarse, lambda latitude: latitude > 47.59),
                        (fine, lambda latitude: latitude < 47.61)):
        latitudes, _ = mercator.geodetic_from_world_pixel(0.0, area.rows, area.zoom, tile_px=1)
        assert len(area) > 100 and check(latitudes).all()


def test_absurd_areas_are_refused_with_their_number():
    source = TileSource('http://localhost/{z}/{x}/{y}')
    with pytest.raises(ValueError, match=r'that is \d{1,3}(,\d{3}){2,} tiles, more than'):
        areas_for(box(8, 46.5, 9.5, 47.5), 100.0, RESOLUTION_M, source.layout)


@pytest.mark.parametrize('as_area', [False, True])
def test_a_route_that_jumps_to_and_fro_is_refused_with_its_longest_edge(as_area):
    """Before the memory of the machine is full."""
    places = np.array([(-4.5, 9.5) if index % 2 else (47.5, 8.7 + index / 1e4)
                       for index in range(2000)])
    route = Route(areas=((places,),)) if as_area else Route((places,))
    source = TileSource('http://localhost/{z}/{x}/{y}')
    with pytest.raises(ValueError, match=r'from 47.50000, 8.7.*km away: if that is a jump'):
        areas_for(route, 50.0, RESOLUTION_M, source.layout)


def test_zooms_and_bounds_of_the_source_limit_a_plan():
    source = TileSource('http://localhost/{z}/{x}/{y}', 'Orthos', max_zoom=16,
                        bounds=(8.5, 47.0, 8.6, 47.1))
    area, = areas_for(STREET, 500.0, RESOLUTION_M, source.layout)
    assert area.zoom == 16 and all(map(source.covers, area))
    assert len(area) < len(tiles_at(STREET, 500.0, 16, TileSource('http://localhost/{q}').layout))
    with pytest.raises(ValueError, match='Orthos has the zooms 0 to 16, not 17'):
        tiles_at(STREET, 500.0, 17, source.layout)


def test_coarser_tiles_serve_where_the_source_has_none(tmp_path):
    """What `TileImagery` falls back on: the parents of what is lacking, and those beside."""
    source = TileSource('http://localhost/{z}/{x}/{y}', min_zoom=ZOOM - 1)

    def plan_at(margin_m, zoom):
        area = tiles_at(STREET, margin_m, zoom, source.layout)
        return make_plan((area,), MbtilesIndex(tmp_path), 256)

    plan = plan_at(100.0, ZOOM)
    area, = plan.areas
    corner = next(iter(area))
    allowed = plan_at(1000.0, ZOOM - 1)
    coarser = coarser_plan(plan, [corner], MbtilesIndex(tmp_path), allowed)
    assert coarser.zooms == [ZOOM - 1]
    beside = {TileId(ZOOM - 1, corner.x // 2 + i, corner.y // 2 + j)
              for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert set(coarser) == beside
    assert coarser_plan(plan, [], MbtilesIndex(tmp_path), allowed).tiles == 0
    known = MbtilesIndex(tmp_path, absent=frozenset([corner]))
    assert coarser_plan(plan, [], known, allowed).tiles == 9
    assert coarser_plan(coarser, list(coarser), MbtilesIndex(tmp_path), allowed).tiles == 0
    near = plan_at(100.0, ZOOM - 1)
    assert set(coarser_plan(plan, [corner], MbtilesIndex(tmp_path), near)) == beside & set(near)

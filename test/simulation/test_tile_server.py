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

"""The tile server: beacons where pyproj says, nothing outside, and faults on request."""

import io
import threading

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import RasterImagery
from fg2_ros.simulation.tile_server import Faults, TileServer
import numpy as np
from PIL import Image
from pyproj import Transformer
import pytest
import urllib3

HALF_WORLD_M = 20037508.342789244
TO_3857 = Transformer.from_crs('EPSG:4326', 'EPSG:3857', always_xy=True)
RESOLUTION_M = 0.2
BEACON_M = 1.5  # sigma
BEACONS = [(-50.0, 30.0), (0.0, 0.0), (41.3, -17.9)]  # from the centre
CENTRE = (120.0, -250.0)


def orthophoto(background: int = 0) -> np.ndarray:
    """Return 140 x 140 m with a soft white beacon at each of `BEACONS`."""
    axis = (np.arange(700) + 0.5 - 350) * RESOLUTION_M
    east, north = np.meshgrid(axis, -axis)
    light = sum(np.exp(-((east - e) ** 2 + (north - n) ** 2) / (2 * BEACON_M ** 2))
                for e, n in BEACONS)
    grey = np.round(background + (255 - background) * np.clip(light, 0, 1))
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def world_pixel(frame, east, north, zoom) -> np.ndarray:
    latitude, longitude = frame.geodetic_from_map(east, north)
    metres = np.array(TO_3857.transform(longitude, latitude))
    return (metres * (1, -1) + HALF_WORLD_M) / (2 * HALF_WORLD_M) * 256 * 2 ** zoom


def get(server, zoom, x, y, **headers):
    url = server.url_template.format(z=zoom, x=x, y=y)
    return urllib3.request('GET', url, headers=headers, retries=False, timeout=60)


def pixels(response) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(response.data)).convert('L'), float)


def mosaic_around(server, zoom, place) -> tuple[np.ndarray, np.ndarray]:
    """Return the four tiles around a world pixel, and their north-west corner."""
    x, y = np.round(place / 256).astype(int) - 1
    rows = [[pixels(response) if (response := get(server, zoom, x + i, y + j)).status == 200
             else np.zeros((256, 256)) for i in (0, 1)] for j in (0, 1)]
    return np.block(rows), np.array([x, y]) * 256


@pytest.mark.parametrize('datum', [
    (0.0, 0.0), (47.0, 8.5), (-34.0, 18.4), (65.0, -22.0), (-17.0, 179.9)])
@pytest.mark.parametrize('zoom', [17, 20])
def test_beacons_are_where_pyproj_puts_them(datum, zoom):
    frame = MapFrame(*datum)
    metres_per_px = 2 * HALF_WORLD_M * np.cos(np.radians(datum[0])) / (256 * 2 ** zoom)
    with TileServer(
            RasterImagery(orthophoto(), frame, CENTRE, RESOLUTION_M).tile,
            image_format='png') as server:
        for east, north in BEACONS:
            expected = world_pixel(frame, CENTRE[0] + east, CENTRE[1] + north, zoom)
            mosaic, corner = mosaic_around(server, zoom, expected)
            row, column = np.mgrid[:512, :512] + 0.5
            near = np.hypot(column - (expected - corner)[0], row - (expected - corner)[1]) \
                < 6 * BEACON_M / metres_per_px
            weight = mosaic * near
            found = corner + np.array([(weight * column).sum(), (weight * row).sum()]
                                      ) / weight.sum()
            assert np.abs(found - expected).max() * metres_per_px < 0.03


def test_one_pixel_stripes_are_averaged_in_coarse_tiles():
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 240
    frame = MapFrame(47.0, 8.5)
    with TileServer(
            RasterImagery(stripes, frame, (0.0, 0.0), 0.1).tile, image_format='png') as server:
        x, y = world_pixel(frame, 0.0, 0.0, 17)
        tile = pixels(get(server, 17, int(x // 256), int(y // 256)))
    inside = tile[tile > 60]
    assert inside.size > 500
    assert np.median(inside) == pytest.approx(120, abs=2)
    assert np.percentile(np.abs(inside - 120), 80) < 3


@pytest.fixture
def served():
    """Return a server at 47 N and the address of the tile around the orthophoto's centre."""
    frame = MapFrame(47.0, 8.5)
    tiles = RasterImagery(orthophoto(60), frame, (0.0, 0.0), RESOLUTION_M).tile
    with TileServer(tiles) as server:
        x, y = world_pixel(frame, 0.0, 0.0, 19) // 256
        yield server, (19, int(x), int(y))


def test_a_tile_is_a_jpeg_with_what_caches_need(served):
    server, tile = served
    response = get(server, *tile)
    assert response.status == 200 and response.headers['Content-Type'] == 'image/jpeg'
    assert Image.open(io.BytesIO(response.data)).size == (256, 256)
    assert response.headers['Cache-Control'] == 'public, max-age=86400'
    again = get(server, *tile, **{'If-None-Match': response.headers['ETag']})
    assert again.status == 304 and again.data == b''
    assert server.requests == 2 and list(server.requested) == [tile, tile]


@pytest.mark.parametrize('change', [(0, 50, 0), (0, 0, -50), (-3, 0, 0), (2, 0, 0)])
def test_outside_there_is_nothing(served, change):
    server, tile = served
    assert get(server, *np.add(tile, change)).status == 404


def test_other_paths_are_not_found(served):
    server, _ = served
    assert urllib3.request('GET', f'http://127.0.0.1:{server.port}/', retries=False).status == 404


@pytest.mark.parametrize('faults, status, body', [
    (Faults(status=503, headers={'Retry-After': '7'}), 503, b''),
    (Faults(body=b'<html>', headers={'Content-Type': 'text/html'}), 200, b'<html>'),
    (Faults(status=302, headers={'Location': 'file:///'}), 302, b''),
    (Faults(status=404), 404, b'')])
def test_faults_change_the_answer_until_they_are_taken_back(served, faults, status, body):
    server, tile = served
    server.faults = faults
    response = urllib3.request(
        'GET', server.url_template.format(z=tile[0], x=tile[1], y=tile[2]), retries=False,
        redirect=False)
    assert (response.status, response.data) == (status, body)
    assert all(response.headers[name] == value for name, value in faults.headers.items())
    server.faults = Faults()
    assert get(server, *tile).status == 200


@pytest.mark.parametrize('faults', [Faults(truncated=True), Faults(reset=True)])
def test_faults_that_break_the_connection(served, faults):
    server, tile = served
    server.faults = faults
    with pytest.raises(urllib3.exceptions.ProtocolError):
        get(server, *tile)


@pytest.mark.parametrize('faults', [Faults(silent=True), Faults(delay_s=30), Faults(drip_s=30)])
def test_faults_that_take_long(served, faults):
    server, tile = served
    server.faults = faults
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        urllib3.request('GET', server.url_template.format(z=tile[0], x=tile[1], y=tile[2]),
                        retries=False, timeout=0.2)


def test_faults_of_some_tiles_leave_the_others_alone(served):
    server, (zoom, x, y) = served
    server.faults = Faults(status=500, applies=lambda z, tile_x, tile_y: tile_x == x)
    assert get(server, zoom, x, y).status == 500
    assert get(server, zoom, x + 1, y).status == 200


def test_serving_in_the_foreground_ends_with_close():
    server = TileServer(lambda zoom, x, y: None)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert get(server, 19, 0, 0).status == 404
    server.close()
    thread.join(60)
    assert not thread.is_alive()

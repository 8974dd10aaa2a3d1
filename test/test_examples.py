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

"""The examples and the README's code run as they stand, in a simulated city behind HTTP."""

from dataclasses import replace
import math
import os
import re
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import run_to_its_end

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.imagery import RasterImagery
import numpy as np
from PIL import Image
import pytest

FRAME = MapFrame(47.5, 8.7)
WIDTH = 640
NUMBER = r'(-?\d+\.\d+)'


@pytest.fixture(scope='module')
def scene():
    from fg2_ros.simulation.scenes import Scene
    return Scene(2042)


@pytest.fixture(scope='module')
def orthophoto(scene):
    return scene.orthophoto()


@pytest.fixture(scope='module')
def pose(scene):
    """Return where a camera stands in the city."""
    return scene.camera_poses(1, np.random.default_rng(0))[0]


@pytest.fixture(scope='module')
def tiles(orthophoto):
    """Serve the city from above."""
    from fg2_ros.simulation.tile_server import TileServer
    city = RasterImagery(orthophoto.image, FRAME, (0.0, 0.0), orthophoto.resolution_m)
    with TileServer(city.tile) as server:
        yield server


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """Return a home directory, where caches are."""
    return tmp_path_factory.mktemp('home')


def run_example(home, name, *arguments):
    """Return what an example prints."""
    finished = run_to_its_end(
        [sys.executable, ROOT / 'examples' / name, *map(str, arguments)], cwd=ROOT,
        env={**os.environ, 'HOME': str(home), 'PYTHONPATH': str(ROOT)})
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def distance_m(first, second):
    """Return the distance between two places, each latitude and longitude."""
    return math.dist(*(FRAME.map_from_geodetic(*map(float, place)) for place in (first, second)))


def write_panorama(path, scene, pose):
    Image.fromarray(scene.panorama(pose, WIDTH, WIDTH // 2)).save(path, quality=95)


def test_localize_image(home, tmp_path, scene, pose, tiles):
    write_panorama(tmp_path / 'panorama.jpg', scene, pose)
    truth = FRAME.geodetic_from_map(pose.east_m, pose.north_m)
    told = FRAME.geodetic_from_map(pose.east_m + 3.0, pose.north_m - 4.0)
    heading_deg = 90.0 - math.degrees(pose.yaw_rad)
    printed = run_example(
        home, 'localize_image.py', tmp_path / 'panorama.jpg', *told, '--heading', heading_deg + 4,
        '--source', tiles.url_template)
    assert 'accepted' in printed
    assert distance_m(re.match(f'{NUMBER}, {NUMBER},', printed).groups(), truth) < 2.0
    found_deg = float(re.search(f'heading {NUMBER} degrees', printed)[1])
    assert abs(math.degrees(wrap_angle(math.radians(found_deg - heading_deg)))) < 3.0


@pytest.fixture(scope='module')
def replayed(home, tmp_path_factory, scene, tiles):
    """Return a drive and what replaying it printed."""
    from fg2_ros.simulation.bag import write_drive
    from fg2_ros.simulation.drive import DriveSettings, simulate_drive
    drive = simulate_drive(scene.city, 5, DriveSettings(frames=20, frame_rate_hz=4.0))
    bag = tmp_path_factory.mktemp('bag') / 'drive'
    write_drive(bag, drive, FRAME, (
        scene.panorama(camera, WIDTH, WIDTH // 2, frame)
        for frame, camera in enumerate(drive.cameras)))
    return drive, run_example(home, 'replay_bag.py', bag, '--source', tiles.url_template)


def test_replay_bag(replayed):
    drive, printed = replayed
    places = re.findall(f'(?m)^[0-9]+: {NUMBER}, {NUMBER}, yaw {NUMBER}$', printed)
    assert len(places) >= 5, printed  # the first ones are too few to be sure
    for (*place, yaw_rad), base in zip(places, drive.frames.poses()[-len(places):], strict=True):
        assert distance_m(place, FRAME.geodetic_from_map(base.x, base.y)) < 3.0
        assert abs(wrap_angle(float(yaw_rad) - base.yaw)) < math.radians(4.0)


def test_read_cache(home, tmp_path, replayed):
    """The replay has filled the cache."""
    drive, _ = replayed
    cache, = (home / '.cache' / 'fg2_ros').glob('*.mbtiles')
    base = drive.frames.poses()[0]
    place = FRAME.geodetic_from_map(base.x, base.y)
    printed = run_example(
        home, 'read_cache.py', cache, *place, tmp_path / 'patch.png', '--size', 40)
    assert re.search(r'zoom \d+: [1-9]\d* tiles', printed)
    assert '40 m around the place, 100% covered' in printed
    assert np.ptp(np.asarray(Image.open(tmp_path / 'patch.png'))) > 100


def test_the_code_of_the_readme(tmp_path, monkeypatch, scene, orthophoto, pose):
    """Only the imagery is another: the city's, moved to the place and turned to the heading."""
    code, = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    latitude, longitude, yaw = map(float, re.search(
        rf'Prior\({NUMBER}, {NUMBER}, .*yaw_rad={NUMBER}', code).groups())
    write_panorama(tmp_path / 'panorama.jpg', scene, replace(pose, yaw_rad=yaw))
    city = RasterImagery(
        orthophoto.image, MapFrame(latitude, longitude), (-pose.east_m, -pose.north_m),
        orthophoto.resolution_m)
    monkeypatch.setattr('fg2_ros.imagery.open_imagery', lambda sources: city)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    estimate = names['estimate']
    assert estimate.accepted, estimate.rejection
    assert math.hypot(estimate.east_m, estimate.north_m) < 2.0
    assert abs(wrap_angle(estimate.yaw_rad - yaw)) < math.radians(3.0)


def test_follow_drive(home):
    """Nothing is said of the first metres; then poses come, and they are right."""
    from fg2_ros.evaluation.drives.rendered import DriveSpec, RenderedDrive
    printed = run_example(home, 'follow_drive.py', '--city-seed', 2100, '--images', 7)
    lines = printed.splitlines()
    assert len(lines) == 7 and 'nothing is published' in lines[0]
    poses = re.findall(
        rf'(?m)^ *{NUMBER} s: {NUMBER} m east \+-{NUMBER}, {NUMBER} m north \+-{NUMBER}, '
        rf'yaw {NUMBER} degrees', printed)
    frames = RenderedDrive(DriveSpec(2100, frames=7), home).drive.frames
    truth = dict(zip((f'{time_s:.2f}' for time_s in frames.time_s), frames.poses()))
    assert poses
    for time_s, east_m, sigma_m, north_m, _, yaw_deg in poses:
        base = truth[time_s]
        assert math.dist(map(float, (east_m, north_m)), base[:2]) < 2.0
        assert 0.05 < float(sigma_m) < 1.5
        assert abs(wrap_angle(math.radians(float(yaw_deg)) - base.yaw)) < math.radians(4.0)

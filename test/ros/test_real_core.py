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

"""The node with the real localizer and HTTP tiles: what files and servers can do to it."""

from itertools import count
import math
from test.helpers.truthful_network import (
    FRAME as WORLD, orthophoto, panorama_at, SIDE_M, TruthfulNetwork)
from test.helpers.vehicle import at, FRAME, image, MOUNT, planar, TRUTH, Vehicle

from fg2_ros.imagery import RasterImagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.localizer import Localizer
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.weights import save_weights
from fg2_ros.ros.conversions import image_from_rgb
from fg2_ros.ros.diagnostics import resident_memory_mb
from fg2_ros.ros.loading import load_imagery, load_localizer, Loaded
from fg2_ros.simulation.tile_server import Faults, TileServer
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch

CAMERA = TRUTH.compose(MOUNT)
PATIENCE_S = 200.0
DOUBTS = ('start', 'agreement', 'mass', 'vague')  # of the tracker, which the network has answered


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Return a file of weights that know nothing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
    save_weights(FG2Network(FG2Config.preset('sim')), path, {'trained_on': 'simulation'})
    yield path
    torch.set_num_threads(threads)


@pytest.fixture
def tiles():
    """Serve a noisy orthophoto around the vehicle."""
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    with TileServer(
            RasterImagery(noise, FRAME, TRUTH[:2], 0.5).tile, min_zoom=15, max_zoom=19) as server:
        yield server


def start(vehicle: Vehicle, weights, tiles: TileServer, cache_path='', active=True):
    """Start a node with the real localizer."""
    return vehicle.start(
        load_localizer, active, datum=list(FRAME.datum), weights=str(weights), device='cpu',
        imagery__url=tiles.url_template, imagery__cache_path=str(cache_path))


def drive_until_estimated(vehicle: Vehicle, seconds: float) -> None:
    """Send images until the localizer has an opinion, accepted or not."""
    stamps = count(seconds, 0.5)
    vehicle.send_all(at(next(stamps)))
    health = vehicle.under_test[0].health
    answered = []

    def estimated():
        found = vehicle.diagnosed()
        if (answers := health.accepted + sum(health.rejected.values())) not in answered:
            answered.append(answers)  # one image at a time: no sensor is as fast as this loop
            stamp = at(next(stamps))
            vehicle.send_odometry_tf(stamp)
            vehicle.send_prior(stamp)
            vehicle.send(image(stamp, width=640, height=320))
        return any(found.get(name, '0') != '0' for name in (
            'accepted', *(f'rejected: {kind}' for kind in DOUBTS)))
    vehicle.until(estimated, 'an estimate is made', PATIENCE_S)


def test_random_weights_do_no_harm(vehicle, weights, tiles, tmp_path):
    """Whatever they answer is a sound pose or a reasoned rejection; the warning is given once."""
    start(vehicle, weights, tiles, tmp_path / 'tiles.mbtiles')
    drive_until_estimated(vehicle, 1.0)
    assert len(vehicle.logged('trained on simulation only')) == 1
    for pose in vehicle.heard['fg2/pose']:
        assert np.linalg.eigvalsh(np.reshape(pose.pose.covariance, (6, 6))).min() > 0
    found = vehicle.diagnosed()
    assert found['accepted'] != '0' or found['last rejection']
    assert int(vehicle.diagnosed('imagery')['downloads']) > 0
    assert tiles.requests > 0


@pytest.fixture
def readable_tiles():
    """Serve an orthophoto whose colours tell a truthful network the place."""
    world = orthophoto().patch(PatchView(WORLD, (0.0, 0.0), SIDE_M, 400)).image
    tiles = RasterImagery(world, FRAME, (0.0, 0.0), SIDE_M / 400).tile
    with TileServer(tiles, min_zoom=15, max_zoom=20, image_format='png') as server:
        yield server


def load_truthful(settings) -> Loaded:
    """Return the real localizer with real imagery, and a network that is always right."""
    imagery = load_imagery(settings.imagery)
    return Loaded(Localizer(TruthfulNetwork(CAMERA[:2]), imagery), imagery)


def drive_until_localized(vehicle: Vehicle, seconds: float):
    """Send panoramas of the truth until a pose comes of one; return it."""
    stamps = count(seconds, 0.1)
    vehicle.send_all(at(next(stamps)))
    health = vehicle.under_test[0].health
    answered = []

    def localized():
        if (answers := health.accepted + sum(health.rejected.values())) not in answered:
            answered.append(answers)  # one image at a time: no sensor is as fast as this loop
            stamp = at(next(stamps))
            vehicle.send_odometry_tf(stamp)
            vehicle.send_prior(stamp)
            vehicle.send(image_from_rgb(panorama_at(CAMERA.yaw), image(stamp).header))
        return vehicle.heard['fg2/pose']
    return vehicle.until(localized, 'a pose comes', PATIENCE_S)[0]


@pytest.mark.parametrize('faults', [Faults(status=503), Faults(reset=True), Faults(delay_s=5.0)])
def test_tile_server_down_or_slow(vehicle, readable_tiles, faults):
    """No tiles, no pose, one message; and the right pose when the server has recovered."""
    vehicle.start(load_truthful, datum=list(FRAME.datum), device='cpu',
                  imagery__url=readable_tiles.url_template, imagery__cache_path='')
    readable_tiles.faults = faults
    vehicle.send_all(at(1.0))
    vehicle.until_diagnosed(
        lambda found: found.get('rejected: imagery', '0') != '0'
        and f'127.0.0.1:{readable_tiles.port}' in found['message'],  # it fails, or is waited for
        'the imagery is missing')
    vehicle.until_logged('no pose')
    assert len(vehicle.logged('no pose')) == 1
    assert vehicle.heard['fg2/pose'] == []
    readable_tiles.faults = Faults()
    pose = drive_until_localized(vehicle, 2.0).pose.pose
    found = planar(pose.position, pose.orientation)
    assert math.dist(found[:2], TRUTH[:2]) < 0.5
    assert abs(found.yaw - TRUTH.yaw) < math.radians(2)


def test_memory_stays_flat_over_a_long_drive(vehicle, readable_tiles):
    """Two thousand images leave nothing behind."""
    node = vehicle.start(load_truthful, datum=list(FRAME.datum), device='cpu',
                         imagery__url=readable_tiles.url_template, imagery__cache_path='')
    drive_until_localized(vehicle, 1.0)
    health, megabytes = node.health, []
    message = image_from_rgb(panorama_at(CAMERA.yaw), image(at(0)).header)
    for number in range(2000):
        stamp = at(1000.0 + number / 10)
        vehicle.send_odometry_tf(stamp)
        vehicle.send_prior(stamp)
        message.header.stamp = stamp
        answers = health.accepted + sum(health.rejected.values())
        vehicle.send(message)
        vehicle.until(lambda: health.accepted + sum(health.rejected.values()) > answers,
                      'the image is answered')
        for messages in vehicle.heard.values():
            messages.clear()
        if number % 500 == 499:
            megabytes.append(resident_memory_mb())
    assert health.accepted > 1000
    assert megabytes[-1] - megabytes[0] < 10, megabytes


@pytest.mark.parametrize('damage', ['missing', 'corrupt', 'truncated', 'shape'])
def test_weights_that_cannot_be_used(vehicle, weights, tiles, tmp_path, damage):
    """The file is named; when it is good, configuring succeeds."""
    path = tmp_path / 'vehicle.safetensors'
    if damage == 'corrupt':
        path.write_bytes(b'not weights at all')
    elif damage == 'truncated':
        path.write_bytes(weights.read_bytes()[:-1000])
    elif damage == 'shape':
        save_with_wrong_shape(weights, path)
    node = start(vehicle, path, tiles, active=False)
    assert not vehicle.change(node, 'configure')
    message = vehicle.until_logged('cannot configure').msg
    assert 'vehicle.safetensors' in message and 'Traceback' not in message
    vehicle.until_diagnosed(lambda found: 'vehicle.safetensors' in found['message'], 'diagnosed')
    path.write_bytes(weights.read_bytes())
    assert vehicle.change(node, 'configure')


def save_with_wrong_shape(weights, path) -> None:
    """Write the weights with one tensor of another shape."""
    from safetensors import safe_open
    with safe_open(weights, 'pt') as file:
        metadata = file.metadata()
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    tensors[name] = torch.zeros(tuple(size + 1 for size in tensors[name].shape))
    save_file(tensors, path, metadata)


def test_cache_that_cannot_be_written(vehicle, weights, tiles, tmp_path):
    """It is said, and the node works without a cache."""
    (tmp_path / 'file').write_text('not a folder')
    start(vehicle, weights, tiles, tmp_path / 'file' / 'tiles.mbtiles')
    vehicle.until_logged('tiles are kept in memory only')
    vehicle.until_diagnosed(lambda found: 'the cache is off' in found['message'],
                            'the cache is diagnosed', 'imagery')
    drive_until_estimated(vehicle, 1.0)


def test_no_address_of_tiles(vehicle, weights):
    """The parameter that is missing is named."""
    node = vehicle.start(load_localizer, False, weights=str(weights))
    assert not vehicle.change(node, 'configure')
    assert 'imagery.url' in vehicle.until_logged('cannot configure').msg

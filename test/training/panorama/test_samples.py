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

"""Samples show what their truth says, and are the same every time."""

from dataclasses import replace
from pathlib import Path
from test.helpers.beacon_scene import BeaconScene, COLOURS, find

from fg2_ros.datasets.simulated import (
    cities, Frame, read_frame, render_city, render_missing, RenderedCity, RenderSettings,
    write_city)
from fg2_ros.geometry.panorama import pixel_from_direction
from fg2_ros.network.config import FG2Config
from fg2_ros.simulation.cameras import CameraPose
from fg2_ros.simulation.layers import NAMES
from fg2_ros.training.panorama import samples
from fg2_ros.training.panorama.samples import (
    ELSEWHERE_M, FrameDataset, make_sample, MixedDataset, PairedDataset, RenderedFrames,
    SampleSettings)
import numpy as np
import pytest

CONFIG = FG2Config.preset('sim')
POSE = CameraPose(23.456, -31.217, 2.0, 0.9)
NEVER_VARIED = SampleSettings(vary_colours=False)


@pytest.fixture(scope='module')
def frame(tmp_path_factory) -> Frame:
    """Return a beacon scene's frame after its way through a city's file."""
    folder = tmp_path_factory.mktemp('frames')
    settings = RenderSettings(frames_per_city=1)
    path = write_city(RenderedCity(0, 'standard'), folder, settings, BeaconScene(POSE), [POSE])
    return read_frame(path, 0)


def mismatches_px(sample) -> list[tuple[float, float]]:
    """Return by how much (columns, rows) the aerial beacons miss the panorama's beacons."""
    size, (height, width) = sample.aerial.shape[0], sample.ground.shape[:2]
    misses = []
    for colour in COLOURS:
        column, row = find(sample.aerial, colour)
        aerial_m = (np.array([row, column]) / size - 0.5) * CONFIG.grid_extent_m
        down_m, right_m = sample.rotation @ aerial_m + sample.translation
        expected = pixel_from_direction(
            np.array([-down_m, -right_m, -POSE.height_m]), width, height)
        found = find(sample.ground, colour)
        across = (found[0] - expected[0] + width / 2) % width - width / 2
        misses.append((abs(across), abs(found[1] - expected[1])))
    return misses


@pytest.mark.parametrize('seed', range(12))
def test_truth_maps_aerial_beacons_onto_the_panoramas(frame, seed):
    sample = make_sample(frame, CONFIG, NEVER_VARIED, np.random.default_rng(seed))
    assert np.max(mismatches_px(sample)) < 2.0  # half a degree is 0.9 columns
    assert np.mean(mismatches_px(sample)) < 0.7


def test_unturned_samples_keep_north_up_and_the_prior_within_its_limits(frame):
    settings = SampleSettings.validation()
    for seed in range(20):
        sample = make_sample(frame, CONFIG, settings, np.random.default_rng(seed))
        bearing = np.arctan2(sample.rotation[1, 0], sample.rotation[0, 0])
        assert abs(np.degrees(bearing)) <= settings.yaw_error_deg + 0.3
        camera = -sample.rotation.T @ sample.translation
        assert np.abs(camera).max() <= settings.prior_offset_m
        assert np.max(mismatches_px(sample)) < 2.0


@pytest.mark.parametrize('seed', range(6))
def test_layers_of_both_grids_show_the_posts_where_the_beacons_are(frame, seed):
    sample = make_sample(frame, CONFIG, NEVER_VARIED, np.random.default_rng(seed))
    axis_m = np.linspace(-CONFIG.grid_extent_m / 2, CONFIG.grid_extent_m / 2, CONFIG.grid_cells)
    cells_m = np.stack(np.meshgrid(axis_m, axis_m, indexing='ij'), -1).reshape(-1, 2)
    size = sample.aerial.shape[0]
    expected_m = np.array([
        (np.array(find(sample.aerial, colour)[::-1]) / size - 0.5) * CONFIG.grid_extent_m
        for colour in COLOURS])
    moved_m = expected_m @ sample.rotation.T + sample.translation
    for coverage, places_m in zip(sample.coverage, (expected_m, moved_m)):
        post = coverage[:, NAMES.index('post')].astype(float)
        total_m2 = post.sum() / 255 * CONFIG.cell_m ** 2
        assert total_m2 == pytest.approx(6 * np.pi * 0.5 ** 2, rel=0.25)
        centroid_m = (post[:, None] * cells_m).sum(0) / post.sum()
        assert np.abs(centroid_m - places_m.mean(0)).max() < 0.7  # half a cell
        near = np.linalg.norm(cells_m[:, None] - places_m, axis=-1).min(1) < 2.0
        assert post[~near].max() == 0


def test_half_of_the_turned_worlds_are_mirrored(frame):
    """The beacons' order around the camera tells; a rotation alone never changes it."""
    handedness = []
    for seed in range(20):
        sample = make_sample(frame, CONFIG, NEVER_VARIED, np.random.default_rng(seed))
        spots = np.array([find(sample.aerial, colour) for colour in COLOURS])
        first, second = (spots - spots.mean(0))[:2]
        handedness.append(first[0] * second[1] - first[1] * second[0])
    assert 4 < np.sum(np.array(handedness) > 0) < 16


def test_a_sample_depends_on_seed_and_number_only(tmp_path):
    settings = RenderSettings(frames_per_city=3)
    wanted = cities(0, 1)
    for city in wanted:
        write_city(city, tmp_path, settings, BeaconScene(POSE, city.seed), [POSE] * 3)

    def dataset(seed):
        return FrameDataset(
            RenderedFrames(wanted, 3, tmp_path), CONFIG, SampleSettings(), seed=seed)
    forwards = [dataset(5)[number] for number in range(8)]
    backwards = [dataset(5)[number] for number in reversed(range(8))][::-1]
    for one, other in zip(forwards, backwards):
        assert all(np.array_equal(*pair) for pair in zip(one, other))
    assert not np.array_equal(dataset(6)[0].translation, forwards[0].translation)
    assert not np.array_equal(forwards[6].translation, forwards[0].translation)


def test_every_frame_comes_once_an_epoch(tmp_path):
    dataset = FrameDataset(
        RenderedFrames(cities(0, 9), 4, tmp_path), CONFIG, SampleSettings(), seed=0)
    first, second = dataset.order(0), dataset.order(1)
    assert sorted(first) == sorted(second) == list(range(40))
    assert not np.array_equal(first, second)


@pytest.fixture
def places(tmp_path) -> RenderedFrames:
    """Return the frames of two cities, of cameras in a row: every 30 m, and every 10 m."""
    wanted = cities(0, 1)
    for city, apart_m in zip(wanted, (30.0, 10.0)):
        poses = [replace(POSE, east_m=number * apart_m, yaw_rad=(6 * city.seed + number) / 100)
                 for number in range(6)]
        write_city(city, tmp_path, RenderSettings(6), BeaconScene(POSE, city.seed), poses)
    return RenderedFrames(wanted, 6, tmp_path)


def test_elsewhere_is_out_of_sight_in_the_same_city(places):
    rng = np.random.default_rng(0)
    for index in range(6):
        found = {places.elsewhere(index, rng) for _ in range(40)}
        assert found == {each for each in range(6) if abs(each - index) * 30 >= ELSEWHERE_M}
    assert {places.elsewhere(7, rng) for _ in range(10)} == {11}  # none is so far: the furthest


def test_samples_come_in_pairs_of_two_places_turned_alike(places, monkeypatch):
    monkeypatch.setattr(samples, 'make_sample', lambda frame, config, settings, rng, turn: (
        round(frame.yaw_rad * 100), turn))
    dataset = PairedDataset(places, CONFIG, SampleSettings(), seed=0)
    firsts, seconds = ([dataset[2 * pair + which] for pair in range(12)] for which in range(2))
    assert sorted(index for index, _ in firsts) == list(range(12))
    for (index, turn), (other, other_turn) in zip(firsts, seconds):
        assert index != other and index // 6 == other // 6 and turn == other_turn
    assert len({turn.turn_rad for _, turn in firsts}) == 12
    assert {turn.mirrored for _, turn in firsts} == {False, True}


def test_two_sources_are_mixed_evenly_and_each_keeps_its_order():
    mixed = MixedDataset([('first', k) for k in range(40)], [('second', k) for k in range(40)], .3)
    drawn = [mixed[number] for number in range(40)]
    for source, count in (('first', 28), ('second', 12)):
        assert [k for name, k in drawn if name == source] == list(range(count))
    every_ten = [sum(name == 'second' for name, _ in drawn[begin:begin + 10])
                 for begin in range(0, 40, 10)]
    assert every_ten == [3, 3, 3, 3]
    assert [MixedDataset(['a'] * 4, ['b'] * 4, share)[2] for share in (0, 1)] == ['a', 'b']


def test_difficulties_alternate():
    assert cities(3, 5) == [
        RenderedCity(3, 'hard'), RenderedCity(4, 'standard'), RenderedCity(5, 'hard')]


def test_a_frame_without_layers_has_no_coverage(frame):
    sample = make_sample(replace(frame, layers=None), CONFIG,
                         SampleSettings(vary_cameras=True), np.random.default_rng(0))
    assert sample.has_layers == 0 and not sample.coverage.any()
    assert make_sample(frame, CONFIG, NEVER_VARIED, np.random.default_rng(0)).has_layers == 1


def test_aerial_images_end_in_black_at_the_citys_edge(tmp_path):
    pose = replace(POSE, east_m=100.0)  # the orthophoto ends at 110 m east
    scene = BeaconScene(pose)
    path = write_city(RenderedCity(0, 'standard'), tmp_path, RenderSettings(1), scene, [pose])
    frame = read_frame(path, 0)
    assert frame.aerial.image.shape == (600, 600, 3)
    sample = make_sample(frame, CONFIG, SampleSettings.validation(), np.random.default_rng(0))
    assert np.max(mismatches_px(sample)) < 2.0


@pytest.fixture
def rendered_once(tmp_path) -> tuple[Path, RenderSettings]:
    """Return a folder with one small rendered city and its settings."""
    settings = RenderSettings(frames_per_city=1, ground_hw=(32, 64), ground_oversampling=1.0)
    render_city(RenderedCity(0, 'standard'), tmp_path, settings)
    return tmp_path, settings


def test_rendering_is_repeatable_and_only_fills_gaps(rendered_once):
    folder, settings = rendered_once
    city = RenderedCity(0, 'standard')
    before = city.file(folder).read_bytes()
    stamp = city.file(folder).stat().st_mtime_ns
    render_missing([city], folder, settings, workers=1)
    assert city.file(folder).stat().st_mtime_ns == stamp
    city.file(folder).unlink()
    render_missing([city], folder, settings, workers=1)
    again = read_frame(city.file(folder), 0)
    assert len(city.file(folder).read_bytes()) == len(before)
    assert again.panorama.shape == (32, 64, 3)
    assert [path.name for path in folder.iterdir()] == [city.file(folder).name]

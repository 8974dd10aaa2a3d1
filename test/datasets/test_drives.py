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

"""Recorded drives in a folder: ground in cells, keyframes, sensors, and what is broken."""

from __future__ import annotations

import json
import math

from fg2_ros.datasets.drives import (
    DRIVE_FILE, DriveFacts, GROUND, IMAGES, Keyframe, KEYFRAMES_FILE, open_drives,
    RecordedDrive, require_images, SensorReadings, SENSORS_FILE, write_drive)
from fg2_ros.datasets.ground_cells import Cell, cell_file, CellLayout, GroundCells, write_cell
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import FileProblem, ImageryGaps, PatchView
import numpy as np
from PIL import Image
import pytest

FRAME = MapFrame(47.4, 8.5)
LAYOUT = CellLayout(0.25, 64, 'a survey', '2024', 'the surveyors')  # cells of 16 m
FACTS = DriveFacts(
    FRAME.datum, Pose2(0.5, -0.1, math.radians(90)), (-0.5, 0.2), LAYOUT, {'bag': 'a.mcap'},
    {'clock_offset_s': 0.1}, {'standstill': 7})


def colour_at(east_m, north_m):
    """Return a field of colours that is linear in the place, within +-40 m."""
    return np.stack([128 + 3 * east_m, 128 + 3 * north_m, 128 + east_m - north_m], axis=-1)


def make_cells(folder, cells, valid=None):
    folder.mkdir(parents=True, exist_ok=True)
    for cell in cells:
        axis_m = (np.arange(64) + 0.5) * LAYOUT.resolution_m
        east_m, north_m = np.meshgrid(cell.east * 16 + axis_m, cell.north * 16 + 16 - axis_m)
        write_cell(folder, cell, np.round(colour_at(east_m, north_m)).astype(np.uint8), valid)
    return GroundCells(folder, FRAME, LAYOUT)


def shown_at(patch):
    """Return the colours that a patch should show."""
    rows, columns = np.mgrid[:patch.view.size_px, :patch.view.size_px] + 0.5
    return colour_at(*patch.map_from_pixel(columns, rows))


AROUND = [Cell(east, north) for east in (-2, -1, 0, 1) for north in (-2, -1, 0, 1)]


@pytest.mark.parametrize('centre_m', [(0.0, 0.0), (-7.3, 4.1), (10.0, -9.9)])
@pytest.mark.parametrize('size_m, size_px', [(20.0, 80), (17.0, 30)])
def test_a_patch_shows_the_ground_across_cells(tmp_path, centre_m, size_m, size_px):
    ground = make_cells(tmp_path, AROUND)
    patch = ground.patch(PatchView(FRAME, centre_m, size_m, size_px))
    assert patch.valid is None
    assert np.abs(patch.image - shown_at(patch)).max() < 4  # JPEG
    assert (patch.source, patch.vintage, patch.attribution) == (
        'a survey', '2024', 'the surveyors')


def test_a_patch_in_the_axes_of_another_map_shows_the_same_ground(tmp_path):
    ground = make_cells(tmp_path, AROUND)
    east_m, north_m = 3.0, -2.0
    other = MapFrame(*FRAME.geodetic_from_map(east_m, north_m))
    patch = ground.patch(PatchView(other, (0.0, 0.0), 20.0, 80))
    rows, columns = np.mgrid[:80, :80] + 0.5
    place_m = np.add(patch.map_from_pixel(columns, rows), [[[east_m]], [[north_m]]])
    assert np.abs(patch.image - colour_at(*place_m)).max() < 4


def test_what_was_not_kept_is_not_valid(tmp_path):
    west = [cell for cell in AROUND if cell.east < 0]
    patch = make_cells(tmp_path, west).patch(PatchView(FRAME, (-2.0, 0.0), 20.0, 80))
    assert patch.valid[:, :47].all()
    assert not patch.valid[:, 48:].any()  # the pixel between has half of its colour from nowhere
    with pytest.raises(ImageryGaps, match='does not reach so far'):
        make_cells(tmp_path, west).patch(PatchView(FRAME, (3.0, 0.0), 20.0, 80))


def test_a_gap_within_a_cell_is_kept(tmp_path):
    kept = np.broadcast_to(np.arange(64) < 48, (64, 64))
    ground = make_cells(tmp_path, [Cell(0, 0)], kept)
    patch = ground.patch(PatchView(FRAME, (8.0, 8.0), 12.0, 48))
    assert patch.valid[:, :39].all()
    assert not patch.valid[:, 40:].any()
    assert np.abs(patch.image - shown_at(patch))[patch.valid].max() <= 1  # PNG


def test_a_damaged_cell_is_named(tmp_path):
    ground = make_cells(tmp_path, AROUND)
    cell_file(tmp_path, Cell(0, 0)).write_bytes(b'no image')
    with pytest.raises(FileProblem, match=str(tmp_path)):
        ground.patch(PatchView(FRAME, (0.0, 0.0), 20.0, 80))


@pytest.mark.parametrize('centre_m', [(0.0, 0.0), (8.0, 8.0), (-20.3, 31.0)])
def test_the_cells_around_a_place_are_those_that_a_circle_touches(centre_m):
    found = set(LAYOUT.cells_within(centre_m, 30.0))
    angle, radius = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(0, 30.0, 121))
    east_m, north_m = (centre_m[0] + radius * np.cos(angle), centre_m[1] + radius * np.sin(angle))
    touched = {Cell(*pair) for pair in zip(
        np.floor(east_m / 16).astype(int).ravel().tolist(),
        np.floor(north_m / 16).astype(int).ravel().tolist())}
    assert touched <= found
    assert len(found) <= len(touched) + 1  # one that the samples of the circle miss


def make_drive(folder):
    """Write a drive of two keyframes."""
    (folder / IMAGES).mkdir(parents=True)
    make_cells(folder / GROUND, AROUND)
    keyframes = [
        Keyframe('1.jpg', 10 ** 18 + 1, Pose2(1.0, 2.0, 0.5), 0.02, 0.003),
        Keyframe('2.jpg', 10 ** 18 + 2, Pose2(-3.25, 2.5, -3.0), 0.05, math.nan, 'test')]
    for keyframe in keyframes:
        Image.new('RGB', (16, 8), (10, 20, 30)).save(folder / IMAGES / keyframe.image)
    sensors = SensorReadings(
        np.array([5, 6]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([2.0, 2.5]),
        np.array([7]), np.arange(6.0)[None], np.array([8]), np.array([[0.1, 0.02]]))
    write_drive(folder, FACTS, keyframes, sensors)
    return keyframes, sensors


def test_a_drive_is_read_as_it_was_written(tmp_path):
    keyframes, sensors = make_drive(tmp_path / 'monday')
    drive, = open_drives(tmp_path)
    assert drive.name == 'monday'
    assert drive.facts == FACTS
    for found, wanted in zip(drive.keyframes, keyframes, strict=True):
        assert (found.image, found.stamp_ns, found.split) == (
            wanted.image, wanted.stamp_ns, wanted.split)
        np.testing.assert_allclose(found.base, wanted.base, atol=1e-4)
        np.testing.assert_allclose([found.sigma_m, found.sigma_rad],
                                   [wanted.sigma_m, wanted.sigma_rad], atol=1e-5)
    for name, value in vars(sensors).items():
        np.testing.assert_array_equal(getattr(drive.sensors, name), value)
    assert drive.panorama(drive.keyframes[0]).shape == (8, 16, 3)
    np.testing.assert_allclose(
        drive.camera_of(drive.keyframes[0]), Pose2(1.0, 2.0, 0.5).compose(
            FACTS.base_from_camera), atol=1e-4)
    assert drive.imagery.patch(PatchView(drive.map_frame, (0.0, 0.0), 20.0, 80)).valid is None


def test_drives_are_found_by_name_and_the_unfinished_left_out(tmp_path):
    for name in 'b', 'a', 'unfinished':
        make_drive(tmp_path / name)
    (tmp_path / 'unfinished' / DRIVE_FILE).unlink()
    assert [drive.name for drive in open_drives(tmp_path)] == ['a', 'b']
    assert [drive.name for drive in open_drives(tmp_path / 'b')] == ['b']


def test_a_folder_without_drives_is_named(tmp_path):
    with pytest.raises(ValueError, match=f'no drive in {tmp_path}'):
        open_drives(tmp_path)


@pytest.mark.parametrize('spoil', [
    lambda folder: (folder / DRIVE_FILE).write_text('{'),
    lambda folder: (folder / DRIVE_FILE).write_text('[]'),
    lambda folder: (folder / DRIVE_FILE).write_text(json.dumps(
        json.loads((folder / DRIVE_FILE).read_text()) | {'version': 99})),
    lambda folder: (folder / KEYFRAMES_FILE).write_text('image,split\n1.jpg,train\n'),
    lambda folder: (folder / KEYFRAMES_FILE).write_text(
        (folder / KEYFRAMES_FILE).read_text().replace('test', 'exam')),
    lambda folder: (folder / KEYFRAMES_FILE).unlink()])
def test_a_broken_drive_is_named(tmp_path, spoil):
    make_drive(tmp_path / 'monday')
    spoil(tmp_path / 'monday')
    with pytest.raises(ValueError, match='monday.*build the drive anew'):
        open_drives(tmp_path)


@pytest.mark.parametrize('spoil', [
    lambda path: path.unlink(), lambda path: path.write_bytes(b''),
    lambda path: path.write_bytes(path.read_bytes()[:-20])])
def test_images_that_are_missing_or_cut_off_are_named_before_anything_begins(tmp_path, spoil):
    make_drive(tmp_path / 'monday')
    drives = open_drives(tmp_path)
    require_images(drives)
    spoil(tmp_path / 'monday' / IMAGES / '2.jpg')
    with pytest.raises(ValueError, match=r'2.jpg is missing or damaged: remove it and .*json'):
        require_images(drives)


def test_broken_sensors_are_named_and_missing_ones_say_nothing(tmp_path):
    make_drive(tmp_path)
    (tmp_path / SENSORS_FILE).write_bytes(b'PK')
    with pytest.raises(ValueError, match=SENSORS_FILE):
        RecordedDrive(tmp_path).sensors
    (tmp_path / SENSORS_FILE).unlink()
    assert len(RecordedDrive(tmp_path).sensors.fix_m) == 0

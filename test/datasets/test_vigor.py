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

"""The VIGOR loader: the reference's values, faults that are named, rolls that are poses."""

import math
import shutil
from test.helpers import mini_data

from fg2_ros.datasets.frames import rolled, UnreadableFrame
from fg2_ros.datasets.vigor import RESOLUTION_M, VigorDataset
import numpy as np
from PIL import Image
import pytest

GROUND_PX_PER_DEG = 1428 / 360
EXPECTED = mini_data.expected('vigor_mini')


@pytest.fixture
def root(tmp_path):
    """Return a copy of the data set that a test may damage."""
    return shutil.copytree(mini_data.VIGOR, tmp_path / 'vigor')


@pytest.mark.parametrize('part', ['samearea_test', 'crossarea_train', 'crossarea_test'])
def test_every_split_is_as_the_reference_says(part):
    dataset = VigorDataset(mini_data.VIGOR, *part.split('_'))
    assert len(dataset) == len(EXPECTED[part]) and not dataset.problems
    assert dataset.names == [item['pano'] for item in EXPECTED[part]]
    for label, frame, item in zip(dataset.labels, dataset, EXPECTED[part]):
        assert (frame.name, frame.group) == (item['pano'], item['city'])
        assert f'{label.city}/satellite/{label.satellite}' == item['sat']
        assert frame.translation * 630 / 71 == pytest.approx(item['gt_loc_px630'], abs=1e-4)
        assert frame.rotation == pytest.approx(np.array(item['R']), abs=1e-7)
        assert [3, *frame.ground.shape[:2]] == item['grd_shape']
        assert [3, *frame.aerial.shape[:2]] == item['sat_shape']
        assert frame.ground.mean() / 255 == pytest.approx(item['grd_mean'], abs=1e-6)
        assert frame.aerial.mean() / 255 == pytest.approx(item['sat_mean'], abs=1e-6)


def test_a_grid_metre_is_the_city_s():
    """The 71 grid metres are the 640 pixels of the satellite image."""
    for frame in VigorDataset(mini_data.VIGOR, 'samearea', 'test').subset([0, 2, 4, 6]):
        metres = RESOLUTION_M[frame.group] * 640
        assert frame.metres_per_grid_metre * 71 == pytest.approx(metres)


def test_the_second_run_is_as_the_reference_says():
    dataset = VigorDataset(mini_data.VIGOR, 'samearea', 'test')
    second = EXPECTED['second_run']
    known = [index for index, yaw in enumerate(second['pred']) if yaw != 'None']
    assert len(known) == len(second['items'])
    for index, item in zip(known, second['items']):
        frame = rolled(dataset[index], second['gt'][index] - second['pred'][index])
        assert frame.rotation == pytest.approx(np.array(item['R']), abs=1e-6)
        assert frame.ground[0, 0] / 255 == pytest.approx(item['first_col'], abs=1e-6)


@pytest.mark.parametrize('yaw_deg', [0.0, 90.0, -170.3, 345.5])
def test_rolling_turns_the_pose_about_the_camera(yaw_deg):
    """The camera stays; a landmark moves to the right by the angle; the bearing shows it."""
    frame = VigorDataset(mini_data.VIGOR, 'samearea', 'test')[0]
    turned = rolled(frame, yaw_deg)
    assert turned.camera_m == pytest.approx(frame.camera_m, abs=1e-4)
    assert (turned.yaw_deg - yaw_deg + 180) % 360 == pytest.approx(180, abs=1e-4)
    ahead = frame.rotation.T @ (np.array([-10.0, 0]) - frame.translation)  # 10 m north of it
    row_m, column_m = turned.rotation @ ahead + turned.translation
    assert math.degrees(math.atan2(column_m, -row_m)) % 360 == pytest.approx(
        yaw_deg % 360, abs=1e-3)
    columns = round(yaw_deg * GROUND_PX_PER_DEG)
    assert np.array_equal(turned.ground[:, (700 + columns) % 1428], frame.ground[:, 700])


@pytest.mark.parametrize('line, reason', [
    ('pano.jpg satellite_40.0000_-74.0000.png 1 2', 'not 4'),
    ('pano.jpg' + 4 * ' satellite_40.0000_-74.0000.png 1 x', "'x' is not a number"),
    ('pano.jpg' + 4 * ' satellite_40.0000_-74.0000.png 1 nan', 'not finite'),
    ('pano.jpg' + 4 * ' satellite_1_2.png 1 1', 'no satellite_1_2.png'),
    ('pano\ufffd.jpg', 'not 1')])
def test_a_broken_label_line_is_named_and_left_out(root, line, reason):
    file = root / 'splits' / 'NewYork' / 'same_area_balanced_test.txt'
    file.write_text(line + '\n\n' + file.read_text())
    dataset = VigorDataset(root, 'samearea', 'test')
    assert dataset.names == [item['pano'] for item in EXPECTED['samearea_test']]
    problem, = dataset.problems
    assert f'{file}, line 1' in problem and reason in problem


def test_an_unreadable_image_is_named(root):
    dataset = VigorDataset(root, 'samearea', 'test')
    panorama = root / dataset.names[0]
    panorama.write_bytes(panorama.read_bytes()[:3000])
    (root / 'NewYork' / 'satellite' / dataset.labels[1].satellite).unlink()
    (root / dataset.names[2]).write_text('no image')
    for index, reason in enumerate(['is damaged', 'there is no image', 'is not an image']):
        with pytest.raises(UnreadableFrame, match=reason):
            dataset[index]
    assert dataset[3].name == dataset.names[3]


@pytest.mark.parametrize('missing', ['satellite_list.txt', 'pano_label_balanced.txt'])
def test_a_missing_label_file_is_named_with_the_layout(root, missing):
    (root / 'splits' / 'Chicago' / missing).unlink()
    with pytest.raises(ValueError, match=f'Chicago/{missing} .*expected is ROOT/<City>/pano'):
        VigorDataset(root, 'crossarea', 'test')


def test_a_grey_image_with_a_palette_is_read_as_rgb(root):
    dataset = VigorDataset(root, 'samearea', 'test')
    path = root / 'NewYork' / 'satellite' / dataset.labels[0].satellite
    Image.open(path).convert('P').save(path)
    assert dataset[0].aerial.shape == (630, 630, 3)


def corrected(root, folder, end, satellite_list=True, cities=RESOLUTION_M):
    """Put labels with another first offset beside the original ones."""
    for city in cities:
        part = root / folder / city
        part.mkdir(parents=True, exist_ok=True)
        if satellite_list:
            shutil.copy(root / 'splits' / city / 'satellite_list.txt', part / 'satellite_list.txt')
        for name in ('same_area_balanced_train', 'same_area_balanced_test', 'pano_label_balanced'):
            lines = (root / 'splits' / city / f'{name}.txt').read_text().splitlines()
            fields = [line.split(' ') for line in lines]
            (part / f'{name}{end}.txt').write_text(''.join(
                ' '.join([*line[:2], '12.5', *line[3:]]) + '\n' for line in fields))


@pytest.mark.parametrize('folder, end, satellite_list', [
    ('splits__corrected', '__corrected', True), ('splits__corrected', '__corrected', False),
    ('splits__corrected', '', True), ('splits', '__corrected', False)])
@pytest.mark.parametrize('part', [('samearea', 'test'), ('crossarea', 'test')])
def test_corrected_labels_are_preferred(root, caplog, folder, end, satellite_list, part):
    """As they are published, with the list of satellite images elsewhere, and moved about."""
    original = VigorDataset(root, *part)
    assert original.label_files == 'original' and 'splits__corrected' in caplog.text
    caplog.clear()
    corrected(root, folder, end, satellite_list)
    dataset = VigorDataset(root, *part)
    assert dataset.names == original.names and not dataset.problems and not caplog.text
    assert {label.offset_px[0] for label in dataset.labels} == {12.5}
    assert dataset.label_files == 'corrected by SliceMatch'


def test_corrected_labels_without_the_original_ones(root):
    corrected(root, 'splits__corrected', '__corrected')
    shutil.rmtree(root / 'splits')
    assert len(VigorDataset(root, 'samearea', 'train'))


def test_corrected_labels_of_some_cities_only_are_refused(root):
    corrected(root, 'splits__corrected', '__corrected', cities=['NewYork', 'Chicago'])
    with pytest.raises(ValueError, match='corrected labels of NewYork, Chicago, but none of SanF'):
        VigorDataset(root, 'samearea', 'test')
    with pytest.raises(ValueError, match='none of Seattle'):
        VigorDataset(root, 'crossarea', 'train')


@pytest.mark.parametrize('before', ['./', '.\\', 'NewYork/satellite/', 'NewYork\\satellite\\'])
@pytest.mark.parametrize('which', ['satellite_list.txt', 'same_area_balanced_test.txt'])
def test_lists_that_were_written_elsewhere(root, before, which):
    """With a byte order mark, folders, backslashes and their line ends."""
    expected = VigorDataset(root, 'samearea', 'test').labels
    file = root / 'splits' / 'NewYork' / which
    text = file.read_text().replace('satellite_', f'{before}satellite_')
    file.write_bytes(('\ufeff' + text.replace('\n', '\r\n')).encode())
    dataset = VigorDataset(root, 'samearea', 'test')
    assert dataset.labels == expected and not dataset.problems


def test_panoramas_with_a_folder_and_a_byte_order_mark(root):
    expected = VigorDataset(root, 'samearea', 'test').names
    file = root / 'splits' / 'NewYork' / 'same_area_balanced_test.txt'
    lines = file.read_text().splitlines()
    file.write_text(''.join(f'./panorama/{line}\n' for line in lines), 'utf-8-sig')
    assert VigorDataset(root, 'samearea', 'test').names == expected

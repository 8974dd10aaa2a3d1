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

"""The KITTI loader: the reference's values, faults that are named, poses that are consistent."""

import re
import shutil
from test.helpers import mini_data

from fg2_ros.datasets.frames import UnreadableFrame
from fg2_ros.datasets.kitti import CROP_RESOLUTION_M, KittiDataset
import numpy as np
import pytest

EXPECTED = mini_data.expected('kitti_mini')
DRIVE = '2011_09_26/2011_09_26_drive_0002_sync'


@pytest.fixture
def root(tmp_path):
    """Return a copy of the data set that a test may damage."""
    return shutil.copytree(mini_data.KITTI, tmp_path / 'kitti')


@pytest.mark.parametrize('split', ['test1', 'test2'])
def test_every_frame_is_as_the_reference_says(split):
    dataset = KittiDataset(mini_data.KITTI, split)
    assert CROP_RESOLUTION_M == pytest.approx(EXPECTED['meter_per_pixel_504'], rel=1e-9)
    assert len(dataset) == len(EXPECTED['items']) and not dataset.problems
    for frame, item in zip(dataset, EXPECTED['items']):
        assert frame.name == item['line'].split()[0]
        # The reference holds minus the camera's place in the patch: R^T t.
        assert -frame.camera_m * 504 / 99 == pytest.approx(item['gt_loc_px504'], abs=1e-4)
        assert frame.rotation == pytest.approx(np.array(item['R']), abs=1e-6)
        assert frame.camera_k == pytest.approx(np.array(item['camera_k']), abs=1e-3)
        assert [3, *frame.ground.shape[:2]] == item['grd_shape']
        assert [3, *frame.aerial.shape[:2]] == item['sat_shape']
        assert frame.ground.mean() / 255 == pytest.approx(item['grd_mean'], abs=1e-6)
        assert frame.aerial.mean() / 255 == pytest.approx(item['sat_mean'], abs=1e-6)
        probe = frame.aerial[::63, ::63].mean(-1) / 255
        assert probe == pytest.approx(np.array(item['sat_probe']), abs=1e-5)
        assert frame.metres_per_grid_metre * 99 == pytest.approx(504 * CROP_RESOLUTION_M)


def test_training_noise_is_drawn_anew_each_epoch_and_repeatable():
    dataset = KittiDataset(mini_data.KITTI, 'train', seed=3).subset([1])
    first = dataset[0]
    dataset.set_epoch(1)
    second = dataset[0]
    dataset.set_epoch(0)
    assert np.array_equal(dataset[0].aerial, first.aerial)
    assert not np.array_equal(second.aerial, first.aerial)
    assert not np.allclose(second.translation, first.translation)
    assert np.abs(first.translation).max() * first.metres_per_grid_metre <= 20
    assert abs(first.yaw_deg) <= 10


@pytest.mark.parametrize('line, reason', [
    (f'{DRIVE}/0000000000.png 0.1 0.2', 'not 2 fields'),
    (f'{DRIVE}/0000000000.png 0.1 0.2 a', "'a' is not a number"),
    (f'{DRIVE}/0000000000.png 0.1 0.2 1.5', r'in \[-1, 1\]'),
    ('0000000000.png 0 0 0', 'is not <day>/<drive>/<frame>.png')])
def test_a_broken_label_line_is_named_and_left_out(root, line, reason):
    file = root / 'splits' / 'test1_files.txt'
    file.write_text(file.read_text().rstrip() + f'\n{line}\n')
    dataset = KittiDataset(root, 'test1')
    assert len(dataset) == 4
    problem, = dataset.problems
    assert f'{file}, line 5' in problem
    assert re.search(reason, problem)


@pytest.mark.parametrize('file, content, reason', [
    (f'satmap/{DRIVE}/0000000000.png', None, 'no image .*satmap'),
    (f'raw_data/{DRIVE}/image_02/data/0000000000.png', b'\x89PNG', 'image_02'),
    (f'raw_data/{DRIVE}/oxts/data/0000000000.txt', b'1 2 3', 'no heading'),
    (f'raw_data/{DRIVE}/oxts/data/0000000000.txt', b'1 2 3 4 5 nan', 'no finite heading'),
    ('raw_data/2011_09_26/calib_cam_to_cam.txt', b'P_rect_02: 1 2', 'no P_rect_02')])
def test_an_unreadable_file_is_named(root, file, content, reason):
    path = root / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UnreadableFrame, match=reason):
        KittiDataset(root, 'test1')[0]


def test_a_missing_split_file_is_named_with_the_layout(root):
    (root / 'splits' / 'test2_files.txt').unlink()
    with pytest.raises(ValueError, match='test2_files.txt .*expected is ROOT/raw_data'):
        KittiDataset(root, 'test2')


def test_a_list_that_was_written_elsewhere(root):
    """With a byte order mark, backslashes and the line ends that go with them."""
    expected = KittiDataset(root, 'test1').labels
    file = root / 'splits' / 'test1_files.txt'
    lines = [f'./{line}'.replace('/', '\\') for line in file.read_text().splitlines()]
    file.write_bytes(('\ufeff' + '\r\n'.join(lines)).encode())
    dataset = KittiDataset(root, 'test1')
    assert dataset.labels == expected and not dataset.problems

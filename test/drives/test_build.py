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

"""A bag becomes a drive: poses, images and ground are those of the world it was recorded in."""

from contextlib import closing
from dataclasses import replace
import json
import shutil
from test.helpers.paths import REAL_DATA
from test.helpers.recorded_bag import (
    AHEAD_S, ATTRIBUTION, COLUMNS, FRAME, GROUND, panorama, ROWS, stamps_ns, write_ground)

import cv2
from fg2_ros.commands import main
from fg2_ros.datasets.drives import DRIVE_FILE, RecordedDrive
from fg2_ros.drives.batch import build_one, BuildTask, made_before
from fg2_ros.drives.build import build_drive
from fg2_ros.drives.settings import BuildSettings
from fg2_ros.geometry.panorama import pixel_from_direction
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.imagery.patch import PatchView
from fg2_ros.replay.settings import TopicNames
from fg2_ros.simulation import bag_messages as msgs
from fg2_ros.simulation.bag import read_bag, START_NS
from fg2_ros.simulation.bag_messages import TYPESTORE
from fg2_ros.simulation.cameras import PinholeCamera
from fg2_ros.tasks.executors import open_executor
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from scipy.spatial.transform import Rotation

RTK = TopicNames(truth='/rtk/fix')


@pytest.fixture(scope='session')
def settings(ground, tmp_path_factory):
    return BuildSettings(
        source=(str(ground),), cache=str(tmp_path_factory.mktemp('cache')), reach_m=30.0,
        resolution_m=0.25, truth_heading='/rtk/heading')


@pytest.fixture(scope='session')
def built(bag, settings, tmp_path_factory):
    return build_drive(bag, tmp_path_factory.mktemp('set') / 'blocks', settings, RTK)


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def errors(built, drive):
    """Return (N, 2) metres and (N,) rad by which keyframes are off, and their indices."""
    index = [stamps_ns(drive).index(each.stamp_ns) for each in built.keyframes]
    frames = drive.frames
    true = np.stack([frames.east_m, frames.north_m, frames.yaw_rad], axis=1)[index]
    places = built.map_frame.geodetic_from_map(*np.array([
        each.base[:2] for each in built.keyframes]).T)
    found_m = np.stack(FRAME.map_from_geodetic(*places), axis=1)
    yaw_rad = np.array([each.base.yaw for each in built.keyframes])
    return found_m - true[:, :2], wrap_angle(yaw_rad - true[:, 2]), index


def test_the_clock_of_the_truth_is_found_and_the_poses_are_those_at_the_images(built, drive):
    clock = built.facts.truth['clock']
    assert clock['told_by'] == 'images and odometry'
    for told in (clock['by_images'], clock['by_odometry']):
        assert told['offset_s'] == pytest.approx(AHEAD_S, abs=3 * told['sigma_s'])
    assert clock['ahead_s'] == pytest.approx(AHEAD_S, abs=0.01)
    off_m, off_rad, index = errors(built, drive)
    assert len(index) > 40
    assert np.abs(off_m).max() < 0.15 and np.abs(off_m).mean() < 0.03
    assert np.degrees(np.abs(off_rad)).max() < 1.0
    steps_m = np.hypot(*np.diff([each.base[:2] for each in built.keyframes], axis=0).T)
    assert steps_m.min() >= 2.0
    assert sum(built.facts.left_out.values()) == 100 - len(index)


def test_panoramas_and_ground_are_those_of_the_place(built, drive):
    keyframe = built.keyframes[len(built.keyframes) // 2]
    camera = built.camera_of(keyframe)
    assert built.facts.base_from_camera == pytest.approx((0.9, 0.3, 0.0))
    off = built.panorama(keyframe).astype(float) - panorama(camera.yaw)
    assert np.abs(off).mean() < 6
    patch = built.imagery.patch(PatchView(built.map_frame, camera[:2], 40.0, 160))
    assert patch.valid is None and GROUND.largest_shift_m(patch) < 0.1
    assert (patch.source, patch.attribution) == ('survey.mbtiles', ATTRIBUTION)
    assert built.facts.origin['cells_lacking'] == 0
    assert built.facts.origin['imagery'][0]['terms']


def test_what_the_sensors_said_is_kept_in_the_map_of_the_drive(built, drive):
    sensors = built.sensors
    good = np.isfinite(drive.gnss.position_m[:, 0])
    places = built.map_frame.geodetic_from_map(*sensors.fix_m.T)
    np.testing.assert_allclose(
        np.stack(FRAME.map_from_geodetic(*places), axis=1), drive.gnss.position_m[good],
        atol=1e-3)
    assert built.facts.antenna_m == pytest.approx(drive.settings.sensors.gnss.antenna_m[:2])
    np.testing.assert_allclose(sensors.odometry[:, 3], drive.odometry.speed_mps)
    assert len(sensors.heading_stamp_ns) == len(drive.imu.time_s)
    assert sensors.heading[0, 1] == pytest.approx(drive.imu.yaw_sigma_rad)


def test_the_course_is_the_heading_where_there_is_no_other(bag, settings, drive, tmp_path):
    built = build_drive(bag, tmp_path / 'drive', replace(settings, truth_heading=None),
                        replace(RTK, imu='/imu'))
    assert built.facts.truth['heading'] == 'course, by odometry'
    assert np.degrees(np.abs(errors(built, drive)[1])).max() < 1.0


def test_a_truth_of_poses_needs_no_heading_beside_it(bag, settings, drive, tmp_path):
    built = build_drive(bag, tmp_path / 'drive', replace(
        settings, truth_heading=None, clock_offset='off'), TopicNames(fix='/fix', imu='/imu'))
    assert built.facts.truth['topic'] == '/ground_truth/pose'
    off_m, off_rad, _ = errors(built, drive)
    assert np.abs(off_m).max() < 1e-3 and np.abs(off_rad).max() < 1e-5


def test_the_same_command_goes_on_and_comes_to_the_same_bits(bag, settings, built, tmp_path):
    folder = tmp_path / 'blocks'
    done = []

    def stop_amid_the_images(stage, total, count):
        done.append(stage)
        if stage == 'images' and count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_drive(bag, folder, settings, RTK, stop_amid_the_images)
    assert not (folder / DRIVE_FILE).exists() and len(list((folder / 'images').iterdir())) == 20
    next((folder / 'ground').iterdir()).unlink()
    again = []
    build_drive(bag, folder, settings, RTK, lambda *each: again.append(each))
    assert files_of(folder) == files_of(built.folder)
    assert [each for each in again if each[0] == 'images'][0][2] == 20
    build_drive(bag, folder, settings, RTK, lambda *each: pytest.fail('there is nothing to do'))


def test_ctrl_c_ends_the_command_with_a_sentence(bag, ground, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('fg2_ros.drives.build.camera_clock', interrupted)
    assert main(['drives', 'build', '--bag', str(bag), '--truth', '/rtk/fix', '--truth-heading',
                 '/rtk/heading', '--source', str(ground), '--out', str(tmp_path)]) == 130
    assert 'interrupted; the same command goes on from here' in capsys.readouterr().err
    assert not (tmp_path / 'blocks' / DRIVE_FILE).exists()


def test_another_commands_settings_are_not_mixed_in(bag, settings, built):
    with pytest.raises(ValueError, match=r'made with other settings \(every_m\): name another'):
        build_drive(bag, built.folder, replace(settings, every_m=3.0), RTK)
    with pytest.raises(ValueError, match=r'other settings \(truth\)'):
        build_drive(bag, built.folder, settings)
    assert RecordedDrive(built.folder).keyframes == built.keyframes


def test_images_without_imagery_around_them_are_left_out(bag, settings, built, tmp_path):
    half = write_ground(tmp_path / 'half.mbtiles', reach=0, place=(47.0003, 8.0004))
    found = build_drive(bag, tmp_path / 'drive', replace(
        settings, source=(str(half),), resolution_m=0.04, reach_m=12.0, patch_m=15.0,
        clock_offset='off'), RTK)
    assert 0 < found.facts.left_out['no imagery around it'] < len(built.keyframes)
    assert found.facts.origin['cells_lacking'] > 0
    nowhere = write_ground(tmp_path / 'far.mbtiles', place=(48.0, 9.0))
    with pytest.raises(ValueError, match=r'no image of .* can be kept: .*no imagery around it'):
        build_drive(bag, tmp_path / 'other', replace(
            settings, source=(str(nowhere),), clock_offset='off'), RTK)
    assert not (tmp_path / 'other').exists()


def test_a_cell_with_little_imagery_is_kept(bag, settings, tmp_path):
    narrow = write_ground(tmp_path / 'narrow.mbtiles', reach=0, place=(47.0003, 8.0004))
    drive = build_drive(bag, tmp_path / 'drive', replace(
        settings, source=(str(narrow),), resolution_m=0.25, reach_m=60.0, patch_m=15.0,
        clock_offset='off'), RTK)
    shares = [float(cv2.imread(str(cell), cv2.IMREAD_UNCHANGED)[..., 3].mean() / 255)
              for cell in (drive.folder / 'ground').glob('*.png')]
    assert min(shares) < 0.5


def test_a_bag_of_which_nothing_is_kept_leaves_the_folder_to_other_settings(
        bag, settings, tmp_path):
    strict = replace(settings, max_sigma_m=0.005, clock_offset='off')
    with pytest.raises(ValueError, match=r'truth too vague: \d+; its sigma is 0.02 m and .* in '
                                         r'the median, 0.005 m \(--max-sigma-m\) .* are wanted'):
        build_drive(bag, tmp_path / 'drive', strict, RTK)
    assert not (tmp_path / 'drive').exists()


def test_a_folder_with_other_files_is_left_alone(bag, settings):
    before = files_of(bag)
    with pytest.raises(ValueError, match=f'{bag} holds other files already: name another'):
        build_drive(bag, bag, settings, RTK)
    assert files_of(bag) == before


def test_terms_that_forbid_to_keep_imagery_are_heeded_before_anything(tmp_path):
    catalogue = tmp_path / 'sources.yaml'
    catalogue.write_text(
        'secret:\n  kind: xyz\n  url: http://localhost:1/{z}/{x}/{y}.png\n  attribution: me\n'
        '  terms: look, do not keep\n  offline_allowed: false\n'
        '  machine_interpretation_allowed: true\n  vintage: ""\n  min_zoom: 0\n  max_zoom: 19\n'
        '  tile_px: 256\n  bounds: [-180, -85, 180, 85]\n')
    forbidden = BuildSettings(source=('secret',), catalogue=str(catalogue))
    with pytest.raises(ValueError, match='secret forbid to fetch and keep .*look, do not keep'):
        build_drive(tmp_path / 'no bag', tmp_path / 'drive', forbidden)
    unknown = BuildSettings(source=('http://localhost:1/{z}/{x}/{y}.png',))
    with pytest.raises(ValueError, match='nothing is known of the terms.*--offline-allowed'):
        build_drive(tmp_path / 'no bag', tmp_path / 'drive', unknown)
    with pytest.raises(ValueError, match='there is no imagery: name a source'):
        build_drive(tmp_path / 'no bag', tmp_path / 'drive', BuildSettings())
    assert not (tmp_path / 'drive').exists()


def write_bag(path, messages):
    """Write (topic, second, type, message)."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=TYPESTORE)
                       for topic, kind in {each[0]: each[2] for each in messages}.items()}
        for topic, second, kind, message in messages:
            writer.write(connections[topic], START_NS + second * 10 ** 9,
                         TYPESTORE.serialize_cdr(message, kind))
    return path


def a_fix(second):
    stamp_ns = START_NS + second * 10 ** 9
    return ('/fix', second, 'sensor_msgs/msg/NavSatFix',
            msgs.nav_sat_fix(stamp_ns, '', 47.0 + second * 1e-4, 8.0, 0.02))


def an_image(second, shape):
    message = msgs.raw_image(START_NS + second * 10 ** 9, np.zeros(shape, np.uint8))
    return '/image', second, 'sensor_msgs/msg/Image', message


@pytest.mark.parametrize('messages, sentence', [
    ([a_fix(0), a_fix(1)], r'has no messages of sensor_msgs/msg/Image or .*; its topics are /fix'),
    ([an_image(0, (32, 64, 3))], r'there is no ground truth in .*: name its topic'),
    ([an_image(1, (48, 64, 3)), *map(a_fix, range(9))],
     r'the panorama must be twice as wide.*panoramas only, not of the images of one pinhole')])
def test_what_a_bag_lacks_is_said(tmp_path, settings, messages, sentence):
    bag = write_bag(tmp_path / 'bag', messages)
    names = TopicNames(truth='/fix' if len(messages) > 2 else None)
    with pytest.raises(ValueError, match=sentence):
        build_drive(bag, tmp_path / 'drive', replace(
            settings, truth_heading=None, camera_frame='base_link'), names)
    assert not (tmp_path / 'drive').exists()


def test_the_husky_has_no_camera(settings, tmp_path):
    bag = REAL_DATA / 'robot_localization_test1_husky_navsat.bag'
    if not bag.exists():
        pytest.skip('there are no real recordings')
    with pytest.raises(ValueError, match='has no messages of sensor_msgs/msg/Image or'):
        build_drive(bag, tmp_path / 'drive', settings)


def test_the_command_makes_the_data_set_and_its_page(bag, ground, settings, built, tmp_path,
                                                     capsys):
    out = tmp_path / 'set'
    shutil.copytree(built.folder, out / 'blocks')
    arguments = ['drives', 'build', '--truth', '/rtk/fix', '--truth-heading', '/rtk/heading',
                 '--source', str(ground), '--reach', '30', '--resolution', '0.25', '--out',
                 str(out), '--json', str(tmp_path / 'figures.json')]
    assert main([*arguments, '--bag', str(bag)]) == 0
    said = capsys.readouterr().out
    assert 'blocks: left out, near the image before' in said
    assert 'all images are of one split' in said
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert figures['drives'][0]['images'] == len(built.keyframes)
    page = (out / 'index.html').read_text()
    ahead_ms = 1e3 * built.facts.truth['clock']['ahead_s']
    assert ATTRIBUTION in page and f'{ahead_ms:+.0f} ms ahead of the images' in page
    assert 'its clock by images' in page and 'its clock by odometry' in page
    assert main([*arguments, '--bag', str(bag), '--bag', str(tmp_path / 'none.mcap')]) == 1
    assert 'none.mcap' in capsys.readouterr().err


FACES = [(0, 0, 0), (0, 0, 90), (0, 0, 180), (0, 0, -90)]
OPTICAL = Rotation.from_euler('xyz', (-90, 0, -90), degrees=True)
FACE_PX = 96


def ring_bag(path, bag, drive):
    """Write a bag with four pinhole cameras around in the place of the panorama."""
    kept = [(each.topic, each.stamp_ns, each.type_name, each.data) for each in read_bag(bag)
            if not each.topic.startswith('/image')]
    kept += [(topic, stamp_ns, kind, TYPESTORE.serialize_cdr(message, kind))
             for topic, stamp_ns, kind, message in ring_messages(drive)]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=TYPESTORE)
                       for topic, kind in {each[0]: each[2] for each in kept}.items()}
        for topic, stamp_ns, _, data in sorted(kept, key=lambda each: each[1]):
            writer.write(connections[topic], stamp_ns, data)
    return path


def ring_messages(drive):
    """Yield mounts, calibrations and images of the cameras of a ring."""
    middle = FACE_PX / 2
    intrinsics = np.array([[middle, 0, middle - 0.5], [0, middle, middle - 0.5], [0, 0, 1.0]])
    face_of_panorama = PinholeCamera(FACE_PX, FACE_PX, middle, middle, middle, middle)
    for number, angles in enumerate(FACES):
        name, turn = f'face{number}', Rotation.from_euler('xyz', angles, degrees=True)
        mount = msgs.transform(START_NS, 'base_link', name, (0.9, 0.3, 1.8))
        mount.transform.rotation = msgs.quaternion(*(turn * OPTICAL).as_euler('xyz'))
        yield '/tf_static', START_NS, 'tf2_msgs/msg/TFMessage', msgs.transforms(mount)
        yield f'/{name}/camera_info', START_NS, 'sensor_msgs/msg/CameraInfo', msgs.message(
            'sensor_msgs/CameraInfo', header=msgs.header(START_NS, name), height=FACE_PX,
            width=FACE_PX, distortion_model='plumb_bob', d=np.zeros(5), k=intrinsics.ravel(),
            r=np.eye(3).ravel(), p=np.pad(intrinsics, ((0, 0), (0, 1))).ravel(), binning_x=0,
            binning_y=0, roi=msgs.message(
                'sensor_msgs/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
                do_rectify=False))
        looks = face_of_panorama.directions() @ turn.as_matrix().T
        column, row = pixel_from_direction(looks, COLUMNS, ROWS)
        for camera, stamp_ns in list(zip(drive.cameras, stamps_ns(drive)))[::5]:
            around = panorama(camera.yaw_rad)
            image = msgs.raw_image(stamp_ns, np.ascontiguousarray(around[
                np.clip(row.astype(int), 0, ROWS - 1), column.astype(int) % COLUMNS]))
            image.header.frame_id = name
            yield f'/{name}/image_raw', stamp_ns + number, 'sensor_msgs/msg/Image', image


def test_a_ring_of_cameras_becomes_the_panoramas_of_a_drive(bag, settings, drive, tmp_path):
    parameters = tmp_path / 'fg2.yaml'
    parameters.write_text(json.dumps({'/**': {'ros__parameters': {'camera': {
        'layout': 'ring',
        'topics': [f'face{number}/image_raw' for number in range(len(FACES))]}}}}))
    built = build_drive(ring_bag(tmp_path / 'ring', bag, drive), tmp_path / 'drive', replace(
        settings, camera=parameters, clock_offset=AHEAD_S, image_rows=ROWS), RTK)
    off_m, off_rad, index = errors(built, drive)
    assert len(index) > 12 and np.abs(off_m).max() < 0.15
    keyframe = built.keyframes[len(index) // 2]
    seen, shown = built.seen(keyframe), built.panorama(keyframe)
    assert seen is not None and 0.4 < seen.mean() < 0.8  # there is no camera up or down
    around = panorama(keyframe.base.yaw + built.facts.base_from_camera.yaw)
    horizon = slice(3 * ROWS // 8, 5 * ROWS // 8)
    assert np.abs(shown.astype(float) - around)[horizon].mean() < 20
    assert np.abs(np.roll(shown, COLUMNS // 4, 1).astype(float) - around)[horizon].mean() > 40


@pytest.mark.parametrize('cluster', ['', 'dask_address'])
def test_tasks_make_the_same_bit_by_bit(cluster, bag, built, settings, request, tmp_path):
    folder = tmp_path / 'blocks'
    engine = open_executor(request.getfixturevalue(cluster) if cluster else '', 1)
    task = BuildTask(bag, folder, settings, RTK)
    assert made_before(task) is None
    with closing(engine):
        (_, outcome), = engine.outcomes(build_one, [task])
    assert outcome.failure == '' and made_before(task)
    assert files_of(folder) == files_of(built.folder)

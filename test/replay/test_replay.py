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

"""Recorded drives are localized offline as the node would, and what comes of it is written."""

import csv
from dataclasses import replace
import json
import struct
from test.helpers.vehicle import CALIBRATION, log_likelihood

from fg2_ros.commands import main
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery import AerialPatch, ImageryError, RasterImagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.localizer import Estimate, Matches
from fg2_ros.network import FG2Config
from fg2_ros.replay import run
from fg2_ros.ros import loading
from fg2_ros.ros.loading import Loaded
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.simulation import bag_messages as msgs
from fg2_ros.simulation.bag import read_bag, START_NS, write_drive
from fg2_ros.simulation.bag_messages import TYPESTORE
from fg2_ros.simulation.drive import DriveSettings, simulate_drive
from fg2_ros.tracker.inputs import Observation
from fg2_ros.tracker.settings import METADATA_KEY, PublicationSettings
import numpy as np
import pytest
from rosbags.convert import convert
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
from scipy.spatial.transform import Rotation

FRAME = MapFrame(47.0, 8.0)
FRAMES = 8
CAMERA = Pose2(0.9, 0.3, 0.0)  # base_from_camera
OFFSET_M = np.array([0.3, -0.4])
COVARIANCE = np.diag([0.25, 0.16, 0.0004])
SOURCE = ('--source', 'osm')  # never asked: the imagery of these tests is a raster


class StraightCity:
    """A city of one road to the north-east."""

    def route(self, rng, length_m):
        """Return the road."""
        return np.array([[0, 0], [length_m, length_m]])


class TruthfulLocalizer:
    """Knows each image by its red level and sees it at the camera's true pose, moved a little."""

    def __init__(self, frames):
        """Know the drive."""
        self.metadata = {METADATA_KEY: CALIBRATION.to_dict()}
        self.config, self.map_frame = FG2Config.preset('sim'), None
        self.plans = []
        self._frames = frames
        self.raises = {}

    def request_imagery(self, latitude_deg, longitude_deg):
        """Need none."""

    def camera(self, image):
        """Return the pose of the camera that took an image, in the map, and its index."""
        index, frames = round(image[..., 0].mean() / 8), self._frames
        camera = Pose2(
            frames.east_m[index], frames.north_m[index], frames.yaw_rad[index]).compose(CAMERA)
        place = FRAME.geodetic_from_map(*(np.array(camera[:2]) + OFFSET_M))
        return Pose2(*self.map_frame.map_from_geodetic(*place), camera.yaw), index

    def observe(self, image, plan, base_from_camera, camera_k=None, seen=None):
        """Return the likelihood of the camera's poses."""
        camera, index = self.camera(image)
        self.plans.append(plan)
        if index in self.raises:
            raise self.raises[index]
        return Observation(tuple(
            PoseVolume(grid, log_likelihood(grid, camera)) for grid in plan.grids),
            base_from_camera)

    def estimate(self, image, prior, camera_k=None, seen=None):
        """Return the camera's pose."""
        camera, _ = self.camera(image)
        patch = AerialPatch(
            np.full((64, 64, 3), 90, np.uint8),
            PatchView(self.map_frame, (camera.x, camera.y), 50.0, 64), None, 'raster')
        matches = Matches(
            np.array([camera[:2]]), np.zeros((1, 2)), np.array([camera[:2]]),
            np.array([[10.0, 20.0]]),
            np.ones(1), np.ones(1, bool))
        return Estimate(
            True, '', camera.x, camera.y, *self.map_frame.geodetic_from_map(*camera[:2]),
            camera.yaw, COVARIANCE, 1.0, 1, matches, patch, {'total': 1.0})


@pytest.fixture(scope='module')
def drive():
    return simulate_drive(StraightCity(), 3, DriveSettings(
        frames=FRAMES, camera_m=(CAMERA.x, CAMERA.y, 1.8)))


@pytest.fixture(scope='module', params=[True, False], ids=['jpeg', 'raw'])
def any_bag(request, drive, tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'drive'
    write_drive(path, drive, FRAME, map(panorama, range(FRAMES)), request.param)
    return path


@pytest.fixture(scope='module')
def bag(drive, tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'drive'
    write_drive(path, drive, FRAME, map(panorama, range(FRAMES)))
    return path


@pytest.fixture
def localizer(drive, monkeypatch):
    """Stand in for the network; the imagery around it is real, but small."""
    localizer = TruthfulLocalizer(drive.frames)
    raster = RasterImagery(np.full((100, 100, 3), 60, np.uint8), FRAME, (0.0, 0.0), 2.0)
    monkeypatch.setattr(loading, 'load_localizer', lambda settings: Loaded(localizer, raster))
    as_told = run.node_settings
    monkeypatch.setattr(run, 'node_settings', lambda settings: replace(
        as_told(settings), publication=PublicationSettings(
            min_distance_m=0.0, pose_every_m=0.0)))
    return localizer


def panorama(index):
    """Return an image that tells its index by its red level."""
    return np.full((32, 64, 3), (8 * index, 100, 200), np.uint8)


def frame_stamps():
    return [START_NS + 2 * 10 ** 9 + index * 125_000_000 for index in range(FRAMES)]


def replayed(bag, tmp_path, *options):
    """Replay a bag; return the exit code, the figures and the lines of the table."""
    code = main(['replay', str(bag), *SOURCE, '--json', str(tmp_path / 'figures.json'),
                 '--out', str(tmp_path / 'out'), *options])
    lines = list(csv.DictReader((tmp_path / 'out' / 'poses.csv').open()))
    return code, json.loads((tmp_path / 'figures.json').read_text()), lines


def refusal(capsys, bag, *options):
    """Return the sentence with which a replay is refused."""
    assert main(['replay', str(bag), *SOURCE, *options]) == 1
    return capsys.readouterr().err


def rewritten(bag, path, drop=(), extra=()):
    """Write a bag without some topics, with more (topic, stamp ns, type, message) in it."""
    kept = [(each.topic, each.stamp_ns, each.type_name, each.data) for each in read_bag(bag)
            if each.topic not in drop]
    kept += [(topic, stamp_ns, kind, TYPESTORE.serialize_cdr(message, kind))
             for topic, stamp_ns, kind, message in extra]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=TYPESTORE)
            for topic, kind in {each[0]: each[2] for each in kept}.items()}
        for topic, stamp_ns, _, data in sorted(kept, key=lambda each: each[1]):
            writer.write(connections[topic], stamp_ns, data)
    return path


def test_poses_are_of_the_base_at_the_stamps_of_the_images(any_bag, drive, localizer, tmp_path):
    code, figures, lines = replayed(any_bag, tmp_path)

    assert code == 0 and figures['images'] == figures['accepted'] == FRAMES
    assert [int(line['stamp_ns']) for line in lines] == frame_stamps()
    for index, line in enumerate(lines):
        place = FRAME.map_from_geodetic(float(line['latitude']), float(line['longitude']))
        truth_m = drive.frames.east_m[index], drive.frames.north_m[index]
        np.testing.assert_allclose(place, truth_m + OFFSET_M, atol=0.3)
        assert float(line['yaw_rad']) == pytest.approx(drive.frames.yaw_rad[index], abs=0.02)
        in_map = localizer.map_frame.geodetic_from_map(
            float(line['east_m']), float(line['north_m']))
        assert in_map == pytest.approx((float(line['latitude']), float(line['longitude'])))
        assert line['accepted'] == '1' and line['rejection'] == ''


def test_figures_beside_the_ground_truth(bag, drive, localizer, tmp_path):
    _, figures, _ = replayed(bag, tmp_path)

    assert figures['images_with_truth'] == FRAMES
    for name in ('median_error_m', 'mean_error_m', 'p95_error_m'):
        assert figures[name] == pytest.approx(0.5, abs=0.3)
    assert figures['median_yaw_error_deg'] < 1.0
    assert 0.01 < figures['anees'] < 5.0
    assert 0.1 < figures['gnss_median_error_m'] < 20.0
    assert figures['latency_p50_ms'] > 0


def test_the_first_image_is_looked_for_around_gnss_and_later_ones_near_the_last_pose(
        bag, localizer, tmp_path):
    replayed(bag, tmp_path)

    first, last = (localizer.plans[index].grids for index in (0, -1))
    assert len(first) == 4 and min(first[0].reach_m) > 3.0
    assert max(last[0].reach_m) < min(first[0].reach_m)


def test_poses_come_as_a_bag_too(bag, localizer, tmp_path):
    _, _, lines = replayed(bag, tmp_path)

    with AnyReader([tmp_path / 'out' / 'poses']) as reader:
        heard = [(each.topic, time_ns, reader.deserialize(data, each.msgtype))
                 for each, time_ns, data in reader.messages()]
    for topic, frame_id in (
            ('/fg2/pose', 'map'), ('/fg2/odometry', 'map'), ('/fg2/fix', 'base_link')):
        messages = [(time_ns, message) for name, time_ns, message in heard if name == topic]
        assert [time_ns for time_ns, _ in messages] == frame_stamps()
        assert [message.header.stamp.sec * 10 ** 9 + message.header.stamp.nanosec
                for _, message in messages] == frame_stamps()
        assert {message.header.frame_id for _, message in messages} == {frame_id}
        for line, (_, message) in zip(lines, messages):
            if topic == '/fg2/fix':
                assert (message.latitude, message.longitude) == pytest.approx(
                    (float(line['latitude']), float(line['longitude'])), abs=1e-12)
            elif topic == '/fg2/odometry':
                assert message.pose.pose.position.x == float(line['east_m'])
                assert message.pose.covariance[35] == float(line['cov_yaw_yaw'])
    datum, = (message for name, _, message in heard if name == '/fg2/datum')
    assert (datum.latitude, datum.longitude) == localizer.map_frame.datum


def test_poses_come_as_geojson_too(bag, localizer, tmp_path):
    _, _, lines = replayed(bag, tmp_path)
    features = json.loads((tmp_path / 'out' / 'poses.geojson').read_text())['features']

    assert [each['geometry']['type'] for each in features] == ['Point'] * FRAMES + ['LineString']
    expected = [[float(line['longitude']), float(line['latitude'])] for line in lines]
    assert features[-1]['geometry']['coordinates'] == expected


def test_rejections_are_counted_by_reason(bag, localizer, tmp_path):
    localizer.raises = {2: ValueError('the panorama is black'),
                        3: ValueError('the panorama is black'),
                        5: ImageryError('there is none here')}
    code, figures, lines = replayed(bag, tmp_path)

    assert code == 0 and figures['accepted'] == FRAMES - 3
    assert figures['rejected'] == {'image': 2, 'imagery': 1}
    assert figures['last_rejections']['imagery'] == 'there is none here'
    assert [line['accepted'] for line in lines] == list('11001011')
    assert lines[2]['rejection'] == 'the panorama is black' and lines[2]['latitude'] == ''
    assert figures['images_with_truth'] == FRAMES


def test_every_and_limit_choose_images(bag, localizer, tmp_path):
    _, figures, lines = replayed(bag, tmp_path, '--every', '2', '--limit', '3')

    assert figures['images'] == 3
    assert [int(line['stamp_ns']) for line in lines] == frame_stamps()[:6:2]


def test_ctrl_c_keeps_what_was_done(bag, localizer, tmp_path):
    localizer.raises = {4: KeyboardInterrupt()}
    code, figures, lines = replayed(bag, tmp_path)

    assert code == 130 and figures['ended_early'] == 'interrupted'
    assert figures['images'] == len(lines) == 4
    assert sum(each.topic == '/fg2/pose' for each in read_bag(tmp_path / 'out' / 'poses')) == 4


def test_a_bag_that_breaks_off_keeps_what_was_done(bag, localizer, tmp_path, caplog):
    """The end of the file is not there: what is whole is replayed, and where it ends is said."""
    whole = rewritten(bag, tmp_path / 'bag')
    data = next(whole.glob('*.mcap')).read_bytes()
    chunk, = struct.unpack_from('<Q', data, 9 + struct.unpack_from('<Q', data, 9)[0] + 9)
    (tmp_path / 'cut.mcap').write_bytes(data[:int(0.85 * chunk)])
    code, figures, lines = replayed(tmp_path / 'cut.mcap', tmp_path)

    assert code == 1 and 0 < len(lines) < FRAMES
    assert 'breaks off' in figures['ended_early'] and 'breaks off' in caplog.text
    assert 'mcap recover cut.mcap' in figures['ended_early']


def test_fixes_may_be_the_truth(bag, drive, localizer, tmp_path):
    """The truth's antenna sits elsewhere than base_link; there are no headings to compare."""
    antenna = Pose2(-1.0, 0.5, 0.0)
    extra = [('/tf_static', START_NS, 'tf2_msgs/msg/TFMessage', msgs.transforms(
        msgs.transform(START_NS, 'base_link', 'rtk', (antenna.x, antenna.y, 0.0))))]
    for stamp_ns, *base in zip(frame_stamps(), drive.frames.east_m, drive.frames.north_m,
                               drive.frames.yaw_rad):
        place = FRAME.geodetic_from_map(*Pose2(*base).compose(antenna)[:2])
        extra.append(('/rtk', stamp_ns, 'sensor_msgs/msg/NavSatFix',
                      msgs.nav_sat_fix(stamp_ns, 'rtk', *place, 0.01)))
    both = rewritten(bag, tmp_path / 'both', ('/ground_truth/pose',), extra)
    _, figures, _ = replayed(both, tmp_path, '--truth', '/rtk', '--fix', '/fix')

    assert figures['median_error_m'] == pytest.approx(0.5, abs=0.3)
    assert figures['median_yaw_error_deg'] is None
    assert 0.01 < figures['anees'] < 5.0


def test_a_drive_without_odometry_stands_on_fixes(bag, localizer, tmp_path, caplog):
    bare = rewritten(bag, tmp_path / 'bare', ('/odom', '/tf', '/ground_truth/pose'))
    code, figures, _ = replayed(bare, tmp_path)

    assert code == 0 and figures['accepted'] > 0 and 'median_error_m' not in figures
    assert set(figures['rejected']) <= {'mass'}  # it is not sure enough of the others
    assert 'no odometry' in caplog.text


def test_a_bag_of_ros_1(bag, localizer, tmp_path):
    convert([bag], tmp_path / 'drive.bag', '', 0, None, '', TYPESTORE,
            get_typestore(Stores.ROS1_NOETIC), (), (), (), ())
    _, figures, lines = replayed(tmp_path / 'drive.bag', tmp_path)

    assert figures['accepted'] == FRAMES
    assert figures['median_error_m'] == pytest.approx(0.5, abs=0.3)
    assert [int(line['stamp_ns']) for line in lines] == frame_stamps()


def test_the_report_opens_offline(bag, localizer, tmp_path):
    code = main(['replay', str(bag), *SOURCE, '--report', str(tmp_path / 'page.html')])
    page = (tmp_path / 'page.html').read_text('utf-8')

    assert code == 0 and 'Replay of drive' in page
    assert page.count('<figure>') == FRAMES and 'src="http' not in page


def test_a_bag_without_images_is_refused(bag, localizer, tmp_path, capsys):
    dark = rewritten(bag, tmp_path / 'dark', ('/image/compressed',))
    assert 'no messages of sensor_msgs/msg/Image or' in refusal(capsys, dark)


def test_a_bag_without_fixes_is_refused(bag, localizer, tmp_path, capsys):
    lost = rewritten(bag, tmp_path / 'lost', ('/fix',))
    assert 'no messages of sensor_msgs/msg/NavSatFix' in refusal(capsys, lost)


def test_a_bag_without_mounts_is_refused(bag, localizer, tmp_path, capsys):
    loose = rewritten(bag, tmp_path / 'loose', ('/tf_static',))
    assert 'no /tf_static' in refusal(capsys, loose)
    _, figures, _ = replayed(loose, tmp_path, '--camera-frame', 'base_link')
    assert figures['accepted'] == FRAMES


def test_a_truth_without_datum_is_refused(bag, localizer, tmp_path, capsys):
    adrift = rewritten(bag, tmp_path / 'adrift', ('/ground_truth/datum',))
    assert 'needs the origin of its map' in refusal(capsys, adrift)


def test_two_topics_of_a_type_must_be_told_apart(bag, localizer, tmp_path, capsys):
    fix = msgs.nav_sat_fix(START_NS, 'gnss', *FRAME.datum, 3.0)
    two = rewritten(bag, tmp_path / 'two', extra=[
        ('/second/fix', START_NS, 'sensor_msgs/msg/NavSatFix', fix)])
    sentence = refusal(capsys, two)
    assert '--fix with one of /fix, /second/fix' in sentence


@pytest.mark.parametrize('options, words', [
    (('--image', '/camera'), 'there is no topic /camera'),
    (('--image', '/fix'), 'the topic /fix is of sensor_msgs/msg/NavSatFix, not'),
    (('--fix', 'none'), 'without it there are no poses'),
    (('--truth', 'none', '--report', 'page.html'), '--report needs a ground truth')])
def test_bad_options_get_a_sentence(bag, localizer, capsys, options, words):
    assert words in refusal(capsys, bag, *options)


def test_intrinsics_are_needed_for_a_pinhole_camera(bag, localizer, capsys, monkeypatch):
    raster = RasterImagery(np.zeros((9, 9, 3), np.uint8), FRAME, (0.0, 0.0), 1.0)
    monkeypatch.setattr(loading, 'load_localizer', lambda settings: Loaded(
        localizer, raster, needs_intrinsics=True))
    assert 'no sensor_msgs/CameraInfo' in refusal(capsys, bag)


def test_what_is_no_bag_gets_a_sentence(localizer, tmp_path, capsys):
    (tmp_path / 'drive.mcap').write_bytes(b'\x89MCAP0\r\n' + bytes(100))
    assert 'is not a readable bag' in refusal(capsys, tmp_path / 'drive.mcap')
    assert 'there is no bag' in refusal(capsys, tmp_path / 'elsewhere')


def test_nothing_is_overwritten(bag, localizer, tmp_path, capsys):
    replayed(bag, tmp_path)
    assert 'exists already' in refusal(capsys, bag, '--out', str(tmp_path / 'out'))


def test_the_settings_are_those_of_a_node(bag, tmp_path, monkeypatch):
    seen = []

    def load(settings):
        seen.append(settings)
        raise ValueError('seen')
    monkeypatch.setattr(loading, 'load_localizer', load)
    main(['replay', str(bag), '--source', 'a.tif', '--source', 'b', '--cache', 'tiles', '--wait',
          '7', '--camera-axes', 'optical', '--simulated-camera'])
    settings, = seen
    assert settings.simulated_camera and not NodeSettings().simulated_camera
    assert settings.imagery.sources == ('a.tif', 'b') and settings.imagery.cache_path == 'tiles'
    assert settings.localizer.patch == replace(settings.localizer.patch, wait_s=7.0)
    assert settings.camera_axes == 'optical' and settings.base_frame == 'base_link'


FACES = [(0, 0, 0), (0, 0, 90), (0, 0, 180), (0, 0, -90), (0, -90, 0), (0, 90, 0)]
OPTICAL = Rotation.from_euler('xyz', (-90, 0, -90), degrees=True)


def ring_messages():
    """Yield images, calibrations and mounts of six cameras that look to the faces of a cube."""
    for face, angles in enumerate(FACES):
        name, turn = f'face{face}', Rotation.from_euler('xyz', angles, degrees=True) * OPTICAL
        mount = msgs.transform(START_NS, 'base_link', name, (CAMERA.x, CAMERA.y, 2.0))
        mount.transform.rotation = msgs.quaternion(*turn.as_euler('xyz'))
        yield '/tf_static', START_NS, 'tf2_msgs/msg/TFMessage', msgs.transforms(mount)
        for index, stamp_ns in enumerate(frame_stamps()):
            header = msgs.header(stamp_ns, name)
            if index == 0:
                yield f'/{name}/camera_info', START_NS, CAMERA_INFO, camera_info(header)
            image = msgs.raw_image(stamp_ns, panorama(index)[:, :32])
            image.header.frame_id = name
            yield f'/{name}/image_raw', stamp_ns + face, 'sensor_msgs/msg/Image', image


CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'


def camera_info(header):
    """Return the calibration of a camera that sees a face of a cube in 32 x 32 pixels."""
    return msgs.message(
        'sensor_msgs/CameraInfo', header=header, height=32, width=32, distortion_model='plumb_bob',
        d=np.zeros(5), k=np.array([16.0, 0, 15.5, 0, 16, 15.5, 0, 0, 1]), r=np.eye(3).ravel(),
        p=np.array([16.0, 0, 15.5, 0, 0, 16, 15.5, 0, 0, 0, 1, 0]), binning_x=0, binning_y=0,
        roi=msgs.message('sensor_msgs/RegionOfInterest', x_offset=0, y_offset=0, height=0,
                         width=0, do_rectify=False))


def ring_parameters(folder):
    """Write a parameter file of a node with these cameras."""
    path = folder / 'fg2.yaml'
    topics = [f'face{face}/image_raw' for face in range(len(FACES))]
    path.write_text(json.dumps({'/**': {'ros__parameters': {
        'camera': {'layout': 'ring', 'topics': topics}}}}))
    return path


def test_a_ring_of_cameras_is_replayed_as_a_node_would_be_told(bag, drive, localizer, tmp_path):
    whole = rewritten(bag, tmp_path / 'ring', drop=('/image/compressed',), extra=ring_messages())
    code, figures, lines = replayed(whole, tmp_path, '--camera', str(ring_parameters(tmp_path)))
    assert code == 0 and figures['images'] == FRAMES
    assert [int(line['stamp_ns']) for line in lines] == frame_stamps()
    assert figures['accepted'] > 0 and figures['median_error_m'] < 0.7


def test_a_ring_that_is_not_in_the_bag_is_named(bag, localizer, tmp_path, capsys):
    words = refusal(capsys, bag, '--camera', str(ring_parameters(tmp_path)))
    assert 'there is no topic /face0/image_raw' in words


@pytest.mark.parametrize('content, words', [
    ('camera: {layout: ring}', 'has no parameters camera.* of a node'),
    ('/**: {ros__parameters: {camera: {laiout: ring}}}', 'camera.unknown setting laiout'),
    ('/**: {ros__parameters: {camera: {layout: cube}}}', "camera.layout = 'cube' is not one of")])
def test_a_parameter_file_that_makes_no_sense_is_named(
        bag, localizer, tmp_path, capsys, content, words):
    path = tmp_path / 'wrong.yaml'
    path.write_text(content)
    assert words in refusal(capsys, bag, '--camera', str(path))

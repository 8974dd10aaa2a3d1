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

"""What sensors say that cannot be: neither the datum, nor the prior, nor a heading comes of it."""

import math
from test.helpers.vehicle import CALIBRATION, log_likelihood, searched_east_m
from types import SimpleNamespace

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.network import FG2Config
from fg2_ros.ros.conversions import stamp_message
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.node_settings import NodeSettings, SensorSettings
from fg2_ros.ros.pipeline import CameraImage, Pipeline
from fg2_ros.ros.transforms import NoTransform
from fg2_ros.tracker.inputs import Observation
from nav_msgs.msg import Odometry
import numpy as np
from pyproj import Geod
import pytest
from sensor_msgs.msg import Imu, NavSatFix
from std_msgs.msg import Header
from tf_transformations import quaternion_about_axis, quaternion_from_euler

HOME = MapFrame(46.95, 7.44)
BEGIN_S = 1000.0
SPEED_MPS = 6.0
QUARTER = math.sqrt(0.5)
MOUNTS = {'gps': (np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])),
          'imu': (np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])),
          'rack': (np.array([0.8, -0.3, 1.5]), np.array(quaternion_about_axis(0.6, (0, 0, 1))))}


class Mounts:
    """Knows the sensors of `MOUNTS`; everything else is unknown."""

    def mount(self, base_frame, sensor_frame):
        """Return where a sensor is."""
        if sensor_frame == base_frame:
            return MOUNTS['gps']
        if sensor_frame.lstrip('/') not in MOUNTS:
            raise NoTransform(f'no transform {base_frame} -> {sensor_frame}')
        return MOUNTS[sensor_frame.lstrip('/')]


class Eyes:
    """Stands in for the network: sees the camera where it is told to be."""

    trained_on = {'trained_on': 'recorded drives'}

    def __init__(self):
        """See nothing yet."""
        self.metadata = {'tracker': CALIBRATION.to_dict()} | self.trained_on
        self.config, self.map_frame = FG2Config.preset('sim'), None
        self.asked, self.camera = [], Pose2(0.0, 0.0, 0.0)

    def request_imagery(self, latitude_deg, longitude_deg):
        """Note the place."""
        self.asked.append((latitude_deg, longitude_deg))

    def observe(self, image, plan, base_from_camera, camera_k=None, seen=None):
        """Return the likelihood of poses."""
        return Observation(tuple(
            PoseVolume(grid, log_likelihood(grid, self.camera))
            for grid in plan.grids), base_from_camera)


@pytest.fixture
def pipeline():
    return new_pipeline()


def new_pipeline(**settings):
    """Return a pipeline of a vehicle whose sensors sit at base_link."""
    loaded = SimpleNamespace(localizer=Eyes(), needs_intrinsics=False)
    return Pipeline(NodeSettings(**settings), loaded, Mounts())


@pytest.mark.parametrize('trained_on, simulated_camera, is_believed', [
    ('simulation', False, False), ('simulation', True, True), ('VIGOR', False, True)])
def test_a_calibration_in_simulation_says_nothing_of_a_real_camera(
        monkeypatch, trained_on, simulated_camera, is_believed):
    """Poses then claim what weights without a calibration do; nothing else is another."""
    monkeypatch.setattr(Eyes, 'trained_on', {'trained_on': trained_on})
    pipeline = new_pipeline(simulated_camera=simulated_camera)
    expected = CALIBRATION if is_believed else CALIBRATION.with_caution()
    assert pipeline.tracker.settings.calibration == expected
    pipeline.apply(NodeSettings(simulated_camera=simulated_camera))
    assert pipeline.tracker.settings.calibration == expected
    strong = 10 * CALIBRATION.strength
    sigma_m = pipeline.tracker.settings.calibration.bias(strong)[0, 0] ** 0.5
    assert (sigma_m < 0.5) if is_believed else sigma_m == pytest.approx(1.5)


def header(time_s, frame):
    return Header(stamp=stamp_message(at_ns(time_s)), frame_id=frame)


def at_ns(time_s):
    return round((BEGIN_S + time_s) * 1e9)


def fix(time_s, place=None, east_m=None, sigma_m=2.0, kind=NavSatFix.COVARIANCE_TYPE_KNOWN):
    """Return a fix of a drive to the east, or one somewhere else."""
    if place is None:
        place = HOME.geodetic_from_map(SPEED_MPS * time_s if east_m is None else east_m, 0.0)
    message = NavSatFix(header=header(time_s, 'gps'), latitude=float(place[0]),
                        longitude=float(place[1]), position_covariance_type=kind)
    message.position_covariance[0] = message.position_covariance[4] = sigma_m ** 2
    return message


def imu(time_s=0.0, quaternion=(0.0, 0.0, QUARTER, QUARTER), covariance=(0.01,) * 9):
    message = Imu(header=header(time_s, 'imu'))
    for name, value in zip('xyzw', quaternion):
        setattr(message.orientation, name, float(value))
    message.orientation_covariance = np.array(covariance, float)
    return message


def odometry(time_s, x_m, speed_mps=SPEED_MPS, child='base_link', y_m=0.0, yaw_rad=0.0):
    message = Odometry(header=header(time_s, 'odom'), child_frame_id=child)
    message.pose.pose.position.x, message.pose.pose.position.y = float(x_m), float(y_m)
    turn = quaternion_from_euler(0.0, 0.0, yaw_rad)
    for name, value in zip('xyzw', turn):
        setattr(message.pose.pose.orientation, name, float(value))
    message.twist.twist.linear.x = float(speed_mps)
    return message


def taken(pipeline, messages):
    """Add messages; return the sentences about those that were not used."""
    said = []
    for message in messages:
        add = {NavSatFix: pipeline.add_fix, Imu: pipeline.add_imu,
               Odometry: pipeline.add_odometry}[type(message)]
        try:
            add(message)
        except ValueError as error:
            said.append(str(error))
    return said


def start(pipeline, time_s):
    """Return where a search at a time begins, in metres of `HOME`, and how far it reaches."""
    grid = pipeline.tracker.search(at_ns(time_s)).grids[0]
    place = pipeline.map_frame.geodetic_from_map(grid.middle.x, grid.middle.y)
    return np.array(HOME.map_from_geodetic(*place)), min(grid.reach_m)


# Fixes -----------------------------------------------------------------------------------------

@pytest.mark.parametrize('bad, words', [
    (NavSatFix(), '0 N 0 E'),
    (fix(0, (1e-7, -1e-7)), '0 N 0 E'),
    (fix(0, (math.nan, 7.0)), 'latitude nan'),
    (fix(0, (46.0, math.inf)), 'longitude inf'),
    (fix(0, (4.7e8, 7.0)), 'is not between'),
    (fix(0, (46.0, -180.5)), 'is not between'),
    (fix(0, (46.0, 7.0), sigma_m=4e6), 'may be 4e+06 m off')])
def test_a_fix_that_is_no_position_is_neither_datum_nor_prior(pipeline, bad, words):
    """Nor is imagery asked for there."""
    bad.header = header(0.0, 'gps')
    said = taken(pipeline, [bad])
    assert len(said) == 1 and words in said[0]
    assert pipeline.map_frame is None and not pipeline._loaded.localizer.asked
    assert pipeline.tracker.search(at_ns(0.0)).kind == 'prior'


@pytest.mark.parametrize('variances', [
    (0.0, 0.0), (-1.0, -1.0), (math.nan, 4.0), (9.0, 0.0), (math.inf, math.inf)])
def test_a_covariance_that_cannot_be_is_the_default(variances):
    pipeline = new_pipeline(sensors=SensorSettings(default_fix_sigma_m=7.0))
    message = fix(0.0)
    message.position_covariance[0], message.position_covariance[4] = variances
    pipeline.add_fix(message)
    assert start(pipeline, 0.0)[1] == pytest.approx(23 / 2, abs=1.2)  # two boxes each way
    assert len(pipeline.tracker.search(at_ns(0.0)).grids) > 18


@pytest.mark.parametrize('away_m', [300.0, 2000.0, 5e6])
@pytest.mark.parametrize('when', [1, 4, 6])
def test_one_fix_elsewhere_among_good_ones_moves_nothing(pipeline, away_m, when):
    places = [fix(index, east_m=SPEED_MPS * index) for index in range(7)]
    longitude, latitude, _ = _from_home(away_m)
    places[when] = fix(when, (latitude, longitude))
    said = taken(pipeline, [each for index in range(7) for each in (
        odometry(index, SPEED_MPS * index), places[index])])
    assert len(said) == 1 and 'further than a vehicle drives' in said[0]
    middle, _ = start(pipeline, 6.0)
    assert np.hypot(*(middle - (6 * SPEED_MPS, 0.0))) < 5.0


def _from_home(away_m):
    return Geod(ellps='WGS84').fwd(HOME.longitude_deg, HOME.latitude_deg, 30.0, away_m)


@pytest.mark.parametrize('away_m', [400.0, 30e3, 7e6])
def test_a_first_fix_that_was_wrong_does_not_keep_the_datum(pipeline, away_m):
    longitude, latitude, _ = _from_home(away_m)
    said = taken(pipeline, [fix(0, (latitude, longitude)), *map(fix, range(1, 5))])
    assert len(said) == 2
    assert np.hypot(*HOME.map_from_geodetic(*pipeline.map_frame.datum)) < 30.0
    assert np.hypot(*(start(pipeline, 4.0)[0] - (4 * SPEED_MPS, 0.0))) < 5.0


def test_once_there_was_a_pose_the_datum_stays(pipeline):
    taken(pipeline, [imu(0.0, (0, 0, 0, 1)), *map(fix, range(3))])
    datum = pipeline.map_frame.datum
    pipeline._loaded.localizer.camera = Pose2(2 * SPEED_MPS, 0.0, 0.0)
    image = CameraImage(at_ns(2.0), np.zeros((8, 16, 3), np.uint8), Pose2(0.0, 0.0, 0.0))
    with pytest.raises(Rejected):
        pipeline.track(image)  # one image is not enough
    assert not pipeline._has_posed
    pipeline._settled('a pose', pipeline.map_frame)
    longitude, latitude, _ = _from_home(9e3)
    taken(pipeline, [fix(10 + index, (latitude, longitude)) for index in range(4)])
    assert pipeline.map_frame.datum == datum


def test_a_pose_in_a_map_that_has_moved_meanwhile_is_not_published(pipeline):
    taken(pipeline, [fix(0.0)])
    with pytest.raises(Rejected, match='the datum moved'):
        pipeline._settled('a pose', MapFrame(1.0, 2.0))


def test_a_given_datum_stays_and_is_named_where_it_is_far_away():
    pipeline = new_pipeline(datum=(10.0, 20.0))
    said = taken(pipeline, map(fix, range(4)))
    assert len(said) == 4 and 'km from the datum of the map (10.00000, 20.00000)' in said[0]
    assert pipeline.map_frame.datum == (10.0, 20.0)


def test_a_vehicle_that_was_carried_away_is_believed_after_seconds(pipeline):
    longitude, latitude, _ = _from_home(3000.0)
    far = [fix(5 + index / 10, (latitude, longitude)) for index in range(25)]
    said = taken(pipeline, [*map(fix, range(5)), *far])
    assert 15 < len(said) < 25
    assert np.hypot(*start(pipeline, 7.4)[0]) == pytest.approx(3000.0, abs=5.0)


def test_fixes_that_contradict_each_other_are_searched_between():
    """Only two fixes, 200 m apart, within the time in which a vehicle may drive that far."""
    pipeline = new_pipeline()
    said = taken(pipeline, [
        odometry(0.0, 0.0, 0.0), fix(0.0, east_m=0.0), odometry(2.9, 0.0, 0.0),
        fix(2.9, east_m=200.0)])
    assert not said
    west_m, east_m = searched_east_m(pipeline.tracker.search(at_ns(2.9)))
    assert west_m < 5.0 and east_m > 195.0


def test_a_fix_of_another_clock_is_told_apart_from_none(pipeline):
    assert 'nearest' not in pipeline.tracker.search(at_ns(0.0)).sentence
    taken(pipeline, [fix(18.0)])
    assert 'the nearest is dated 18.0 s after the image' in (
        pipeline.tracker.search(at_ns(0.0)).sentence)


@pytest.mark.parametrize('gap_s', [3600.0, 1e6])
def test_after_a_long_pause_the_search_begins_at_gnss(pipeline, gap_s):
    """What was believed may be anywhere by then; to think all of it through took minutes."""
    taken(pipeline, [fix(0.0, east_m=0.0), imu(0.0, (0, 0, 0, 1))])
    image = CameraImage(at_ns(0.0), np.zeros((8, 16, 3), np.uint8), Pose2(0.0, 0.0, 0.0))
    with pytest.raises(Rejected):
        pipeline.track(image)
    taken(pipeline, [fix(gap_s, east_m=700.0), imu(gap_s, (0, 0, 0, 1))])
    middle, reach_m = start(pipeline, gap_s)
    assert np.hypot(*(middle - (700.0, 0.0))) < 5.0 and reach_m < 20.0


# Headings --------------------------------------------------------------------------------------

@pytest.mark.parametrize('message, words', [
    (Imu(), 'the identity with a covariance of zeros'),
    (imu(quaternion=(0, 0, 0, -1), covariance=(0,) * 9), 'the identity'),
    (imu(quaternion=(0, 0, 0, 1), covariance=(math.nan,) * 9), 'the identity'),
    (imu(covariance=(-1, *(0.01,) * 8)), 'orientation_covariance[0] is -1'),
    (imu(covariance=(*(0.01,) * 8, -1)), 'orientation_covariance[8] is -1'),
    (imu(covariance=(0.01, 0, 0, 0, 0.01, 0, 0, 0, 1e6)), 'degrees off'),
    (imu(quaternion=(0, 0, 0, 0)), 'no quaternion'),
    (imu(quaternion=(0, 0, 1, 1)), 'no quaternion'),
    (imu(quaternion=(math.nan, 0, 0, 1)), 'no quaternion'),
    (imu(quaternion=(1e300, 0, 0, 1e300)), 'no quaternion')])
def test_an_imu_without_orientation_gives_no_heading(pipeline, message, words):
    message.header = header(0.0, '/imu')
    said = taken(pipeline, [fix(0.0), message])
    assert len(said) == 1 and words in said[0]
    assert pipeline._loaded.localizer.asked
    assert len(pipeline.tracker.search(at_ns(0.0)).grids) == 18  # headings all round


def test_an_imu_that_looks_east_is_believed_if_it_says_how_well(pipeline):
    pipeline.add_fix(fix(0.0))
    pipeline.add_imu(imu(quaternion=(0, 0, 0, 1)))
    assert pipeline.tracker.search(at_ns(0.0)).grids[0].middle.yaw == pytest.approx(0.0)


# Odometry --------------------------------------------------------------------------------------

def moved(pipeline, from_s, to_s):
    return pipeline.tracker.motion(at_ns(from_s), at_ns(to_s))


def drive(pipeline, until_s=4.0, rate_hz=20, pose=lambda time_s, x_m: x_m, **options):
    """Drive to the east; return what was refused."""
    return taken(pipeline, [
        odometry(index / rate_hz, pose(index / rate_hz, SPEED_MPS * index / rate_hz), **options)
        for index in range(round(until_s * rate_hz) + 1)])


@pytest.mark.parametrize('value', [1e300, 1.7e308, -1e20, math.nan, math.inf])
@pytest.mark.parametrize('field', ['pose.pose.position.x', 'twist.twist.linear.y',
                                   'pose.pose.orientation.z', 'twist.twist.angular.z'])
def test_numbers_that_no_vehicle_has_are_left_out(pipeline, field, value):
    assert not drive(pipeline, 2.0)
    bad = odometry(2.05, 2.05 * SPEED_MPS)
    *path, name = field.split('.')
    holder = bad
    for each in path:
        holder = getattr(holder, each)
    setattr(holder, name, value)
    assert len(taken(pipeline, [bad])) == 1
    assert not taken(pipeline, [odometry(2.1, 2.1 * SPEED_MPS)])
    assert moved(pipeline, 0.0, 2.1).step.x == pytest.approx(2.1 * SPEED_MPS, abs=0.01)


def test_heights_that_a_planar_driver_leaves_open_do_not_matter(pipeline):
    message = odometry(0.0, 1.0)
    message.pose.pose.position.z = message.twist.twist.angular.x = math.nan
    assert not taken(pipeline, [message])


@pytest.mark.parametrize('jump', [
    lambda time_s, x_m: x_m + 100 * (abs(time_s - 2) < 0.01),
    lambda time_s, x_m: x_m + 100 * (time_s >= 2),
    lambda time_s, x_m: x_m - 12 * (time_s >= 2)])
@pytest.mark.parametrize('speed_mps', [SPEED_MPS, 0.0])
def test_a_jump_or_a_restart_is_bridged_with_and_without_velocities(pipeline, jump, speed_mps):
    """A driver that fills in no velocity is no reason to take its motion for one jump."""
    drive(pipeline, pose=jump, speed_mps=speed_mps)
    motion = moved(pipeline, 0.5, 3.5)
    assert motion.step.x == pytest.approx(3 * SPEED_MPS, abs=1.0)
    assert motion.driven_m == pytest.approx(3 * SPEED_MPS, abs=1.0)


def test_a_slow_driver_without_velocities_is_followed(pipeline):
    drive(pipeline, rate_hz=5, speed_mps=0.0)
    assert moved(pipeline, 1.0, 3.8).step.x == pytest.approx(2.8 * SPEED_MPS, abs=0.1)
    assert moved(pipeline, 1.0, 3.8).sigma_m < 1.0


def test_stamps_that_repeat_or_go_back_a_little_are_no_jump(pipeline):
    times = [0.0, 0.1, 0.1, 0.2, 0.15, 0.3, 0.3, 0.4]
    taken(pipeline, [odometry(time_s, SPEED_MPS * time_s) for time_s in times])
    assert moved(pipeline, 0.0, 0.4).step.x == pytest.approx(0.4 * SPEED_MPS, abs=1e-6)
    assert moved(pipeline, 0.0, 0.4).sigma_m < 0.2


def test_odometry_of_another_frame_becomes_that_of_base_link(pipeline):
    """A sensor on a rack that is turned: its circle is not base_link's."""
    translation, turn = MOUNTS['rack']
    yaw_rad, rate_radps = 0.6, 0.5
    for index in range(41):
        time_s = index / 10
        base = Pose2(*(SPEED_MPS / rate_radps * np.array([
            math.sin(rate_radps * time_s), 1 - math.cos(rate_radps * time_s)])),
            rate_radps * time_s)
        child = base.compose(Pose2(translation[0], translation[1], yaw_rad))
        message = odometry(time_s, child.x, 0.0, '/rack', child.y, child.yaw)
        velocity = np.array([SPEED_MPS - rate_radps * translation[1], rate_radps * translation[0]])
        turned = Pose2(0.0, 0.0, -yaw_rad).compose(Pose2(*velocity, 0.0))
        message.twist.twist.linear.x, message.twist.twist.linear.y = turned.x, turned.y
        message.twist.twist.angular.z = rate_radps
        assert not taken(pipeline, [message])
    motion = moved(pipeline, 0.0, 4.0)
    expected = SPEED_MPS / rate_radps * np.array([math.sin(2.0), 1 - math.cos(2.0)])
    np.testing.assert_allclose(motion.step[:2], expected, atol=0.05)
    assert motion.sigma_m < 1.0  # nothing was taken for a jump


def test_odometry_of_an_unknown_frame_is_refused_but_for_the_footprint(pipeline):
    said = taken(pipeline, [odometry(0.0, 0.0, child='left_wheel')])
    assert 'child_frame_id' in said[0] and 'left_wheel' in said[0]
    assert not taken(pipeline, [odometry(0.0, 0.0, child='base_footprint'),
                                odometry(0.1, 0.6, child='')])

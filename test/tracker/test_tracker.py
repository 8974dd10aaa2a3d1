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

"""The tracker along a drive in a world of closed forms: its poses, and when it is silent."""

from dataclasses import dataclass
import math
import threading

from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker.inputs import Fix, Observation, Odometry
from fg2_ros.tracker.publication import UNLIKE_IMAGERY
from fg2_ros.tracker.remarks import NO_HEADING, STANDING
from fg2_ros.tracker.results import Rejection, TrackedPose
from fg2_ros.tracker.settings import Calibration, TrackerSettings
from fg2_ros.tracker.tracker import Tracker
import numpy as np
import pytest

SETTINGS = TrackerSettings(calibration=Calibration(
    temper=1.0, nothing_share=0.05, correlation_m=5.0, strength=20.0, bias_m=0.2, bias_deg=0.4,
    measurement_temper=0.5, measurement_bias_m=0.2, measurement_bias_deg=0.4,
    resemblance=9.0))
MOUNT = Pose2(0.4, 0.0, 0.0)  # of the camera
SPEED_MPS = 8.0
RATE_HZ, IMAGE_RATE_HZ = 20, 4
BEGIN_NS = 5 * 10 ** 9


@dataclass
class World:
    """
    A vehicle on a straight road to the north-east, and its sensors.

    :param heading_off_rad: of the IMU; None if there is none.
    :param gnss_off_m: of all fixes.
    :param mount_turn_rad: of the camera, against what the tracker is told.
    :param images: what images show: 'right', 'nothing' that would be in the imagery, 'twins' of
        which the one 9 m beside the truth matches a little less.
    """

    heading_off_rad: float | None = 0.0
    gnss_off_m: tuple[float, float] = (2.0, -1.0)
    gnss_sigma_m: float = 3.0
    images: str = 'right'
    mount_turn_rad: float = 0.0
    speed_mps: float = SPEED_MPS
    odometry_jump_m: float = 0.0
    resemblance: float = 9.0

    def __post_init__(self):
        """Begin at time zero."""
        self.tracker, self.ticks, self.truth = Tracker(SETTINGS), 0, Pose2(30.0, -20.0, 0.7)
        self.odometry = Pose2(0.0, 0.0, 0.0)
        self.rng = np.random.default_rng(0)

    @property
    def stamp_ns(self):
        """Return the stamp of now."""
        return BEGIN_NS + self.ticks * 10 ** 9 // RATE_HZ

    def tick(self):
        """Drive on for a moment and tell the tracker what the sensors say."""
        step = Pose2(self.speed_mps / RATE_HZ, 0.0, 0.0)
        self.truth, self.odometry = self.truth.compose(step), self.odometry.compose(step)
        self.ticks += 1
        told = self.odometry._replace(x=self.odometry.x + self.odometry_jump_m)
        self.tracker.add_odometry(self.stamp_ns, Odometry(told, Pose2(self.speed_mps, 0.0, 0.0)))
        self.tracker.add_fix(self.stamp_ns, Fix(
            np.add(self.truth[:2], self.gnss_off_m), self.gnss_sigma_m))
        if self.heading_off_rad is not None:
            self.tracker.add_heading(
                self.stamp_ns, wrap_angle(self.truth.yaw + self.heading_off_rad), 0.05)

    def image(self):
        """Let the tracker see an image."""
        plan = self.tracker.search(self.stamp_ns, MOUNT)
        if isinstance(plan, Rejection):
            return plan
        return self.tracker.update(self.stamp_ns, Observation(
            tuple(self.seen(grid) for grid in plan.grids), MOUNT,
            resemblances=len(plan.grids) * (self.resemblance,)))

    def seen(self, grid):
        """Return a peak at the camera's pose, or anywhere if the images show another place."""
        camera = self.truth.compose(MOUNT).compose(Pose2(0.0, 0.0, self.mount_turn_rad))
        if self.images == 'nothing':
            off_m = self.rng.uniform(-9, 9, 2)
            camera = Pose2(*(np.array(self.truth[:2]) + off_m), camera.yaw)
        turn, north, east = np.meshgrid(
            wrap_angle(grid.middle.yaw + grid.turns_rad - camera.yaw), grid.norths_m - camera.y,
            grid.easts_m - camera.x, indexing='ij')
        places = np.exp(-0.5 * (east ** 2 + north ** 2) / 1.2 ** 2)
        if self.images == 'twins':
            places += 0.98 * np.exp(-0.5 * ((east - 9.0) ** 2 + north ** 2) / 1.2 ** 2)
        values = 20 * places * np.exp(-0.5 * (turn / 0.09) ** 2)
        return PoseVolume(grid, values.astype(np.float32))

    def drive(self, seconds):
        """Drive on; return what the tracker said of each image."""
        results = []
        for _ in range(round(seconds * IMAGE_RATE_HZ)):
            for _ in range(RATE_HZ // IMAGE_RATE_HZ):
                self.tick()
            results.append(self.image())
        return results

    def error(self, result):
        """Return the (metres, radians) by which a pose of now is wrong."""
        base = result.base
        return (math.hypot(base.x - self.truth.x, base.y - self.truth.y),
                abs(wrap_angle(base.yaw - self.truth.yaw)))


def published(results):
    """Return the poses among results."""
    return [result for result in results if isinstance(result, TrackedPose)]


def test_publishes_the_right_pose_soon():
    """After three seconds of driving every image has a pose, centimetres from the truth."""
    world = World()
    world.drive(3.0)
    results = world.drive(3.0)
    assert len(published(results)) == len(results)
    metres, radians = world.error(results[-1])
    assert metres < 0.15 and radians < math.radians(0.5)
    assert results[-1].belief.agreement > 0.95 and results[-1].belief.mass > 0.99
    assert not results[-1].remarks


def test_the_measurement_is_the_image_s_own():
    """It lies at the truth, and is less certain than the belief."""
    world = World()
    world.drive(5.0)
    result = next(each for each in (world.drive(0.25)[0] for _ in range(4)) if each.measurement)
    base = result.measurement.base
    assert math.hypot(base.x - world.truth.x, base.y - world.truth.y) < 0.2
    assert np.linalg.eigvalsh(result.measurement.covariance)[0] > 0
    assert np.linalg.det(result.measurement.covariance) > np.linalg.det(result.covariance)


def test_measurements_are_some_metres_apart():
    """A filter takes each as news, which images of the same place are not."""
    world = World()
    moving = published(world.drive(10.0))
    measured = [index for index, each in enumerate(moving) if each.measurement]
    apart_m = np.diff(measured) * SPEED_MPS / IMAGE_RATE_HZ
    least_m = SETTINGS.publication.pose_every_m
    assert len(measured) > 3 and least_m - 1e-6 < apart_m.min() <= apart_m.max() < 2 * least_m
    world.speed_mps = 0.0
    standing = published(world.drive(10.0))
    assert len(standing) == 40
    assert sum(each.measurement is not None for each in standing) <= 1


@pytest.mark.parametrize('off_deg', [90.0, 180.0, -90.0])
def test_a_wrong_heading_is_found_and_said(off_deg):
    """Nothing wrong is published meanwhile; a remark says by how much the heading is off."""
    world = World(heading_off_rad=math.radians(off_deg))
    results = world.drive(6.0)
    assert published(results)
    assert max(world.error(result)[1] for result in published(results)) < math.radians(3.0)
    said = next(remark for remark in results[-1].remarks if 'heading' in remark)
    told_deg = float(said.partition(' degrees')[0].split()[-1])
    assert abs(told_deg) == pytest.approx(abs(off_deg), abs=2.0)
    offset_m, turn_rad = world.tracker.offsets()
    assert offset_m == pytest.approx(world.gnss_off_m, abs=0.3)
    assert abs(wrap_angle(turn_rad - world.heading_off_rad)) < math.radians(2.0)


def test_a_camera_that_looks_backward_is_found_and_said():
    """Its images fit no drive forward; they do when its mount is thought to be turned."""
    world = World(mount_turn_rad=math.pi)
    results = world.drive(12.0)
    assert published(results)
    assert isinstance(results[-1], TrackedPose)
    assert world.error(results[-1])[0] < 0.3
    assert world.error(results[-1])[1] < math.radians(2.0)
    assert any('180 degrees' in remark for remark in results[-1].remarks)


def test_no_heading_is_needed():
    """The panorama is turned to all headings."""
    world = World(heading_off_rad=None)
    first = world.tracker
    world.tick()
    assert len(first.search(world.stamp_ns, MOUNT).grids) == 18
    results = world.drive(5.0)
    assert isinstance(results[-1], TrackedPose)
    assert world.error(results[-1])[0] < 0.2
    assert NO_HEADING in results[0].remarks


def test_a_vague_position_is_searched_on_a_lattice():
    """With GNSS 45 m off and told so, the place is found among many patches; GNSS is remarked."""
    world = World(gnss_off_m=(-40.0, 21.0), gnss_sigma_m=25.0)
    results = world.drive(5.0)
    assert isinstance(results[-1], TrackedPose)
    assert world.error(results[-1])[0] < 0.2
    remark, = published(results)[0].remarks
    assert 'GNSS is 45 m' in remark and 'sigma of 25 m' in remark
    assert not world.drive(6.0)[-1].remarks, 'it claims no better'


def test_a_view_of_which_little_is_found_is_remarked():
    """With poses that are published, and as what may be wrong where there are none."""
    world = World()
    assert not any(UNLIKE_IMAGERY in answer.remarks for answer in world.drive(4.0))
    world.resemblance = 8.0
    hidden = world.drive(6.0)
    assert all(isinstance(answer, TrackedPose) for answer in hidden)
    assert UNLIKE_IMAGERY in hidden[-1].remarks
    elsewhere = World(images='nothing', resemblance=8.0).drive(5.0)
    assert all(isinstance(answer, Rejection) for answer in elsewhere)
    assert any(UNLIKE_IMAGERY in answer.sentence for answer in elsewhere)


def test_images_of_another_place_are_never_published():
    """They agree with no place for long; the sentence says so, also while it searches again."""
    results = World(images='nothing').drive(10.0)
    assert not published(results)
    assert results[-1].kind == 'agreement' and 'agree' in results[-1].sentence
    again = next(result.sentence for result in results if 'A new search' in result.sentence)
    assert again.partition(' A new search')[0][-1] in '.?'


def test_waiting_for_imagery_does_not_make_the_place_less_credible():
    """Places are searched when an image is compared with them, not when that is tried."""
    patient, waited = World(), World()
    for _ in range(500):
        waited.tick()
        waited.tracker.search(waited.stamp_ns, MOUNT)  # there is no imagery yet
        patient.tick()
    expected, found = patient.drive(2.5), waited.drive(2.5)
    assert published(expected)
    assert [result.belief.agreement for result in found] == pytest.approx(
        [result.belief.agreement for result in expected])


def test_nothing_without_a_position():
    """The sentence says what is missing."""
    result = Tracker(SETTINGS).search(10 ** 9)
    assert isinstance(result, Rejection) and 'GNSS' in result.sentence


def test_a_jump_of_odometry_is_left_out_and_said():
    """The pose goes on as if there had been none."""
    world = World()
    world.drive(4.0)
    world.odometry_jump_m = 100.0
    results = world.drive(1.0)
    assert len(published(results)) == len(results)
    assert world.error(results[-1])[0] < 0.3
    assert any('odometry jumped' in remark for remark in results[-1].remarks)


def test_a_vehicle_that_is_carried_off_is_found_again():
    """Odometry does not notice; no pose is published until images and GNSS agree on another."""
    world = World()
    world.drive(4.0)
    world.truth = Pose2(world.truth.x - 70.0, world.truth.y + 20.0, world.truth.yaw + 2.0)
    results, right = [], []
    for _ in range(40):
        result = world.drive(0.25)[0]
        results.append(result)
        if isinstance(result, TrackedPose):
            right.append(world.error(result)[0] < 0.5)
    assert right and all(right)
    assert isinstance(results[-1], TrackedPose)


@pytest.mark.parametrize('seconds', [0.0, 5.0])
def test_a_fix_kilometres_away_moves_nothing(seconds):
    """One fix 2 km off moves the pose by centimetres, be it at the start or later."""
    worlds = World(), World()
    for world, off_m in zip(worlds, ((2000.0, 0.0), None)):
        world.drive(seconds + 0.25)
        usual_m, world.gnss_off_m = world.gnss_off_m, off_m or world.gnss_off_m
        world.tick()
        world.gnss_off_m = usual_m
        world.drive(4.0)
    strayed, sound = (world.tracker.belief(world.stamp_ns) for world in worlds)
    assert math.hypot(strayed.mean.x - sound.mean.x, strayed.mean.y - sound.mean.y) < 0.03
    assert worlds[0].error(worlds[0].drive(0.25)[0])[0] < 0.15


def test_standing_still_adds_nothing():
    """A minute at a traffic light makes the pose no more certain, and not much less."""
    world = World()
    before = world.drive(4.0)[-1].belief.covariance
    world.speed_mps = 0.0
    after = world.drive(60.0)[-1]
    assert isinstance(after, TrackedPose)
    ratio = np.sqrt(np.diag(after.belief.covariance) / np.diag(before))
    assert (ratio > 0.9).all() and (ratio < 1.5).all()


def test_standing_is_remarked_while_it_lasts():
    """Beside the pose, soon after the vehicle has come to a stop, until it drives on."""
    world = World()
    assert not any(STANDING in result.remarks for result in world.drive(4.0))
    world.speed_mps = 0.0
    assert STANDING in world.drive(3.0)[-1].remarks
    world.speed_mps = SPEED_MPS
    assert not any(STANDING in result.remarks for result in world.drive(1.0))


def test_standing_still_makes_no_certainty_of_an_ambiguity():
    """What one image cannot tell, a minute of the same image cannot tell either."""
    world = World(images='twins', gnss_off_m=(4.5, 0.0))
    world.drive(0.25)
    world.speed_mps = 0.0
    first, *_, last = world.drive(60.0)
    assert not published([first, last])
    assert first.belief.mass < 0.8 and abs(last.belief.mass - first.belief.mass) < 0.05
    world.speed_mps = SPEED_MPS
    assert max(result.belief.mass for result in world.drive(10.0)) > 0.8  # the road tells


def test_images_in_the_wrong_order_are_refused():
    """An image that is not newer than the last one is not looked at."""
    world = World()
    world.drive(1.0)
    result = world.tracker.search(world.stamp_ns - 10 ** 8)
    assert isinstance(result, Rejection) and result.kind == 'order'
    with pytest.raises(ValueError, match='last search'):
        world.tracker.update(world.stamp_ns + 1, Observation(()))


def test_clear_forgets_everything():
    """After it the tracker is as new."""
    world = World()
    world.drive(4.0)
    world.tracker.clear()
    assert world.tracker.belief(world.stamp_ns) is None
    assert isinstance(world.tracker.search(world.stamp_ns - 10 ** 9), Rejection)


def test_relocalize_searches_as_wide_as_told():
    """The inputs are kept; many places are looked at, and the pose is found again."""
    world = World()
    world.drive(4.0)
    world.tracker.relocalize(30.0)
    world.tick()
    assert len(world.tracker.search(world.stamp_ns, MOUNT).grids) > 9
    assert isinstance(world.drive(6.0)[-1], TrackedPose)


def test_a_pose_that_is_given_is_where_the_search_begins():
    """With GNSS far off and sure of itself only a given pose helps."""
    world = World(gnss_off_m=(60.0, 60.0))
    world.drive(0.5)
    world.tracker.set_pose(world.stamp_ns, world.truth, np.diag([1.0, 1.0, 0.01]))
    results = world.drive(5.0)
    assert isinstance(results[-1], TrackedPose)
    assert world.error(results[-1])[0] < 0.3
    assert any('GNSS is' in remark for remark in results[-1].remarks)


def test_the_belief_is_carried_to_other_stamps():
    """By odometry, forward and a moment beyond it."""
    world = World()
    world.drive(4.0)
    here = world.tracker.belief(world.stamp_ns, with_density=True)
    assert sum(box.values.sum() for box in here.density) == pytest.approx(1.0, abs=1e-3)
    for _ in range(4):
        world.tick()
    later = world.tracker.belief(world.stamp_ns)
    assert math.hypot(later.mean.x - world.truth.x, later.mean.y - world.truth.y) < 0.2


def test_messages_may_come_from_another_thread():
    """No message is lost and nothing fails while images are worked on."""
    world, failures = World(), []
    world.drive(2.0)

    def tell():
        try:
            for index in range(3000):
                world.tracker.add_heading(
                    BEGIN_NS + index * 10 ** 6, world.truth.yaw, 0.05)
        except Exception as error:  # noqa: B902
            failures.append(error)
    thread = threading.Thread(target=tell)
    thread.start()
    results = world.drive(3.0)
    thread.join(timeout=30)
    assert not thread.is_alive() and not failures
    assert isinstance(results[-1], TrackedPose)


def test_without_odometry_nothing_is_published_and_that_is_said():
    """Nobody knows then over how much of the road images agree; with it poses come."""
    world = World()
    told, world.tracker.add_odometry = world.tracker.add_odometry, lambda *odometry: None
    results = world.drive(3.0)
    assert {result.kind for result in results} == {'odometry'}
    assert 'there is no odometry' in results[-1].sentence
    world.tracker.add_odometry = told
    assert isinstance(world.drive(6.0)[-1], TrackedPose)

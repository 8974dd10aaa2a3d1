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

"""The prior at a stamp: carried by odometry, honest about its sigma, able to recover."""

from dataclasses import replace

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.prior.history import History
from fg2_ros.prior.settings import PriorSettings
from fg2_ros.prior.tracker import Fix, NoPrior, Odometry, PriorTracker
import numpy as np
import pytest

S = 1_000_000_000
SPEED = 10.0
ODOM_FROM_MAP = Pose2(50.0, -20.0, 1.1)
SMALL = np.diag([0.1, 0.1, 0.001])


def truth(seconds: float) -> Pose2:
    """Return the pose on a circle of 30 m radius."""
    angle = SPEED * seconds / 30
    return Pose2(30 * np.sin(angle), 30 * (1 - np.cos(angle)), angle)


def drive(tracker: PriorTracker, seconds: float, fixes: bool = True, headings: bool = True,
          start: float = 0.0, lever=(0.0, 0.0)) -> None:
    """Feed perfect measurements: 10 Hz odometry and heading, 1 Hz fixes."""
    for step in range(round(10 * start), round(10 * seconds) + 1):
        at, pose = step / 10, truth(step / 10)
        tracker.add_odometry(step * S // 10, Odometry(
            ODOM_FROM_MAP.compose(pose), Pose2(SPEED, 0.0, SPEED / 30)))
        if headings:
            tracker.add_heading(step * S // 10, pose.yaw, 0.05)
        if fixes and step % 10 == 0:
            antenna = truth(at).compose(Pose2(*lever, 0.0))
            tracker.add_fix(step * S // 10, Fix(np.array(antenna[:2]), 2.0, lever))


def require_at(prior, pose: Pose2, tolerance_m: float = 0.1) -> None:
    """Compare poses."""
    assert np.hypot(prior.pose.x - pose.x, prior.pose.y - pose.y) < tolerance_m
    assert abs(np.angle(np.exp(1j * (prior.pose.yaw - pose.yaw)))) < 0.01


@pytest.mark.parametrize('lever', [(0.0, 0.0), (-1.2, 0.4)])
def test_fixes_are_carried_to_the_stamp(lever):
    """Between fixes and beyond the last odometry, on a curve, with the antenna's lever arm."""
    tracker = PriorTracker(PriorSettings())
    drive(tracker, 6.5, lever=lever)
    for seconds in (5.0, 5.73, 6.49, 6.7):
        require_at(tracker.at(int(seconds * S)), truth(seconds))


def test_averaging_does_not_shrink_sigma():
    """GNSS errors wander: many fixes are not better than one."""
    tracker = PriorTracker(PriorSettings())
    drive(tracker, 6.0)
    assert tracker.at(6 * S).sigma_m >= 2.0


def test_sigma_grows_through_an_outage_until_there_is_no_prior():
    """Odometry bridges an outage and says how badly."""
    tracker = PriorTracker(PriorSettings(fix_timeout_s=100.0, drift_per_metre=0.1))
    drive(tracker, 6.0)
    drive(tracker, 30.0, fixes=False, start=6.1)
    early, late = tracker.at(8 * S), tracker.at(14 * S)
    assert early.sigma_m < late.sigma_m
    require_at(late, truth(14.0))
    with pytest.raises(NoPrior, match='only good to'):
        tracker.at(30 * S)


def test_estimate_is_preferred_until_gnss_contradicts_it():
    """A wrong lock is forgotten as soon as it is outside the gate."""
    tracker = PriorTracker(PriorSettings())
    drive(tracker, 6.0)
    near = truth(6.0)._replace(x=truth(6.0).x + 3)
    tracker.add_estimate(6 * S, near, SMALL)
    require_at(tracker.at(6 * S), near)
    tracker.add_estimate(6 * S, near._replace(x=near.x + 20), SMALL)
    require_at(tracker.at(6 * S), truth(6.0))


def test_estimate_is_forgotten_after_rejections():
    """The images' own disagreement is a way out of a wrong lock as well."""
    tracker = PriorTracker(PriorSettings(estimate_rejections=2))
    drive(tracker, 6.0)
    tracker.add_estimate(6 * S, truth(6.0)._replace(x=truth(6.0).x + 3), SMALL)
    tracker.estimate_rejected()
    assert 'estimate' in tracker.at(6 * S).source
    tracker.estimate_rejected()
    assert 'GNSS' in tracker.at(6 * S).source


def test_estimate_bridges_an_outage():
    """Without any fix in time the last estimate is carried on."""
    tracker = PriorTracker(PriorSettings(fix_timeout_s=2.0))
    drive(tracker, 6.0)
    tracker.add_estimate(6 * S, truth(6.0), SMALL)
    drive(tracker, 12.0, fixes=False, start=6.1)
    require_at(tracker.at(12 * S), truth(12.0))


def test_without_a_heading_the_fix_stays_where_it_is():
    """Nobody knows where to; how far the vehicle drove and its size are in the sigma."""
    tracker = PriorTracker(PriorSettings())
    tracker.add_fix(0, Fix(np.array([3.0, 4.0]), 2.0, (-1.2, 0.5)))
    for seconds in (0, 1, 2):
        tracker.add_odometry(seconds * S, Odometry(
            Pose2(1.5 * seconds, 0.0, 0.3), Pose2(1.5, 0.0, 0.0)))
    with pytest.raises(NoPrior, match='no heading yet'):
        tracker.at(2 * S)
    prior = tracker.at(2 * S, needs_heading=False)
    assert prior.pose[:2] == (3.0, 4.0)
    assert not prior.has_heading and np.isnan(prior.pose.yaw) and prior.yaw_sigma_rad == np.inf
    assert prior.sigma_m == pytest.approx(np.hypot(2.0, 1.3 + 3.0))
    camera, sigma_m = prior.of_camera(Pose2(3.0, 4.0, 1.0))
    assert camera[:2] == (3.0, 4.0) and sigma_m == pytest.approx(np.hypot(prior.sigma_m, 5.0))
    with pytest.raises(NoPrior, match='no good GNSS fix in the 10 s'):
        tracker.at(11 * S, needs_heading=False)


def test_without_heading_and_odometry_a_fix_soon_is_no_prior():
    """At an unknown speed."""
    tracker = PriorTracker(PriorSettings())
    tracker.add_fix(0, Fix(np.zeros(2), 2.0))
    assert tracker.at(S // 2, needs_heading=False).sigma_m == pytest.approx(np.hypot(2.0, 5.0))
    with pytest.raises(NoPrior, match='only good to 30 m'):
        tracker.at(3 * S, needs_heading=False)


def test_a_heading_is_used_wherever_there_is_one():
    """Also where none is needed."""
    tracker = PriorTracker(PriorSettings())
    drive(tracker, 3.0)
    prior = tracker.at(3 * S, needs_heading=False)
    assert prior.has_heading and prior == tracker.at(3 * S)
    assert prior.of_camera(Pose2(1.0, 0.5, 0.1)) == (
        prior.pose.compose(Pose2(1.0, 0.5, 0.1)), prior.sigma_m)


def test_course_over_ground_is_a_heading():
    """A moving vehicle without an IMU heading learns it from its fixes."""
    tracker = PriorTracker(PriorSettings())
    for seconds in range(5):
        tracker.add_fix(seconds * S, Fix(np.array([0.0, 6.0 * seconds]), 1.0))
    assert tracker.at(4 * S).pose.yaw == pytest.approx(np.pi / 2)


def test_course_over_ground_on_a_curve_follows_odometry():
    """The chord's direction is turned by what the odometry turned since."""
    tracker = PriorTracker(PriorSettings())
    drive(tracker, 3.0, headings=False)
    require_at(tracker.at(3 * S), truth(3.0))


def test_heading_is_interpolated_across_pi():
    """Between 179 and -179 degrees lies 180."""
    tracker = PriorTracker(PriorSettings())
    tracker.add_fix(0, Fix(np.zeros(2), 1.0))
    tracker.add_heading(0, np.radians(179), 0.1)
    tracker.add_heading(S // 5, np.radians(-179), 0.1)
    assert abs(tracker.at(S // 10).pose.yaw) == pytest.approx(np.pi)


@pytest.mark.parametrize('missing, words', [('fix', 'no position'), ('heading', 'no heading')])
def test_missing_inputs_are_named(missing, words):
    """The sentence says what is missing."""
    tracker = PriorTracker(PriorSettings())
    if missing != 'fix':
        tracker.add_fix(0, Fix(np.zeros(2), 1.0))
    if missing != 'heading':
        tracker.add_heading(0, 0.0, 0.1)
    with pytest.raises(NoPrior, match=words):
        tracker.at(0)


def test_old_heading_without_odometry_is_none():
    """A stale heading is not taken for a fresh one."""
    tracker = PriorTracker(replace(PriorSettings(), heading_timeout_s=0.5))
    tracker.add_fix(3 * S, Fix(np.zeros(2), 1.0))
    tracker.add_heading(0, 0.0, 0.1)
    with pytest.raises(NoPrior, match='no heading'):
        tracker.at(3 * S)


def test_history_is_ordered_and_bounded():
    """Late values are sorted in, old ones forgotten."""
    history = History(10)
    for stamp in (5, 3, 12, 8, 8):
        history.add(stamp, f'at {stamp}')
    assert history.between(0, 99) == [(3, 'at 3'), (5, 'at 5'), (8, 'at 8'), (12, 'at 12')]
    assert history.around(6) == ((5, 'at 5'), (8, 'at 8'))
    history.add(17, 'at 17')
    assert history.nearest(0) == (8, 'at 8')

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

"""A truth is checked before it is believed."""

from __future__ import annotations

import math

from fg2_ros.datasets.drives import SensorReadings
from fg2_ros.drives.clock import ClockOffset
from fg2_ros.drives.course import course_alone, course_by_odometry
from fg2_ros.drives.readings import HeadingTrack
from fg2_ros.drives.settings import TruthSettings
from fg2_ros.drives.truth import (
    HEADING, JUMP, jumps, NO_HEADING, NO_TRUTH, remarks_of, SPEED, Truth, VAGUE)
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.replay.tracks import PoseTrack
import numpy as np
import pytest

FRAME = MapFrame(47.0, 8.0)
RADIUS_M, SPEED_MPS = 40.0, 6.0
LEVER_M = (-1.2, 0.4)
TIME_S = np.arange(0, 60, 0.1)


def ns(time_s):
    return 1_700_000_000_000_000_000 + np.round(np.asarray(time_s) * 1e9).astype(np.int64)


def circle(time_s, lever_m=(0.0, 0.0), backward=False):
    """Return (N, 3) poses on a circle, of base_link or of what is at a lever arm."""
    angle = SPEED_MPS / RADIUS_M * np.asarray(time_s)
    yaw = angle + np.pi / 2 + (np.pi if backward else 0.0)
    ahead, left = lever_m
    return np.stack([
        RADIUS_M * np.cos(angle) + np.cos(yaw) * ahead - np.sin(yaw) * left,
        RADIUS_M * np.sin(angle) + np.sin(yaw) * ahead + np.cos(yaw) * left, yaw], axis=1)


def positions(lever_m=LEVER_M, sigma_m=0.02, **how):
    pose = circle(TIME_S, lever_m, **how)
    pose[:, 2] = np.nan
    return PoseTrack(FRAME, ns(TIME_S), pose, lever_m,
                     np.tile([sigma_m, np.nan], (len(TIME_S), 1)))


def sensors(turned_rad=0.7, **how):
    """Return odometry of the same drive in a frame of its own."""
    pose = circle(TIME_S, **how)
    cosine, sine = math.cos(turned_rad), math.sin(turned_rad)
    x, y = cosine * pose[:, 0] - sine * pose[:, 1], sine * pose[:, 0] + cosine * pose[:, 1]
    return SensorReadings(
        odometry_stamp_ns=ns(TIME_S), odometry=np.stack(
            [x + 5.0, y - 9.0, pose[:, 2] + turned_rad, *np.zeros((3, len(TIME_S)))], axis=1))


def truth(track=None, off_rad=0.0, course=None, readings=SensorReadings()):
    track = track or positions()
    headings = HeadingTrack.of(ns(TIME_S), circle(TIME_S)[:, 2] + off_rad,
                               np.full(len(TIME_S), np.radians(0.2)))
    return Truth(
        track, headings, '/heading', ClockOffset(0.0, 0.001), course, readings, TruthSettings())


@pytest.mark.parametrize('backward', [False, True])
def test_the_course_by_odometry_is_the_heading_forward_and_backward(backward):
    readings = sensors(backward=backward)
    course = course_by_odometry(positions(backward=backward), readings.odometry_stamp_ns,
                                readings.odometry, 0, 0.02)
    assert len(course.stamp_ns) == len(TIME_S)
    true = circle(TIME_S, backward=backward)[:, 2]
    assert np.abs(wrap_angle(course.yaw_rad - true)).max() < 1e-6
    assert 0 < course.sigma_rad.max() < math.radians(0.2)


@pytest.mark.parametrize('lever_m', [(0.0, 0.0), (-1.2, 0.4), (2.0, -0.5)])
def test_a_course_alone_is_that_of_base_link(lever_m):
    course = course_alone(positions(lever_m), 0.02)
    true = circle((course.stamp_ns - ns(0)) / 1e9)[:, 2]
    assert len(course.stamp_ns) > 500
    assert np.degrees(np.abs(wrap_angle(course.yaw_rad - true))).max() < 0.1


def test_what_stands_has_no_course():
    track = positions()
    still = PoseTrack(FRAME, track.stamp_ns, np.tile(track.pose[:1], (len(TIME_S), 1)), LEVER_M,
                      track.sigma)
    assert not len(course_alone(still, 0.02).stamp_ns)


def test_a_sound_truth_raises_no_doubts():
    readings = sensors()
    good = truth(course=course_by_odometry(
        positions(), readings.odometry_stamp_ns, readings.odometry, 0, 0.02), readings=readings)
    stamps = ns(np.arange(2, 57, 0.25))
    assert not any(good.doubts(stamps))
    np.testing.assert_allclose(good.base_at(stamps)[:, :2], circle(
        np.arange(2, 57, 0.25))[:, :2], atol=0.01)
    assert not remarks_of(good)


def test_between_rare_fixes_the_way_is_that_of_odometry():
    """A second on a circle of 40 m is 0.1 m off the straight line."""
    track, readings = positions(), sensors()
    rare = PoseTrack(FRAME, track.stamp_ns[::10], track.pose[::10], LEVER_M, track.sigma[::10])
    stamps = ns(np.arange(3, 55, 0.25))
    true = circle(np.arange(3, 55, 0.25))[:, :2]
    straight, bent = (truth(rare, readings=each).base_at(stamps)[:, :2]
                      for each in (SensorReadings(), readings))
    assert np.abs(straight - true).max() > 0.08
    assert np.abs(bent - true).max() < 0.005
    course = course_by_odometry(rare, readings.odometry_stamp_ns, readings.odometry, 0, 0.02)
    found = course.at(stamps)[:, 0]
    assert np.abs(wrap_angle(found - circle(np.arange(3, 55, 0.25))[:, 2])).max() < 1e-4


def test_gaps_and_ends_of_the_truth_are_no_truth():
    track = positions()
    kept = (TIME_S < 20) | (TIME_S > 22)
    broken = PoseTrack(FRAME, track.stamp_ns[kept], track.pose[kept], LEVER_M, track.sigma[kept])
    reasons = truth(broken).doubts(ns([-1.0, 10.0, 21.0, 30.0, 61.0]))
    assert reasons.tolist() == [NO_TRUTH, '', NO_TRUTH, '', NO_TRUTH]
    late = truth()
    headings = HeadingTrack.of(late.headings.stamp_ns[300:], late.headings.yaw_rad[300:],
                               late.headings.sigma_rad[300:])
    late = Truth(late.positions, headings, '', None, None, SensorReadings(), TruthSettings())
    assert late.doubts(ns([10.0, 40.0])).tolist() == [NO_HEADING, '']


def test_stated_covariances_are_believed():
    track = positions()
    track.sigma[200:300, 0] = 0.8
    track.sigma[400:500, 0] = np.nan  # not stated: what the settings say
    reasons = truth(track).doubts(ns([10.0, 25.0, 45.0]))
    assert reasons.tolist() == ['', VAGUE, '']


def test_a_truth_that_states_no_accuracy_is_told():
    track = positions()
    assert remarks_of(truth(track)) == []
    track.sigma[400:500, 0] = np.nan
    assert 'does not say how accurate it is: one sigma of 0.05 m' in remarks_of(truth(track))[0]


def test_a_jump_and_what_odometry_knows_better():
    track = positions()
    track.pose[300:, 0] += 1.5
    assert jumps(track).tolist() == ns([30.0]).tolist()
    reasons = truth(track).doubts(ns([20.0, 29.5, 30.6, 40.0]))
    assert reasons.tolist() == ['', JUMP, JUMP, '']
    slow = positions()
    slow.pose[100:200, :2] = slow.pose[100, :2]  # stands still, while odometry drives
    doubted = truth(slow, readings=sensors()).doubts(ns([5.0, 15.0, 40.0]))
    assert doubted.tolist() == ['', SPEED, '']


def test_a_heading_that_leaves_the_course_is_doubted_and_a_lasting_offset_told():
    readings = sensors()
    course = course_by_odometry(
        positions(), readings.odometry_stamp_ns, readings.odometry, 0, 0.02)
    turned = truth(off_rad=math.radians(3.0), course=course)
    assert math.degrees(turned.course_offset_rad) == pytest.approx(3.0, abs=0.05)
    sentence, = remarks_of(turned)
    assert '+3.0 degrees from the course all the time' in sentence
    turned.headings.yaw_rad[200:250] += math.radians(8.0)
    reasons = turned.doubts(ns([10.0, 22.0, 40.0]))
    assert reasons.tolist() == ['', HEADING, '']

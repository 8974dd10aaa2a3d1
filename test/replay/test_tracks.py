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

"""Ground truth of all its types, and true headings of theirs."""

from __future__ import annotations

import math
from test.replay.test_recordings import FIX, recorded, TF, time_ns

from fg2_ros.drives.readings import read_headings
from fg2_ros.drives.settings import TruthSettings
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.replay.mounts import StaticMounts
from fg2_ros.replay.recording import choose_topics, ODOMETRY, POSE, POSE_WITH_COVARIANCE
from fg2_ros.replay.tracks import read_fixes, read_truth
from fg2_ros.ros.vehicle_mounts import VehicleMounts
from fg2_ros.simulation import bag_messages as msgs
import numpy as np
import pytest

PLACE = MapFrame(47.0, 8.0)
IMU, QUATERNION = 'sensor_msgs/msg/Imu', 'geometry_msgs/msg/QuaternionStamped'
YAW_RAD, SIGMA_M, SIGMA_RAD = 0.8, 0.03, 0.01
ANTENNAS_M = {'first': (-0.5, 0.0, 1.5), 'second': (0.7, 0.0, 1.5), 'rear': (-2.0, 0.5, 0.0)}
TENTHS = range(5)


def covariance():
    return np.diag([SIGMA_M ** 2] * 3 + [0.1, 0.1, SIGMA_RAD ** 2]).ravel()


def pose_of(tenth, frame_m=(0.0, 0.0)):
    """Return the pose of something on a vehicle that goes along its heading, 2 m each tenth."""
    cosine, sine = math.cos(YAW_RAD), math.sin(YAW_RAD)
    ahead, left = 2.0 * tenth + frame_m[0], frame_m[1]
    return cosine * ahead - sine * left, sine * ahead + cosine * left


def truth_message(kind, tenth):
    stamp_ns = time_ns(tenth)
    plain = msgs.pose_stamped(stamp_ns, *pose_of(tenth), 0.0, 0.0, YAW_RAD)
    if kind == POSE:
        return plain
    stated = msgs.message(
        'geometry_msgs/PoseWithCovariance', pose=plain.pose, covariance=covariance())
    if kind == POSE_WITH_COVARIANCE:
        return msgs.message(
            'geometry_msgs/PoseWithCovarianceStamped', header=plain.header, pose=stated)
    odometry = msgs.odometry(
        stamp_ns, *pose_of(tenth, ANTENNAS_M['rear']), YAW_RAD, 20.0, 0.0, 0.0)
    odometry.pose.covariance[:] = covariance()
    odometry.child_frame_id = 'rear'
    return odometry


def mounts():
    return [('/tf_static', 0, TF, msgs.transforms(*(
        msgs.transform(time_ns(0), 'base_link', name, place)
        for name, place in ANTENNAS_M.items())))]


def fixes(topic, frame, tenths=TENTHS):
    return [(topic, tenth, FIX, msgs.nav_sat_fix(
        time_ns(tenth), frame, *PLACE.geodetic_from_map(*pose_of(tenth, ANTENNAS_M[frame][:2])),
        SIGMA_M)) for tenth in tenths]


def vehicle_of(recording):
    return VehicleMounts(StaticMounts(recording), 'base_link')


@pytest.mark.parametrize('kind', [POSE, POSE_WITH_COVARIANCE, ODOMETRY])
def test_poses_of_all_types_are_those_of_base_link(tmp_path, kind):
    recording = recorded(tmp_path / 'bag', [
        *mounts(), ('/rtk/datum', 0, FIX, msgs.nav_sat_fix(time_ns(0), 'map', *PLACE.datum, 0.0)),
        *(('/rtk/pose', tenth, kind, truth_message(kind, tenth)) for tenth in TENTHS)])
    topics = choose_topics(recording, {'truth': '/rtk/pose'}, needed=())
    assert (topics.truth, topics.odom, topics.fix) == ('/rtk/pose', '', '')
    track = read_truth(recording, topics, vehicle_of(recording))
    assert track.frame == PLACE and track.has_heading
    np.testing.assert_allclose(track.pose, [(*pose_of(tenth), YAW_RAD) for tenth in TENTHS],
                               atol=1e-9)
    if kind == POSE:
        assert np.isnan(track.sigma).all()
    else:
        np.testing.assert_allclose(track.sigma, [(SIGMA_M, SIGMA_RAD)] * len(TENTHS))


def test_a_broken_pose_is_left_out(tmp_path):
    messages = [('/rtk/pose', tenth, POSE, truth_message(POSE, tenth)) for tenth in TENTHS]
    messages[2][-1].pose.orientation.w = 7.0
    datum = '/rtk/datum', 0, FIX, msgs.nav_sat_fix(time_ns(0), 'map', *PLACE.datum, 0.0)
    recording = recorded(tmp_path / 'bag', [*mounts(), datum, *messages])
    topics = choose_topics(recording, {'truth': '/rtk/pose'}, needed=())
    assert len(read_truth(recording, topics, vehicle_of(recording)).stamp_ns) == len(TENTHS) - 1
    recording = recorded(tmp_path / 'broken', [datum, messages[2]])
    with pytest.raises(ValueError, match='no usable message on /rtk/pose: the orientation of'):
        read_truth(recording, topics, vehicle_of(recording))


@pytest.mark.parametrize('kind', [POSE_WITH_COVARIANCE, ODOMETRY])
def test_poses_without_the_origin_of_their_map_are_refused(tmp_path, kind):
    recording = recorded(tmp_path / 'bag', [
        ('/rtk/pose', tenth, kind, truth_message(kind, tenth)) for tenth in TENTHS])
    with pytest.raises(ValueError, match='needs the origin of its map, a .* on /rtk/datum'):
        choose_topics(recording, {'truth': '/rtk/pose'}, needed=())


def heading_message(kind, tenth, yaw_rad):
    stamp_ns = time_ns(tenth)
    if kind == IMU:
        return msgs.imu(stamp_ns, 0.0, 0.0, yaw_rad, 0.0, SIGMA_RAD)
    if kind == QUATERNION:
        return msgs.message('geometry_msgs/QuaternionStamped',
                            header=msgs.header(stamp_ns, 'base_link'),
                            quaternion=msgs.quaternion(0.0, 0.0, yaw_rad))
    stated = truth_message(kind, tenth)
    stated.pose.pose.orientation = msgs.quaternion(0.0, 0.0, yaw_rad)
    return stated


@pytest.mark.parametrize('kind, sigma_rad', [
    (IMU, SIGMA_RAD), (QUATERNION, math.radians(0.5)), (POSE_WITH_COVARIANCE, SIGMA_RAD)])
@pytest.mark.parametrize('settings, sent_rad', [
    (TruthSettings(), YAW_RAD), (TruthSettings(heading_axes='ned'), math.pi / 2 - YAW_RAD),
    (TruthSettings(heading_offset_deg=90.0), YAW_RAD - math.pi / 2)])
def test_true_headings_of_all_types(tmp_path, kind, sigma_rad, settings, sent_rad):
    messages = [('/heading', tenth, kind, heading_message(kind, tenth, sent_rad))
                for tenth in TENTHS]
    for message in messages:
        message[-1].header.frame_id = 'base_link'
    recording = recorded(tmp_path / 'bag', [*messages, *fixes('/rtk/fix', 'first'), *mounts()])
    vehicle = vehicle_of(recording)
    headings = read_headings(recording, '/heading', read_fixes(recording, '/rtk/fix', vehicle),
                             vehicle, settings)
    assert headings.yaw_rad == pytest.approx([YAW_RAD] * len(TENTHS))
    assert headings.sigma_rad == pytest.approx([sigma_rad] * len(TENTHS))


def test_two_antennas_make_a_heading(tmp_path):
    recording = recorded(tmp_path / 'bag', [
        *mounts(), *fixes('/rtk/fix', 'first'), *fixes('/rtk/second', 'second', (0, 2, 3))])
    vehicle = vehicle_of(recording)
    first = read_fixes(recording, '/rtk/fix', vehicle)
    headings = read_headings(recording, '/rtk/second', first, vehicle, TruthSettings())
    assert headings.yaw_rad == pytest.approx([YAW_RAD] * 3, abs=1e-6)
    assert headings.sigma_rad == pytest.approx([math.hypot(SIGMA_M, SIGMA_M) / 1.2] * 3)
    with pytest.raises(ValueError, match='two antennas tell no heading: two antennas 0.00 m'):
        read_headings(recording, '/rtk/fix', first, vehicle, TruthSettings())


def test_nothing_on_the_topic_of_headings_is_said(tmp_path):
    lost = msgs.imu(time_ns(0), 0.0, 0.0, 0.0, 0.0, SIGMA_RAD)
    lost.orientation_covariance[0] = -1.0
    lost.header.frame_id = 'base_link'
    recording = recorded(tmp_path / 'bag', [
        *mounts(), *fixes('/rtk/fix', 'first'), ('/imu', 0, IMU, lost)])
    vehicle = vehicle_of(recording)
    with pytest.raises(ValueError, match='there is no heading on /imu'):
        read_headings(recording, '/imu', read_fixes(recording, '/rtk/fix', vehicle), vehicle,
                      TruthSettings())

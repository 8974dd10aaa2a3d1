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

"""Fixes that are metres off become poses that are not, and say how far they are off."""

import json
from pathlib import Path
from types import SimpleNamespace

from fg2_ros.commands import main
from fg2_ros.datasets.drives import RecordedDrive
from fg2_ros.drives import smoothing
from fg2_ros.drives.refine import refine_drive
from fg2_ros.drives.settings import TruthSettings
from fg2_ros.drives.smoothing import Fixes, NO_POSES, Poses, smoothed_poses
from fg2_ros.drives.truth import smoothed_track
from fg2_ros.evaluation.drives.results import Claim, ImageResult
from fg2_ros.evaluation.drives.stream import CameraFrame
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.replay.tracks import PoseTrack
from fg2_ros.simulation.bag import START_NS
from fg2_ros.tracker.settings import Calibration, METADATA_KEY
import numpy as np
import pytest

LEVER_M = (-1.2, 0.4)
SIGMA_M, RATE_HZ, SECONDS = 2.5, 20, 200
TIME_S = np.arange(0, SECONDS, 1 / RATE_HZ)


def ns(time_s):
    return START_NS + np.round(np.asarray(time_s) * 1e9).astype(np.int64)


@pytest.fixture(scope='module')
def true():
    """Return (N, 3) poses of a drive with curves to both sides, and a halt."""
    speed = np.where((TIME_S > 80) & (TIME_S < 95), 0.0, 7.0)
    yaw = 1.2 * np.sin(TIME_S / 9) + 0.01 * TIME_S
    steps = speed[:, None] / RATE_HZ * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    return np.column_stack([np.cumsum(steps, axis=0), yaw])


@pytest.fixture(scope='module')
def odometry(true):
    """Return the drive as wheels see it: too long by 1 %, and with a yaw rate that is off."""
    steps = np.hypot(*np.diff(true[:, :2], axis=0).T) * 1.01
    yaw = true[:, 2] + np.radians(0.1) * TIME_S + 0.7
    way = np.cumsum(steps[:, None] * np.stack([np.cos(yaw[:-1]), np.sin(yaw[:-1])], 1), axis=0)
    return np.column_stack([np.concatenate([[[5.0, -9.0]], way + [5.0, -9.0]]), yaw])


def fixes_of(true, seed, sigma_m=SIGMA_M):
    """Return fixes at 5 Hz whose error wanders."""
    rng, rows = np.random.default_rng(seed), slice(None, None, RATE_HZ // 5)
    stays = np.exp(-0.2 / smoothing.WANDER_S)
    white_m, wander_m = 0.3 * sigma_m, np.sqrt(1 - 0.3 ** 2) * sigma_m
    error_m = [rng.normal(0, wander_m, 2)]
    for _ in TIME_S[rows][1:]:
        error_m.append(stays * error_m[-1] + rng.normal(0, wander_m * np.sqrt(1 - stays ** 2), 2))
    place_m = antennas(true)[rows] + error_m + rng.normal(0, white_m, (len(error_m), 2))
    return Fixes(ns(TIME_S[rows]), place_m, np.full(len(place_m), sigma_m), LEVER_M)


def antennas(true):
    cosine, sine, (ahead, left) = np.cos(true[:, 2]), np.sin(true[:, 2]), LEVER_M
    return true[:, :2] + np.stack([cosine * ahead - sine * left, sine * ahead + cosine * left], 1)


def poses_of(true, every_s=2.0, sigma_m=0.8, sigma_rad=0.02):
    """Return poses as a tracker measures them."""
    rng, rows = np.random.default_rng(5), slice(7, None, round(every_s * RATE_HZ))
    pose = true[rows] + rng.normal(0, (sigma_m, sigma_m, sigma_rad), (len(true[rows]), 3))
    pose[:, 2] = wrap_angle(pose[:, 2])
    return Poses(ns(TIME_S[rows]), pose, np.tile((sigma_m, sigma_rad), (len(pose), 1)))


def off(found, true):
    """Return (N,) metres and (N,) rad by which poses are off."""
    rows = np.searchsorted(ns(TIME_S), found.stamp_ns)
    return (np.hypot(*(found.pose - true[rows])[:, :2].T),
            np.abs(wrap_angle(found.pose[:, 2] - true[rows, 2])))


def test_smoothed_fixes_are_nearer_and_know_how_near(true, odometry):
    before, after, nees = [], [], []
    for seed in range(12):
        fixes = fixes_of(true, seed)
        found = smoothed_poses(fixes, ns(TIME_S), odometry)
        off_m, off_rad = off(found, true)
        before.append(np.hypot(*(fixes.place_m - antennas(true)[::RATE_HZ // 5]).T).mean())
        after.append(off_m.mean())
        nees.append(np.mean((off_m / found.sigma[:, 0]) ** 2 / 2))
        assert np.degrees(off_rad).max() < 6 and np.isfinite(found.sigma).all()
    assert np.mean(after) < 0.7 * np.mean(before)
    assert 0.4 < np.mean(nees) < 2.0


def test_poses_along_the_way_make_all_of_it_better(true, odometry):
    fixes = fixes_of(true, 3)
    found = smoothed_poses(fixes, ns(TIME_S), odometry, poses_of(true))
    off_m, off_rad = off(found, true)
    assert off_m.max() < 1.2 and off_m.mean() < 0.35
    assert np.degrees(off_rad).mean() < 0.5
    assert np.median(found.sigma[:, 0]) < 0.35


def test_a_few_poses_that_are_wrong_are_outvoted(true, odometry):
    poses = poses_of(true)
    poses.pose[10:14, :2] += 25.0
    poses.pose[40, 2] += np.pi
    off_m, _ = off(smoothed_poses(fixes_of(true, 3), ns(TIME_S), odometry, poses), true)
    assert off_m.max() < 1.5


def test_fixes_that_jump_count_less(true, odometry):
    fixes = fixes_of(true, 3)
    usual = smoothed_poses(fixes, ns(TIME_S), odometry)
    fixes.place_m[300:320] += 60.0
    jumped = smoothed_poses(fixes, ns(TIME_S), odometry)
    assert np.hypot(*(jumped.pose - usual.pose)[:, :2].T).max() < 6


def test_where_odometry_is_lacking_nothing_is_claimed(true, odometry):
    kept = (TIME_S < 100) | (TIME_S > 120)
    restarted = odometry.copy()
    restarted[TIME_S > 120] -= odometry[TIME_S > 120][0]  # it begins anew
    fixes = fixes_of(true, 4)
    found = smoothed_poses(fixes, ns(TIME_S)[kept], restarted[kept])
    off_m, _ = off(found, true)
    assert off_m.max() < 4 * SIGMA_M
    assert np.mean((off_m / found.sigma[:, 0]) ** 2 / 2) < 3


@pytest.mark.parametrize('kept, sentence', [
    (slice(0, 0), 'smoothing takes odometry beside the fixes'),
    (slice(81 * RATE_HZ, 94 * RATE_HZ), 'stands all the time')])
def test_what_smoothing_takes_is_said(true, odometry, kept, sentence):
    with pytest.raises(ValueError, match=sentence):
        smoothed_poses(fixes_of(true, 0), ns(TIME_S)[kept], odometry[kept])
    nothing = Fixes(ns([]), np.zeros((0, 2)), np.zeros(0), LEVER_M)
    with pytest.raises(ValueError, match='there are no fixes'):
        smoothed_poses(nothing, ns(TIME_S), odometry, NO_POSES)


def test_fixes_must_say_how_accurate_they_are():
    track = PoseTrack(MapFrame(47, 8), ns([0, 1]), np.zeros((2, 3)), LEVER_M,
                      np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match='needs to know: say --truth-sigma-m'):
        smoothed_track(track, None, TruthSettings())


class Follower:
    """
    Stands in for what follows drives: knows the true poses, but for 0.3 m, of every other image.

    :param drive: which has them.
    """

    localizer = SimpleNamespace(metadata={METADATA_KEY: Calibration(bias_m=0.2).to_dict()})

    def __init__(self, drive):
        """Remember the true poses by stamp."""
        self._true = {each.stamp_ns: each.base for each in drive.keyframes}

    def new_tracker(self):
        """Return nothing, for nothing is tracked."""

    def follow(self, stream, tracker):
        """Yield what comes of each image."""
        rng = np.random.default_rng(2)
        shots = [event for event in stream.events() if isinstance(event.content, CameraFrame)]
        for index, (event, stamp_ns) in enumerate(zip(shots, self._true)):
            x, y, yaw = self._true[stamp_ns]
            claim = Claim(Pose2(x + rng.normal(0, 0.3), y + rng.normal(0, 0.3), yaw),
                          np.diag([0.1, 0.1, 1e-4]))
            yield ImageResult(event.content.time_s, event.content.truth,
                              measurement=claim if index % 2 else None)


@pytest.fixture(scope='module')
def weak(bag, ground, tmp_path_factory):
    """Return a data set whose truth is the ordinary receiver, and how it was made."""
    folder = tmp_path_factory.mktemp('weak')
    arguments = ['drives', 'build', '--bag', str(bag), '--fix', '/fix', '--imu', '/imu',
                 '--smooth', '--source', str(ground), '--reach', '30', '--resolution', '0.25',
                 '--max-sigma-m', '5', '--every', '0', '--out']
    assert main([*arguments, str(folder / 'weak'), '--truth', '/fix']) == 0
    return folder / 'weak' / 'blocks', arguments


def distances(drive, other):
    """Return (N,) metres between the poses of two drives at the same images."""
    base = {each.stamp_ns: each.base for each in other.keyframes}
    pairs = [(each.base[:2], base[each.stamp_ns][:2]) for each in drive.keyframes
             if each.stamp_ns in base]
    first, second = np.array(pairs).transpose(1, 0, 2)
    second = np.stack(drive.map_frame.map_from_geodetic(
        *other.map_frame.geodetic_from_map(*second.T)), axis=1)
    return np.hypot(*(first - second).T)


def test_a_drive_of_weak_truth_is_refined(weak, bag, ground, tmp_path, capsys):
    folder, arguments = weak
    drive = RecordedDrive(folder)
    assert 'smoothed fixes: one sigma is' in drive.facts.truth['remarks'][0]
    assert main([*arguments, str(tmp_path / 'exact'), '--truth', '/ground_truth/pose']) == 1
    assert '--smooth is for fixes' in capsys.readouterr().err
    arguments = [each for each in arguments if each != '--smooth']
    assert main([*arguments, str(tmp_path / 'exact'), '--truth', '/ground_truth/pose',
                 '--clock-offset', 'off']) == 0
    exact = RecordedDrive(tmp_path / 'exact' / 'blocks')
    follower = Follower(in_map_of(drive, exact))
    refined = refine_drive(drive, tmp_path / 'refined', follower, {'name': 'mine'})
    assert distances(refined, exact).mean() < 0.4 < 0.5 * distances(drive, exact).mean()
    assert 0.2 < np.median([each.sigma_m for each in refined.keyframes]) < 0.5
    for name in ('images', 'ground'):
        assert sorted(each.name for each in (refined.folder / name).iterdir()) == sorted(
            each.name for each in (folder / name).iterdir())
    assert [each.split for each in refined.keyframes] == [each.split for each in drive.keyframes]
    assert 'images told a pose, by mine' in refined.facts.truth['remarks'][1]
    assert json.loads((refined.folder / 'recipe.json').read_text())['refined'] == 'blocks'
    again = refine_drive(drive, tmp_path / 'refined', None, {'name': 'mine'})
    assert again.keyframes == refined.keyframes
    with pytest.raises(ValueError, match='was not built with --smooth'):
        refine_drive(exact, tmp_path / 'other', follower, {})


def in_map_of(drive, other):
    """Return the true poses of a drive's images, in its map."""
    base = {each.stamp_ns: each.base for each in other.keyframes}
    places = drive.map_frame.map_from_geodetic(*other.map_frame.geodetic_from_map(
        *np.array([base[each.stamp_ns][:2] for each in drive.keyframes]).T))
    return SimpleNamespace(keyframes=[
        SimpleNamespace(stamp_ns=each.stamp_ns, base=Pose2(x, y, base[each.stamp_ns].yaw))
        for each, x, y in zip(drive.keyframes, *places)])


def test_the_command_refines_data_sets_built_for_it(weak, tmp_path, monkeypatch, capsys):
    folder, _ = weak
    monkeypatch.setattr('fg2_ros.localizer.Localizer.load', lambda *_, **__: None)
    monkeypatch.setattr('fg2_ros.evaluation.drives.vehicle.Vehicle',
                        lambda *_, **__: Follower(RecordedDrive(folder)))
    assert main(['drives', 'refine', str(folder.parent), '--out', str(tmp_path)]) == 0
    assert 'images told a pose, by fg2_sim.safetensors' in capsys.readouterr().out
    assert 'images told a pose' in (tmp_path / 'index.html').read_text()
    assert RecordedDrive(tmp_path / 'blocks').facts.origin['weights']['name'] == Path(
        'fg2_sim.safetensors').name

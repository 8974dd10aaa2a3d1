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

"""Drives with stand-ins for network and tracker: who is told what, and what is kept of it."""

from dataclasses import replace
import json
from types import SimpleNamespace

from fg2_ros.commands import main
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.drives import evaluate
from fg2_ros.evaluation.drives.figures import trust_metrics
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, RenderedDrive, stream_of
from fg2_ros.evaluation.drives.settings import CitySettings, FaultSettings
from fg2_ros.evaluation.drives.sources import SimulatedDrives
from fg2_ros.evaluation.drives.stream import Heading, stamp_ns
from fg2_ros.evaluation.drives.vehicle import single_prior, Vehicle
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.localizer import Localizer
from fg2_ros.tracker.inputs import Observation, SearchPlan
from fg2_ros.tracker.results import BeliefState, Measurement, Rejection, TrackedPose
import numpy as np
import pytest

SEED, FRAMES = 5, 9
COVARIANCE = np.diag([0.04, 0.04, 0.001])
FIGURES = {
    'frames', 'published', 'median_error_m', 'mean_error_m', 'p95_error_m', 'over_2m', 'over_5m',
    'wrong_published', 'median_yaw_error_deg', 'anees_pose', 'anees_track', 'coverage_50',
    'coverage_90', 'coverage_95', 'coverage_99', 'median_sigma_m', 'time_to_first_pose_s',
    'recovery_s'}
NEAR = Pose2(0.2, -0.1, 0.01)  # how far the stand-in is off, in base_link


class KnowingTracker:
    """Knows the truth, is silent for two images, and remembers what it was told."""

    def __init__(self, stream):
        """Begin with nothing told."""
        self.truth = {stamp_ns(shot.time_s): shot.truth
                      for shot in (stream.shots if stream else ())}
        self.told = {'fix': [], 'heading': [], 'odometry': []}
        self.updates = 0

    def add_fix(self, stamp, fix):
        """Remember the stamp."""
        self.told['fix'].append(stamp)

    def add_heading(self, stamp, yaw_rad, sigma_rad):
        """Remember the stamp."""
        self.told['heading'].append(stamp)

    def add_odometry(self, stamp, odometry):
        """Remember the stamp."""
        self.told['odometry'].append(stamp)

    def search(self, stamp, base_from_camera):
        """Want to look at the truth."""
        assert self.told['odometry'][-1] <= stamp
        camera = self.truth[stamp].compose(base_from_camera)
        return SearchPlan((PoseGrid(camera, 1.0, 0.1, (3, 21, 21)),))

    def belief(self, stamp, with_density=False):
        """Believe in a narrow peak at the truth."""
        pose = self.truth[stamp]
        peak = PoseVolume(PoseGrid(pose, 0.5, 0.1, (1, 1, 1)), np.ones((1, 1, 1), np.float32))
        return BeliefState(stamp, pose, pose, COVARIANCE, 0.99, 0.9, (peak,))

    def update(self, stamp, observation):
        """Answer with the truth, a little off."""
        self.updates += 1
        if self.updates <= 2:
            return Rejection(stamp, 'start', 'too few images yet')
        pose = self.truth[stamp].compose(NEAR)
        belief = BeliefState(stamp, pose, pose, COVARIANCE, 0.99, 0.9)
        return TrackedPose(stamp, pose, COVARIANCE, Measurement(pose, COVARIANCE), belief)


class Looking:
    """Takes the image it is shown for an observation; the sixth of a drive has no imagery."""

    map_frame = None

    def __init__(self):
        """Begin with nothing seen."""
        self.seen = []

    track = Localizer.track

    def observe(self, image, plan, base_from_camera, camera_k, seen):
        """Remember the image."""
        self.seen.append(image)
        if len(self.seen) % FRAMES == 6:
            raise ImageryError('there is none here')
        return Observation((), base_from_camera)

    def estimate(self, image, prior, seen):
        """Answer with the prior, and accept every other image."""
        return SimpleNamespace(
            accepted=len(self.seen) % 2 == 0, east_m=prior.pose.x, north_m=prior.pose.y,
            yaw_rad=prior.pose.yaw, covariance=COVARIANCE)


class KnowingVehicle(Vehicle):
    """A vehicle with the stand-ins."""

    def follow(self, stream, tracker):
        """Follow with a tracker that knows this drive."""
        tracker.__init__(stream)
        return super().follow(stream, tracker)

    def new_tracker(self):
        """Return a tracker that is told the truth when it starts."""
        return KnowingTracker(None)


def vehicle() -> KnowingVehicle:
    """Return a vehicle that has seen nothing."""
    return KnowingVehicle(Looking(), CurrentImagery(), has_single=True)


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    """Return a folder with drives that are rendered small and fast."""
    return tmp_path_factory.mktemp('drives')


@pytest.fixture(autouse=True)
def painted(monkeypatch):
    """Let images be painted, not rendered; the real rendering has a test of its own."""
    def panorama(drive, index):
        return np.full((16, 32, 3), 10 * index + 1, np.uint8)

    monkeypatch.setattr(RenderedDrive, 'is_complete', lambda drive: True)
    monkeypatch.setattr(RenderedDrive, 'panorama', panorama)
    monkeypatch.setattr(
        RenderedDrive, 'orthophoto', lambda drive: np.full((1920, 1920, 3), 90, np.uint8))


def opened(cache, **wrong):
    """Return a short drive."""
    return SimulatedDrives(
        CitySettings((SEED, SEED), frames=FRAMES), FaultSettings(**wrong), cache).opened(SEED)


def test_the_tracker_is_told_everything_in_time_and_its_answers_are_kept(cache):
    """Every image is shown once, and comes out with its truth."""
    stream, driven = opened(cache), vehicle()
    tracker = KnowingTracker(None)
    images = list(driven.follow(stream, tracker))
    assert [int(image[0, 0, 0]) for image in driven.localizer.seen] == [
        10 * index + 1 for index in range(FRAMES)]
    assert driven.localizer.map_frame == stream.map_frame
    for stamps in tracker.told.values():
        assert len(stamps) > 10 and stamps == sorted(stamps)
    assert [image.rejection for image in images] == [
        'start', 'start', '', '', '', 'imagery', '', '', '']
    assert images[0].sentences == ('too few images yet',)
    assert [image.time_s for image in images] == pytest.approx(np.arange(FRAMES) / 4)
    error = images[3].track.against(images[3].truth)
    assert error.position_error_m == pytest.approx(np.hypot(*NEAR[:2]))
    assert error.error.yaw == pytest.approx(NEAR.yaw)
    assert [image.single is not None for image in images] == [False, True] * 4 + [False]


def test_a_filter_fed_with_good_poses_beats_gnss(cache):
    """The figures of the whole drive have it."""
    result = vehicle().drive(SEED, opened(cache))
    assert result.ekf.rmse_m < 0.4 < result.ekf.gnss_rmse_m
    found = trust_metrics([result])
    assert found['ekf']['better_than_gnss'] == 1.0
    assert (found['frames'], found['published']) == (FRAMES, 6)
    assert found['wrong_published'] == 0


def test_without_a_heading_nobody_is_told_one(cache):
    """Neither the tracker, nor the filter on GNSS, nor what localizes alone."""
    stream = opened(cache, has_heading=False)
    assert not [event for event in stream.events() if isinstance(event.content, Heading)]
    result = vehicle().drive(SEED, stream)
    assert result.ekf.gnss_rmse_m is None and result.ekf.rmse_m < 0.4
    assert single_prior(stream, 3.0) is None


def test_a_prior_alone_is_near_the_camera(cache):
    """The levers of antenna and camera are taken into account."""
    stream = opened(cache)
    antennas = [shot.truth.compose(Pose2(*stream.antenna_m, 0.0)) for shot in stream.shots]
    exact = {'position_m': np.array([antenna[:2] for antenna in antennas]),
             'time_s': np.array([shot.time_s for shot in stream.shots]),
             'sigma_m': np.ones(len(stream.shots))}
    stream = replace(stream, gnss=replace(stream.gnss, **exact))
    shot = stream.shots[4]
    prior = single_prior(stream, shot.time_s)
    camera = shot.truth.compose(stream.base_from_camera)
    assert np.hypot(*np.subtract(prior.pose[:2], camera[:2])) < 0.15  # headings err


@pytest.mark.parametrize('wrong, word', [
    (['--fault', 'rain'], 'rain'), (['--fault', 'yaw90', '--no-heading'], 'heading'),
    (['--prior-offset', '-1'], 'prior-offset'), (['--rate', '0'], 'rate')])
def test_unusable_settings_are_refused_with_a_reason(wrong, word, capsys):
    """The sentence names what is wrong."""
    try:
        code = main(['evaluate', 'drives', *wrong])
    except SystemExit as error:  # what argparse sees is wrong
        code = error.code
    assert code in (1, 2)
    assert word in capsys.readouterr().err


def test_images_of_another_city_come_from_the_next():
    """The last takes those of the first, so that a row needs no further drives."""
    cities = CitySettings((10, 12))
    assert [cities.other_seed(seed) for seed in cities.seeds] == [11, 12, 10]
    assert CitySettings((10, 10)).other_seed(10) == 11


def test_rendered_drives_are_kept(tmp_path, monkeypatch):
    """The second time the files are read; images differ, and show what the camera saw."""
    monkeypatch.undo()
    spec = DriveSpec(SEED, 'standard', frames=2, rate_hz=1.0)
    first = open_drive(spec, tmp_path)
    panoramas = [first.panorama(index) for index in range(2)]
    assert panoramas[0].shape == (512, 1024, 3)
    assert (panoramas[0] != panoramas[1]).mean() > 0.3
    assert first.orthophoto().shape == (1920, 1920, 3)
    monkeypatch.setattr(RenderedDrive, 'render', lambda drive: pytest.fail('rendered again'))
    again = open_drive(spec, tmp_path)
    assert np.array_equal(again.panorama(1), panoramas[1])
    assert len(stream_of(again).shots) == 2


@pytest.fixture
def driven(monkeypatch):
    """Let the command drive with the stand-ins, and return the seeds it drove."""
    seeds = []

    class CountedVehicle(KnowingVehicle):

        def drive(self, name, stream):
            seeds.append(name)
            return super().drive(name, stream)

    monkeypatch.setattr(
        evaluate.Localizer, 'load', lambda weights, imagery, **others: Looking())
    monkeypatch.setattr(evaluate, 'Vehicle', CountedVehicle)
    monkeypatch.setattr(SimulatedDrives, 'render', lambda *args: None)
    return seeds


def test_the_command_writes_the_figures_and_a_page_and_goes_on(cache, tmp_path, driven, capsys):
    """What is there already is not driven again."""
    arguments = ['evaluate', 'drives', '--city-seeds', '5-6', '--frames', str(FRAMES), '--fault',
                 'odometry_jump', '--out', str(tmp_path / 'out'), '--cache', str(cache),
                 '--json', str(tmp_path / 'a.json'), '--report', str(tmp_path / 'page.html')]
    for _ in range(2):
        assert main(arguments) == 0
    assert driven == [5, 6]
    found = json.loads((tmp_path / 'a.json').read_text())
    assert (found['frames'], found['drives'], found['published']) == (2 * FRAMES, 2, 12)
    assert FIGURES <= found.keys() and FIGURES - {
        'anees_pose', 'anees_track', 'time_to_first_pose_s', 'recovery_s'} <= (
            found['single_frame'].keys())
    assert (found['fault'], found['wrong_published']) == ('odometry_jump', 0.0)
    assert found['recovery_s'] == 0.0
    assert (tmp_path / 'page.html').read_text().count('data:image/jpeg') >= 6
    assert 'wrong_published' in capsys.readouterr().out


def test_results_of_other_settings_are_not_mixed(cache, tmp_path, driven, capsys):
    """The sentence names what differs."""
    arguments = ['evaluate', 'drives', '--city-seeds', '5', '--frames', str(FRAMES), '--out',
                 str(tmp_path / 'out'), '--cache', str(cache)]
    assert main(arguments) == 0
    assert main([*arguments, '--fault', 'dark']) == 1
    assert "fault was 'none'" in capsys.readouterr().err

"""Drives with stand-ins for network and tracker: who is told what, and what is kept of it."""

from dataclasses import replace
import json

from fg2_ros.commands import evaluate_drives, main
from fg2_ros.evaluation.drives.figures import figures
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, RenderedDrive
from fg2_ros.evaluation.drives.run import drive_result, opened_stream, RowSettings
from fg2_ros.evaluation.drives.single import single_prior
from fg2_ros.evaluation.drives.stream import stamp_ns, stream_of
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.evaluation.simulated import CurrentCity
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.tracker.inputs import Look, Observation, SearchRegion
from fg2_ros.tracker.results import BeliefState, Measurement, Silence, TrackedPose
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
        self.truth = {stamp_ns(shot.time_s): shot.truth for shot in stream.shots}
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
        return SearchRegion((Look(camera, 10.0, 0.3, 0.5, 0.03),))

    def belief(self, stamp, with_density=False):
        """Believe in a narrow peak at the truth."""
        pose = self.truth[stamp]
        peak = PoseVolume(PoseGrid(pose, 0.5, 0.1, (1, 1, 1)), np.ones((1, 1, 1), np.float32))
        return BeliefState(stamp, pose, pose, COVARIANCE, 0.99, 0.9, (peak,))

    def update(self, stamp, observation):
        """Answer with the truth, a little off."""
        self.updates += 1
        if self.updates <= 2:
            return Silence(stamp, 'start', 'too few images yet')
        pose = self.truth[stamp].compose(NEAR)
        belief = BeliefState(stamp, pose, pose, COVARIANCE, 0.99, 0.9)
        return TrackedPose(stamp, pose, COVARIANCE, Measurement(pose, COVARIANCE), belief)


class Looking:
    """Takes the image it is shown for an observation; the sixth has no imagery."""

    def __init__(self):
        """Begin with nothing seen."""
        self.seen = []

    def forget(self):
        """Forget nothing: nothing is kept of the imagery."""

    def observe(self, image, frame, region, base_from_camera):
        """Remember the image."""
        self.seen.append(image)
        if len(self.seen) == 6:
            raise ImageryError('there is none here')
        return Observation((), base_from_camera)


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


def settings(**others) -> RowSettings:
    """Return a row of one short drive."""
    return RowSettings((SEED, SEED), frames=FRAMES, **others)


def test_the_tracker_is_told_everything_in_time_and_its_answers_are_kept(cache):
    """Every image is shown once, and comes out with its truth."""
    stream = opened_stream(settings(), SEED, cache)
    tracker, observer = KnowingTracker(stream), Looking()
    result = drive_result(SEED, stream, tracker, observer)
    assert [int(image[0, 0, 0]) for image in observer.seen] == [
        10 * index + 1 for index in range(FRAMES)]
    for stamps in tracker.told.values():
        assert len(stamps) > 10 and stamps == sorted(stamps)
    assert [image.silence for image in result.images] == [
        'start', 'start', '', '', '', 'imagery', '', '', '']
    assert result.images[0].sentences == ('too few images yet',)
    assert [image.time_s for image in result.images] == pytest.approx(np.arange(FRAMES) / 4)
    error = result.images[3].track.against(result.images[3].truth)
    assert error.position_error_m == pytest.approx(np.hypot(*NEAR[:2]))
    assert error.error.yaw == pytest.approx(NEAR.yaw)


def test_a_filter_fed_with_good_poses_beats_gnss(cache):
    """The figures of the whole drive have it."""
    stream = opened_stream(settings(), SEED, cache)
    result = drive_result(SEED, stream, KnowingTracker(stream), Looking())
    assert result.ekf.rmse_m < 0.4 < result.ekf.gnss_rmse_m
    found = figures([result])
    assert found['ekf']['better_than_gnss'] == 1.0
    assert (found['frames'], found['published']) == (FRAMES, 6)
    assert found['wrong_published'] == 0


def test_without_a_heading_nobody_is_told_one(cache):
    """Neither the tracker, nor the filter on GNSS, nor what localizes alone."""
    stream = opened_stream(settings(heading=False), SEED, cache)
    tracker = KnowingTracker(stream)
    result = drive_result(SEED, stream, tracker, Looking())
    assert not tracker.told['heading']
    assert result.ekf.gnss_rmse_m is None and result.ekf.rmse_m < 0.4
    assert single_prior(stream, 3.0) is None


def test_a_prior_alone_is_near_the_camera(cache):
    """The levers of antenna and camera are taken into account."""
    stream = opened_stream(settings(), SEED, cache)
    exact = {'position_m': np.array([  # of the antenna, without an error
        shot.truth.compose(Pose2(*stream.antenna_m, 0.0))[:2] for shot in stream.shots]),
        'time_s': np.array([shot.time_s for shot in stream.shots])}
    stream = replace(stream, gnss=replace(stream.gnss, **exact))
    shot = stream.shots[4]
    prior = single_prior(stream, shot.time_s)
    place = stream.map_frame.map_from_geodetic(prior.latitude_deg, prior.longitude_deg)
    camera = shot.truth.compose(stream.base_from_camera)
    assert np.hypot(*np.subtract(place, camera[:2])) < 0.15  # the heading is off by degrees


@pytest.mark.parametrize('wrong, word', [
    ({'fault': 'rain'}, 'rain'), ({'fault': 'yaw90', 'heading': False}, 'heading'),
    ({'prior_offset_m': -1.0}, 'offset'), ({'rate_hz': 0.0}, 'rate')])
def test_unusable_settings_are_refused_with_a_reason(wrong, word):
    """The sentence names what is wrong."""
    with pytest.raises(ValueError, match=word):
        settings(**wrong)


def test_images_of_another_city_come_from_the_next():
    """The last takes those of the first, so that a row needs no further drives."""
    row = RowSettings((10, 12))
    assert [row.other_seed(seed) for seed in row.seeds] == [11, 12, 10]
    assert [spec.seed for spec in row.specs()] == [10, 11, 12]
    assert [spec.seed for spec in RowSettings((10, 10)).specs()] == [10, 11]


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


class KnowingVehicle(Vehicle):
    """A vehicle with the stand-ins; counts its drives."""

    def __init__(self):
        """Begin with no drive."""
        super().__init__(Looking(), CurrentCity())
        self.drives = []

    def stream(self, settings, seed, cache):
        """Make a tracker that knows this drive."""
        stream = opened_stream(settings, seed, cache)
        self.observer, self.new_tracker = Looking(), lambda: KnowingTracker(stream)
        return stream

    def drive(self, settings, seed, cache, on_image):
        """Count the drive."""
        self.drives.append(seed)
        return super().drive(settings, seed, cache, on_image)


def test_the_command_writes_the_figures_and_a_page_and_goes_on(
        cache, tmp_path, monkeypatch, capsys):
    """What is there already is not driven again."""
    vehicle = KnowingVehicle()
    monkeypatch.setattr(Vehicle, 'load', lambda *args, **others: vehicle)
    monkeypatch.setattr(evaluate_drives, 'render', lambda *args: None)
    arguments = ['evaluate', 'drives', '--city-seeds', '5-6', '--frames', str(FRAMES), '--fault',
                 'odometry_jump', '--out', str(tmp_path / 'out'), '--cache', str(cache),
                 '--json', str(tmp_path / 'a.json'), '--report', str(tmp_path / 'page.html')]
    for _ in range(2):
        assert main(arguments) == 0
    assert vehicle.drives == [5, 6]
    found = json.loads((tmp_path / 'a.json').read_text())
    assert (found['frames'], found['drives'], found['published']) == (2 * FRAMES, 2, 12)
    assert FIGURES <= found.keys() and FIGURES - {
        'anees_pose', 'anees_track', 'time_to_first_pose_s', 'recovery_s'} <= (
            found['single_frame'].keys())
    assert (found['fault'], found['wrong_published']) == ('odometry_jump', 0.0)
    assert found['recovery_s'] == 0.0
    assert (tmp_path / 'page.html').read_text().count('data:image/png') >= 6
    assert 'wrong_published' in capsys.readouterr().out


def test_results_of_other_settings_are_not_mixed(cache, tmp_path, monkeypatch, capsys):
    """The sentence names what differs."""
    monkeypatch.setattr(Vehicle, 'load', lambda *args, **others: KnowingVehicle())
    monkeypatch.setattr(evaluate_drives, 'render', lambda *args: None)
    arguments = ['evaluate', 'drives', '--city-seeds', '5', '--frames', str(FRAMES), '--out',
                 str(tmp_path / 'out'), '--cache', str(cache)]
    assert main(arguments) == 0
    assert main([*arguments, '--fault', 'dark']) == 1
    assert "fault was 'none'" in capsys.readouterr().err

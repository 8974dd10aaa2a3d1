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

"""Recorded drives go through the same evaluation as simulated ones, and come out the same."""

from dataclasses import replace
from functools import partial
import json
import math
from pathlib import Path
from test.helpers.ground_reader import GroundReader
from test.helpers.local_files import plain_tiles, write_mbtiles
from test.helpers.recorded_drive import record, SIGMA_M, SIGMA_RAD
from types import SimpleNamespace

from fg2_ros.commands import main
from fg2_ros.commands.recorded import data_sets_of
from fg2_ros.datasets.drives import SensorReadings
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.drives import calibrate, calibration, evaluate, recorded, samples
from fg2_ros.evaluation.drives.faults import FAULTS, faulty
from fg2_ros.evaluation.drives.figures import position_nees, trust_metrics
from fg2_ros.evaluation.drives.recorded import drive_runs, RecordedSources, Run, runs_of
from fg2_ros.evaluation.drives.rendered import DriveSpec, RenderedDrive, stream_of
from fg2_ros.evaluation.drives.results import Claim, DriveResult, ImageResult
from fg2_ros.evaluation.drives.settings import FaultSettings, OF_CITIES, RecordedSettings
from fg2_ros.evaluation.drives.sources import RecordedDrives
from fg2_ros.evaluation.drives.stream import CameraFrame, Sigma
from fg2_ros.evaluation.drives.vehicle import single_prior, Vehicle
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import PatchView
from fg2_ros.localizer import Localizer
from fg2_ros.tracker.inputs import Fix, Odometry
from fg2_ros.tracker.results import BeliefState, Rejection
from fg2_ros.tracker.settings import Calibration, METADATA_KEY
import numpy as np
from PIL import Image
import pytest

SPEC = DriveSpec(3, frames=40)
FIRST_GREY, GREY_STEP = 20, 5


class BlurredDrive(RenderedDrive):
    """A drive whose images are painted, not rendered: soft colours, other ones in each image."""

    def panorama(self, index: int) -> np.ndarray:
        """Return an image that is grey in the middle: how much so tells which it is."""
        panorama = painted((64, 128), [self.spec.seed, index])
        panorama[16:48, 24:104] = FIRST_GREY + GREY_STEP * index
        return panorama

    def orthophoto(self) -> np.ndarray:
        """Return an image."""
        return painted((1920, 1920), [self.spec.seed, 10 ** 6])


def painted(size, seed):
    """Return a soft image: one that JPEG hardly changes."""
    few = np.random.default_rng(seed).integers(80, 176, (size[0] // 8, size[1] // 8, 3), np.uint8)
    return np.array(Image.fromarray(few).resize(size[::-1], Image.Resampling.BICUBIC))


@pytest.fixture(scope='module')
def simulated(tmp_path_factory):
    """Return a simulated drive."""
    return BlurredDrive(SPEC, tmp_path_factory.mktemp('rendered'))


@pytest.fixture(scope='module')
def data_set(simulated, tmp_path_factory):
    """Return the folder of a data set with the same drive, recorded."""
    folder = tmp_path_factory.mktemp('data') / 'mine'
    record(simulated, folder / 'monday')
    return folder


class NumberReader(GroundReader):
    """
    Reads off an image which one it is.

    :param stream: whose truth it knows.
    """

    metadata = {METADATA_KEY: replace(Calibration(), odds_begin=10.0).to_dict()}

    def __init__(self, stream, imagery):
        """Know the truth."""
        super().__init__(imagery, self.metadata)
        self._stream = stream

    def truth(self, image) -> Pose2:
        """Return where the stream has it."""
        index = round((float(image[24:40, 32:96].mean()) - FIRST_GREY) / GREY_STEP)
        return self._stream.shots[index].truth.compose(self._stream.base_from_camera)


def only(data_set) -> Run:
    """Return the one run of a data set."""
    run, = runs_of([data_set])
    return run


def told(stream):
    """Return stamps and numbers of all that a vehicle is told but images."""
    for event in stream.events():
        content = event.content
        if isinstance(content, CameraFrame):
            yield event.stamp_ns, [*content.truth]
        elif isinstance(content, Fix):
            yield event.stamp_ns, [*content.position_m, content.sigma_m, *content.lever_m]
        elif isinstance(content, Odometry):
            yield event.stamp_ns, [*content.pose, *content.twist]
        else:
            yield event.stamp_ns, [*content]


def test_a_recorded_drive_tells_the_same_as_the_simulated_one(simulated, data_set):
    """The same readings at the same times; images and ground but for JPEG."""
    first, second = stream_of(simulated), recorded.stream_of(only(data_set))
    for (stamp, numbers), (other_stamp, others) in zip(told(first), told(second), strict=True):
        assert abs(stamp - other_stamp) <= 2  # nanoseconds
        assert len(numbers) == len(others)
        np.testing.assert_allclose(numbers, others, atol=1e-4)
    for shot, other in zip(first.shots, second.shots, strict=True):
        assert other.sigma == pytest.approx(Sigma(SIGMA_M, SIGMA_RAD), abs=1e-5)
        off = np.abs(shot.image.pixels().astype(int) - other.image.pixels())
        assert off.mean() < 1.5
    view = PatchView(first.map_frame, first.shots[9].truth[:2], 80.0, 160)
    off = np.abs(first.imagery.patch(view).image.astype(int) - second.imagery.patch(view).image)
    assert off.mean() < 1.5
    np.testing.assert_allclose(first.base_from_camera, second.base_from_camera)


def test_the_same_is_found_on_both(simulated, data_set):
    """Belief, ~/pose and single frames agree image by image, and so do all figures."""
    imagery, first = CurrentImagery(), stream_of(simulated)
    vehicle = Vehicle(NumberReader(first, imagery), imagery)
    driven = [vehicle.drive('one', each) for each in (first, recorded.stream_of(only(data_set)))]
    for image, other in zip(*(each.images for each in driven), strict=True):
        assert image.time_s == pytest.approx(other.time_s, abs=1e-6)
        assert (image.rejection, image.sentences) == (other.rejection, other.sentences)
        for name in ('track', 'measurement', 'single'):
            claim, found = getattr(image, name), getattr(other, name)
            assert (claim is None) == (found is None)
            if claim:
                assert math.dist(claim.pose[:2], found.pose[:2]) < 0.05
                sigma = np.sqrt(np.diag(claim.covariance))
                off = (claim.covariance - found.covariance) / np.outer(sigma, sigma)
                assert np.abs(off).max() < 0.05
    known, found = (trust_metrics([each]) for each in driven)
    assert known['published'] > 20 and known['median_error_m'] > 0.05
    for name, value in known.items():
        if isinstance(value, float) and 'anees' not in name:
            assert found[name] == pytest.approx(value, abs=0.03), name
    assert found['ekf']['gnss_median_rmse_m'] == pytest.approx(
        known['ekf']['gnss_median_rmse_m'], abs=1e-3)
    assert found['ekf']['median_rmse_m'] == pytest.approx(
        known['ekf']['median_rmse_m'], abs=0.02)


def test_errors_are_measured_against_a_truth_that_errs_itself():
    """NEES and ellipses have the covariance of both; what was claimed stays what it was."""
    claim = Claim(Pose2(0.3, 0.4, 0.02), np.diag([0.09, 0.16, 4e-4]))
    image = ImageResult(0.0, Pose2(0.0, 0.0, 0.0), track=claim, sigma=Sigma(0.4, 0.01))
    result = image.errors_of(claim)
    assert result.nees == pytest.approx(
        (0.09 / (0.09 + 0.16) + 0.16 / (0.16 + 0.16) + 4e-4 / (4e-4 + 1e-4)) / 3)
    assert position_nees(result) == pytest.approx(0.36 + 0.5)
    found = trust_metrics([DriveResult('a', (image,))])
    assert found['anees_track'] == pytest.approx(result.nees)
    assert found['median_sigma_m'] == pytest.approx(0.4)
    assert DriveResult.from_json(json.loads(json.dumps(
        DriveResult('a', (image,)).as_json()))).images[0].sigma == image.sigma
    exact = replace(image, sigma=Sigma()).errors_of(claim)
    assert exact.nees == pytest.approx(1.0)


def test_a_calibration_knows_that_the_truth_errs():
    """What a belief is compared with has the variance of the truth in it."""
    belief = BeliefState(
        0, Pose2(0.0, 0.0, 0.0), Pose2(0.0, 0.0, 0.0), np.diag([0.01, 0.01, 1e-4]), 0.99, 0.9)
    shot = CameraFrame(0.0, Pose2(0.1, 0.0, 0.0), None, Sigma(0.3, 0.02))
    sample, = samples.samples_of(0, [(shot, Rejection(0, 'start', 'not yet', belief))])
    np.testing.assert_allclose(np.diag(sample.spread), [0.1, 0.1, 5e-4])
    assert sample.error[0] == pytest.approx(-0.1)


@pytest.mark.parametrize('split, runs', [
    ('test', [(10, 19)]), ('train', [(0, 9), (20, 39)]), ('all', [(0, 39)]),
    ('validation+test', [(10, 19)]), (None, [(10, 19)])])
def test_runs_are_neighbouring_images_of_a_split(simulated, tmp_path, split, runs, monkeypatch):
    """Of the split for testing if there is one and none is named."""
    monkeypatch.setattr(recorded, 'SHORTEST_M', 5.0)
    record(simulated, tmp_path / 'monday', lambda index: 'test' if 10 <= index < 20 else 'train')
    found = runs_of([tmp_path], split)
    assert [tuple(int(Path(run.keyframes[at].image).stem) for at in (0, -1))
            for run in found] == runs
    assert [run.name for run in found] == [
        f'monday:{number}' if len(runs) > 1 else 'monday' for number in range(1, len(runs) + 1)]


def test_runs_are_interrupted_where_images_are_left_out(data_set, monkeypatch):
    """Too short pieces are no runs; of none at all a sentence says what was looked for."""
    monkeypatch.setattr(recorded, 'SHORTEST_M', 5.0)
    whole = only(data_set)
    drive = SimpleNamespace(keyframes=[*whole.keyframes[:3], *whole.keyframes[25:]])
    left, = drive_runs('gap', drive, 'test')
    assert left.keyframes == whole.keyframes[25:]
    with pytest.raises(ValueError, match='no 5 m of road in one piece with images for train in '
                       '.*mine; images there are: test 40'):
        runs_of([data_set], 'train')


def test_long_runs_are_cut_into_equal_pieces(data_set, monkeypatch):
    """For a calibration: all images are there, in order, and no piece is too long."""
    monkeypatch.setattr(recorded, 'SHORTEST_M', 5.0)
    whole = only(data_set)
    pieces = runs_of([data_set], 'test', longest_m=whole.length_m / 2.5)
    assert [len(piece.keyframes) for piece in pieces] == [13, 14, 13]
    assert sum((piece.keyframes for piece in pieces), ()) == whole.keyframes
    assert [piece.name for piece in pieces] == ['monday:1', 'monday:2', 'monday:3']


def test_a_drive_without_odometry_and_headings_is_driven_all_the_same(simulated, tmp_path):
    """There is no filter then, and no single frame."""
    def fixes_alone(readings):
        return SensorReadings(readings.fix_stamp_ns, readings.fix_m, readings.fix_sigma_m)
    record(simulated, tmp_path / 'monday', change=fixes_alone)
    stream = recorded.stream_of(only(tmp_path))
    assert stream.odometry is None and stream.heading is None
    assert single_prior(stream, 3.0) is None
    imagery = CurrentImagery()
    result = Vehicle(NumberReader(stream, imagery), imagery).drive('monday', stream)
    assert (result.ekf.rmse_m, result.ekf.gnss_rmse_m) == (None, None)
    assert not [image for image in result.images if image.single]
    assert trust_metrics([result])['ekf']['drives'] == 0


def test_fixes_are_simulated_where_only_the_truth_was_measured(simulated, tmp_path):
    """They wander around the way by metres, say so, and are the same every time."""
    record(simulated, tmp_path / 'monday',
           change=lambda readings: replace(readings, fix_stamp_ns=np.zeros(0, np.int64),
                                           fix_m=np.zeros((0, 2)), fix_sigma_m=np.zeros(0)))
    run = only(tmp_path)
    gnss, again = (recorded.stream_of(run).gnss for _ in range(2))
    assert np.array_equal(gnss.position_m, again.position_m, equal_nan=True)
    shots = recorded.stream_of(run).shots
    time_s = np.array([shot.time_s for shot in shots])
    known = np.isfinite(gnss.position_m[:, 0]) & (gnss.time_s >= time_s[0])
    truth_m = np.stack([np.interp(gnss.time_s[known], time_s, column)
                        for column in run.places_m.T], axis=1)
    off_m = np.hypot(*(gnss.position_m[known] - truth_m).T)
    assert 0.5 < np.median(off_m) < 10 and off_m.max() < 20
    assert gnss.sigma_m == pytest.approx(2.9, abs=0.1)
    assert RecordedDrives(RecordedSettings((tmp_path,))).described()['simulated_fixes']


@pytest.fixture(scope='module')
def two_streets(data_set):
    """Return what faults may use of two runs that are a kilometre apart."""
    near = only(data_set)
    latitude_deg, longitude_deg = near.drive.map_frame.datum
    drive = SimpleNamespace(
        folder=Path('far'), keyframes=near.keyframes, panorama=near.drive.panorama,
        map_frame=MapFrame(latitude_deg + 0.009, longitude_deg))
    return RecordedSources(near, [near, Run('far', drive, near.keyframes)])


@pytest.mark.parametrize('name', sorted(set(FAULTS) - set(OF_CITIES)))
def test_faults_of_sensors_and_images_work_on_recorded_drives(name, two_streets):
    """They do what they do to simulated ones."""
    sound = recorded.stream_of(two_streets.run)
    stream = faulty(sound, two_streets, FaultSettings(name))
    stamps = [event.stamp_ns for event in stream.events()]
    assert stamps == sorted(stamps) and len(stream.shots) == len(sound.shots)
    assert stream.shots[5].image.pixels().shape == (64, 128, 3)
    assert (name == 'none') == (list(map(str, told(stream))) == list(map(str, told(sound)))
                                and stream.shots == sound.shots)


def test_images_of_another_street_are_far_away(two_streets):
    """All of them; a data set of one street has none, and says so."""
    stream = two_streets.elsewhere(recorded.stream_of(two_streets.run))
    assert {shot.image.drive.name for shot in stream.shots} == {'far'}
    alone = RecordedSources(two_streets.run, [two_streets.run])
    assert not alone.has_elsewhere
    with pytest.raises(ValueError, match='must be 60 m away from monday'):
        alone.elsewhere(recorded.stream_of(two_streets.run))


@pytest.mark.parametrize('fault', OF_CITIES)
def test_faults_of_cities_are_refused(fault, data_set):
    """Before anything is driven."""
    with pytest.raises(ValueError, match=f"'{fault}' needs simulated cities"):
        RecordedDrives(RecordedSettings((data_set,)), FaultSettings(fault))


def test_a_mask_is_mirrored_with_its_image(data_set):
    """Where the image is turned round, so is what was seen."""
    run, mask = only(data_set), np.arange(128) < 30
    masked = SimpleNamespace(panorama=run.panorama, seen=lambda index: mask[None])
    stream = recorded.stream_of(run)
    stream = stream.with_images_of(
        replace(shot.image, drive=masked) for shot in stream.shots)
    assert np.array_equal(stream.shots[0].image.seen(), mask[None])
    for name, seen in (('mirrored', mask[::-1]), ('mount_180', np.roll(mask, 64)),
                       ('dark', mask)):
        image = FAULTS[name](stream, None).shots[0].image
        assert np.array_equal(image.seen(), seen[None]), name


@pytest.fixture
def reader(simulated, monkeypatch):
    """Let the commands drive with the stand-in, and return the names of the drives it drove."""
    names = []

    class CountedVehicle(Vehicle):

        def drive(self, name, stream):
            names.append(name)
            return super().drive(name, stream)

    def loaded(weights, imagery, **others):
        return NumberReader(stream_of(simulated), imagery)

    monkeypatch.setattr(Localizer, 'load', loaded)
    monkeypatch.setattr(evaluate, 'Vehicle', CountedVehicle)
    return names


def test_the_command_evaluates_recorded_drives_with_several_weights(
        data_set, tmp_path, reader, capsys):
    """Side by side in one table, one page and one file; what is there is not driven again."""
    for name in ('old', 'new'):
        (tmp_path / f'{name}.safetensors').write_bytes(name.encode())
    arguments = [
        'evaluate', 'drives', str(data_set), '--weights', str(tmp_path / 'old.safetensors'),
        '--weights', str(tmp_path / 'new.safetensors'), '--no-single-frame', '--out',
        str(tmp_path / 'out'), '--json', str(tmp_path / 'a.json')]
    assert main(arguments) == 0
    assert main([*arguments, '--report', str(tmp_path / 'page.html')]) == 0
    assert reader == ['monday', 'monday']
    found = json.loads((tmp_path / 'a.json').read_text())['by_weights']
    assert list(found) == ['old', 'new'] and found['old']['frames'] == SPEC.frames
    assert (found['new']['data_sets'], found['new']['split']) == (['mine'], 'test')
    assert found['old']['by_drive']['monday']['length_m'] > 30
    assert 'old' in capsys.readouterr().out.splitlines()[0]
    assert 'The same drives with several weights' in (tmp_path / 'page.html').read_text()
    assert main([*arguments, '--split', 'all']) == 1
    assert "split was 'test'" in capsys.readouterr().err


def test_an_imported_drive_is_evaluated(simulated, data_set, tmp_path, monkeypatch):
    """Images with a table of their poses, from the table to the page; there are no sensors."""
    stream = stream_of(simulated)

    class ReaderInItsMap(NumberReader):

        def truth(self, image):
            x, y, yaw = super().truth(image).compose(stream.base_from_camera.inverse())
            return Pose2.at(self.map_frame.map_from_geodetic(
                *stream.map_frame.geodetic_from_map(x, y)), yaw)

    monkeypatch.setattr(Localizer, 'load', lambda _, imagery, **__: ReaderInItsMap(
        stream, imagery))
    ground = write_mbtiles(
        tmp_path / 'grey.mbtiles', plain_tiles(stream.map_frame.datum, 17, 128), format='png',
        minzoom='17', maxzoom='17', attribution='a survey')
    recorded_drive = data_set / 'monday'
    assert main([
        'import', str(recorded_drive / 'keyframes.csv'), '--images',
        str(recorded_drive / 'images'), '--heading', 'yaw', '--source', str(ground), '--every',
        '0', '--reach', '60', '--resolution', '0.5', '--split', 'test', '--out',
        str(tmp_path / 'set')]) == 0
    assert main(['evaluate', 'drives', str(tmp_path / 'set'), '--report',
                 str(tmp_path / 'page.html'), '--json', str(tmp_path / 'a.json')]) == 0
    found = json.loads((tmp_path / 'a.json').read_text())
    assert found['frames'] == SPEC.frames and found['published_share'] > 0.5
    assert found['median_error_m'] < 1.0 and found['single_frame']['median_error_m'] < 1.0
    assert found['simulated_fixes'] and found['simulated_motion']
    assert 'a survey' in (tmp_path / 'set' / 'index.html').read_text()
    assert (tmp_path / 'page.html').stat().st_size > 10_000


@pytest.mark.parametrize('wrong, words', [
    (['DATA', '--difficulty', 'hard'], '--difficulty is for simulated drives'),
    (['--split', 'all'], '--split is for recorded drives'),
    (['DATA', '--fault', 'stale'], 'needs simulated cities'),
    (['DATA', '--weights', 'W', '--weights', 'W'], 'given twice'),
    (['nowhere'], 'no drive in nowhere')])
def test_what_cannot_be_evaluated_is_refused(wrong, words, data_set, reader, capsys):
    """With a sentence, and before anything is rendered."""
    arguments = [str(data_set) if word == 'DATA' else word for word in wrong]
    assert main(['evaluate', 'drives', *arguments]) == 1
    assert words in capsys.readouterr().err


def test_the_command_calibrates_on_recorded_drives(
        simulated, tmp_path, reader, monkeypatch, capsys):
    """On validation alone; with what it rests on, and odds kept where wrong places are few."""
    monkeypatch.setattr(recorded, 'SHORTEST_M', 5.0)
    monkeypatch.setattr(calibrate, 'LEAST_IMAGES', 30)
    monkeypatch.setattr(calibrate, 'WRONG_RUNS', 1)
    monkeypatch.setattr(calibrate, 'calibrated', partial(calibration.calibrated, tempers=(1.0,)))
    monkeypatch.setattr(samples, 'LEAST_LENGTH_M', 2.0)
    record(simulated, tmp_path / 'mine' / 'monday',
           lambda index: 'validation' if index % 13 else 'train')
    (tmp_path / 'w').write_bytes(b'weights')
    arguments = ['calibrate', '--drives', str(tmp_path / 'mine'), '--weights',
                 str(tmp_path / 'w'), '--json', str(tmp_path / 'a.json')]
    assert main(arguments) == 0
    found = Calibration.of(json.loads((tmp_path / 'a.json').read_text()))
    assert found.fitted_on.startswith(
        'recorded drives of mine, validation: 1 drives, 3 pieces of road, 36 images over ')
    assert found.fitted_on.endswith(' m; odds as before')
    assert found.odds_begin == Calibration.of(NumberReader.metadata).odds_begin
    assert 0.0 < found.bias_m < 2.0
    assert main([*arguments, '--frames', '30']) == 1
    assert '--frames is for simulated drives' in capsys.readouterr().err


def test_too_few_drives_are_no_calibration(data_set, tmp_path, reader, capsys):
    """The sentence says how many there are, and how many are needed."""
    record_all = [str(data_set), '--split', 'train+validation']
    assert main(['calibrate', '--drives', *record_all]) == 1
    assert 'images for train+validation' in capsys.readouterr().err
    with pytest.raises(ValueError, match='40 images for test in 1 pieces of road: at least 100'):
        calibrate.require_enough(runs_of([data_set], 'test'), 'test')


def test_bags_are_made_into_drives_first(simulated, tmp_path, monkeypatch):
    """All of their images are evaluated; how, a file says; data sets stay as they are."""
    asked = []

    def built(bag, folder, settings, topics, progress):
        asked.append((bag.name, settings.split, settings.every_m, topics.truth))
        return record(simulated, folder)

    monkeypatch.setattr('fg2_ros.drives.build.build_drive', built)
    (tmp_path / 'build.yaml').write_text('{truth: /rtk/fix, every: 3, source: [a.tif]}')
    paths = [tmp_path / 'monday.mcap', tmp_path / 'set']
    found = data_sets_of(paths, tmp_path / 'build.yaml', tmp_path / 'cache')
    assert found == [tmp_path / 'cache' / 'monday', paths[1]]
    assert asked == [('monday.mcap', 'test', 3.0, '/rtk/fix')]
    assert runs_of(found[:1])[0].name == 'monday'
    with pytest.raises(ValueError, match='monday.mcap is a bag: say with --build'):
        data_sets_of(paths, None, tmp_path)
    (tmp_path / 'build.yaml').write_text('trust: /rtk/fix')
    with pytest.raises(ValueError, match='unknown setting trust'):
        data_sets_of(paths, tmp_path / 'build.yaml', tmp_path)

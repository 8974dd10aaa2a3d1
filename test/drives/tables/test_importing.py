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

"""Images with poses become drives; what cannot be used is named, and nothing is made up."""

import csv
import json
import math
from pathlib import Path
from test.helpers.local_files import plain_tiles, write_mbtiles
from test.helpers.paths import REAL_DATA
from test.helpers.photos import gps, panorama, write_photo, xmp

from fg2_ros.commands import main
from fg2_ros.datasets.drives import DRIVE_FILE, GROUND, IMAGES, MASKS, open_drives
from fg2_ros.drives.tables.importing import import_drives, LEFT_OUT_FILE
from fg2_ros.drives.tables.sequences import heading_remark
from fg2_ros.drives.tables.settings import ImportSettings
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.panorama import rotation3
from fg2_ros.geometry.se2 import Pose2
import numpy as np
from PIL import Image
import pytest

PLACE = (47.25, 8.5)
FRAME = MapFrame(*PLACE)
HEAD = 'image,lat,lon,heading,captured_at,sequence\n'


@pytest.fixture(scope='module')
def ground(tmp_path_factory):
    """Return a grey orthophoto around the place, as MBTiles."""
    path = tmp_path_factory.mktemp('ground') / 'grey.mbtiles'
    return write_mbtiles(path, plain_tiles(PLACE, 17, 90), format='png', minzoom='17',
                         maxzoom='17', attribution='a survey')


def settings(ground, **changes):
    return ImportSettings(**{
        'source': (str(ground),), 'sigma_m': 0.5, 'sigma_deg': 2.0, 'resolution_m': 0.5,
        'reach_m': 20.0, 'patch_m': 20.0, 'image_rows': 64, 'cache': '',
        'split': 'test'} | changes)


def row(name, east_m=0.0, north_m=0.0, heading_deg=90, second=0, sequence='way'):
    """Return a line of a table."""
    latitude_deg, longitude_deg = FRAME.geodetic_from_map(east_m, north_m)
    return (f'{name},{latitude_deg:.9f},{longitude_deg:.9f},{heading_deg},{1700000000 + second},'
            f'{sequence}\n')


def make_folder(folder: Path, rows: list[str], images: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    (folder / 'poses.csv').write_text(HEAD + ''.join(rows))
    for name, pixels in images.items():
        write_photo(folder / name, pixels)
    return folder


@pytest.fixture
def eastward(tmp_path):
    """Return a folder of a way to the east, 3 m at a time, in which things are wrong."""
    rows = [row(f'{index}.jpg', 3.0 * index, second=index) for index in range(5)]
    rows[3:3] = [row('2b.jpg', 6.1, second=2.5), row('gone.jpg', 7.0, second=3),
                 row('flat.jpg', 8.0, second=3), row('', 8.0),
                 row('0.jpg').replace('47.2', 'x47.2'), row('0.jpg').replace(',90,', ',,')]
    images = {f'{index}.jpg': panorama(yaw_deg=10 * index) for index in range(5)}
    return make_folder(tmp_path / 'photos', rows, images | {
        '2b.jpg': panorama(), 'flat.jpg': panorama()[:, :90]})


def test_a_table_becomes_a_drive(eastward, ground, tmp_path):
    out = tmp_path / 'out'
    result = import_drives(eastward, out, settings(ground))
    drive, = open_drives(out)
    assert drive.name == 'way' and [each.name for each in result.drives] == ['way']
    assert [each.image for each in drive.keyframes] == [
        '000000_0.jpg', '000001_1.jpg', '000002_2.jpg', '000005_3.jpg', '000006_4.jpg']
    assert drive.keyframes[1].stamp_ns == 1700000001 * 10 ** 9
    assert [each.split for each in drive.keyframes] == ['test'] * 5
    places = np.array([drive.camera_of(each) for each in drive.keyframes])
    assert np.allclose(places[:, 0], [0, 3, 6, 9, 12], atol=1e-3)
    assert np.allclose(places[:, 1:], 0, atol=1e-3)
    assert {(each.sigma_m, each.sigma_rad) for each in drive.keyframes} == {(0.5, math.radians(2))}
    shown = drive.panorama(drive.keyframes[3])
    assert np.abs(shown.astype(int) - panorama(yaw_deg=30)).max() < 40
    assert np.abs(shown.astype(int) - panorama(yaw_deg=30)).mean() < 2
    assert drive.facts.left_out == {'near the image before': 1, 'it is no panorama': 1}
    assert drive.facts.ground.attribution == 'a survey' and drive.sensors.fix_m.shape == (0, 2)


def test_what_is_left_out_is_named_by_line(eastward, ground, tmp_path):
    out = tmp_path / 'out'
    result = import_drives(eastward, out, settings(ground))
    with open(out / LEFT_OUT_FILE, newline='') as file:
        named = {line['where']: line['reason'] for line in csv.DictReader(file)}
    assert named == {
        'poses.csv, line 6': 'there is no such image', 'poses.csv, line 7': 'it is no panorama',
        'poses.csv, line 8': 'it names no image', 'poses.csv, line 9': 'lat is no number',
        'poses.csv, line 10': 'it has no heading'}
    assert result.reasons() == dict.fromkeys(named.values(), 1)


def test_an_interrupted_import_goes_on(eastward, ground, tmp_path):
    out = tmp_path / 'out'

    def interrupt(drive, stage, total, done):
        if (stage, done) == ('images', 2):
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        import_drives(eastward, out, settings(ground), interrupt)
    assert not (out / 'way' / DRIVE_FILE).exists()
    before = {path: path.stat().st_mtime_ns for path in (out / 'way').glob(f'{IMAGES}/*')}
    assert len(before) == 2
    import_drives(eastward, out, settings(ground))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    whole = contents(out / 'way')
    import_drives(eastward, tmp_path / 'at once', settings(ground))
    assert contents(tmp_path / 'at once' / 'way') == whole
    import_drives(eastward, out, settings(ground))
    assert (out / LEFT_OUT_FILE).read_text().count('poses.csv, line 7') == 1


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def test_what_other_settings_or_poses_made_is_not_mixed(eastward, ground, tmp_path):
    out = tmp_path / 'out'
    import_drives(eastward, out, settings(ground))
    with pytest.raises(ValueError, match='made with other settings .*sigma_m'):
        import_drives(eastward, out, settings(ground, sigma_m=1.0))
    table = eastward / 'poses.csv'
    table.write_text(table.read_text().replace(',90,', ',91,'))
    with pytest.raises(ValueError, match='name another folder'):
        import_drives(eastward, out, settings(ground))


def test_sequences_and_jumps_make_drives(ground, tmp_path):
    rows = [row('a.jpg', 0, sequence='A'), row('b.jpg', 5, sequence='B/1'),
            row('c.jpg', 9, 3, second=9, sequence='A'),
            row('d.jpg', 9, 5000, second=20, sequence='A')]
    folder = make_folder(tmp_path / 'photos', rows, dict.fromkeys(
        ('a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'), panorama()))
    result = import_drives(folder, tmp_path / 'out', settings(ground))
    assert {each.name: len(each.keyframes) for each in result.drives} == {'A-1': 2, 'B_1': 1}
    assert result.without_ground == ['A-2']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['A-1', 'B_1']


def test_without_imagery_nothing_claims_to_be_a_drive(eastward, tmp_path):
    elsewhere = write_mbtiles(tmp_path / 'far.mbtiles', plain_tiles((40.0, 8.5), 17, 90),
                              format='png', minzoom='17', maxzoom='17')
    with pytest.raises(ValueError, match='there is no aerial imagery of the same place: .*far.mbti'
                                         'les has none around any of the 7 images'):
        import_drives(eastward, tmp_path / 'out', settings(elsewhere))
    assert not (tmp_path / 'out').exists()


def test_imagery_that_must_not_be_kept_is_refused(eastward, tmp_path):
    (tmp_path / 'sources.yaml').write_text(json.dumps({'no_copies': {
        'kind': 'xyz', 'url': 'https://tiles.invalid/{z}/{x}/{y}.png', 'min_zoom': 0,
        'max_zoom': 19, 'attribution': 'somebody', 'terms': 'no copies', 'vintage': '2024',
        'offline_allowed': False, 'machine_interpretation_allowed': True}}))
    with pytest.raises(ValueError, match='no_copies forbid to fetch and keep its tiles'):
        import_drives(eastward, tmp_path / 'out', settings(
            'no_copies', catalogue=str(tmp_path / 'sources.yaml')))
    assert not (tmp_path / 'out').exists()


def test_images_tell_their_poses_themselves_and_are_levelled(ground, tmp_path):
    """The one that is tilted shows what an upright one would have, but for JPEG and resampling."""
    for index, (roll_deg, up_deg) in enumerate([(0, 0), (8, -5)]):
        place = FRAME.geodetic_from_map(0, 4 * index)
        write_photo(
            tmp_path / 'photos' / 'way' / f'{index}.jpg', panorama(128, roll_deg, -up_deg),
            gps(*place, GPSDateStamp='2024:05:06', GPSTimeStamp=(7, 8, index)), packet=xmp(
                PoseHeadingDegrees=30, PosePitchDegrees=up_deg, PoseRollDegrees=roll_deg,
                InitialViewHeadingDegrees=200))
    import_drives(tmp_path / 'photos', tmp_path / 'out', settings(ground, image_rows=128))
    drive, = open_drives(tmp_path / 'out')
    assert drive.name == 'way' and len(drive.keyframes) == 2
    for keyframe in drive.keyframes:
        assert keyframe.base.yaw == pytest.approx(math.radians(60), abs=1e-6)
        shown = drive.panorama(keyframe).astype(int)
        assert np.abs(shown - panorama(128)).mean() < 3


def test_cropped_panoramas_are_made_whole_and_masked(ground, tmp_path):
    cropped = xmp(
        PoseHeadingDegrees=0, FullPanoWidthPixels=128, FullPanoHeightPixels=64,
        CroppedAreaImageWidthPixels=128, CroppedAreaImageHeightPixels=32, CroppedAreaTopPixels=16)
    write_photo(tmp_path / 'photos' / 'a.jpg', panorama()[16:48], gps(*PLACE), packet=cropped)
    import_drives(tmp_path / 'photos', tmp_path / 'out', settings(ground))
    drive, = open_drives(tmp_path / 'out')
    shown = drive.panorama(drive.keyframes[0]).astype(int)
    assert shown.shape == (64, 128, 3) and shown[:14].max() < 20
    assert np.abs(shown[18:46] - panorama()[18:46]).mean() < 3
    mask = np.asarray(Image.open(drive.folder / MASKS / '000000_a.png'))
    assert mask[17:47].all() and not mask[:15].any() and not mask[49:].any()


def test_an_image_that_no_map_can_take_is_named(ground, tmp_path):
    folder = make_folder(tmp_path / 'photos', [row('a.jpg'), row('long.jpg', 5)], {
        'a.jpg': panorama(), 'long.jpg': np.zeros((8, 40000, 3), np.uint8)})
    result = import_drives(folder, tmp_path / 'out', settings(ground))
    assert [each.detail for each in result.left_out] == ['it is too large: 40000x8 pixels']


def test_the_faces_of_cubes_are_put_together(ground, tmp_path):
    folder, size = tmp_path / 'photos', 64
    across = (np.arange(size) + 0.5) / size * 2 - 1
    right, down = np.meshgrid(across, across)
    ahead = np.stack([np.ones_like(right), -right, -down], axis=-1)
    for name, pitch_deg, yaw_deg in (('front', 0, 0), ('left', 0, 90), ('back', 0, 180),
                                     ('right', 0, -90), ('up', -90, 0), ('down', 90, 0)):
        turn = rotation3(0, *np.radians((pitch_deg, yaw_deg)))
        write_photo(folder / 'one' / f'{name}.jpg', _sphere(ahead @ turn.T))
    (folder / 'poses.csv').write_text(HEAD + row('one'))
    import_drives(folder, tmp_path / 'out', settings(ground, image_rows=128))
    drive, = open_drives(tmp_path / 'out')
    shown = drive.panorama(drive.keyframes[0]).astype(int)
    assert np.abs(shown - panorama(128)).mean() < 2
    assert not (drive.folder / MASKS).exists()


def _sphere(directions):
    from test.helpers.spheres import colour
    return colour(directions)


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'sigma_m': None}, 'how accurate are the positions'),
    ({'sigma_deg': None}, 'how accurate are the headings'),
    ({'column': ('heading',)}, '--column heading is not like heading=bearing'),
    ({'source': ()}, 'there is no imagery')])
def test_what_has_to_be_said(eastward, ground, tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        import_drives(eastward, tmp_path / 'out', settings(ground, **changes))


def test_magnetic_headings_need_a_declination(ground, tmp_path):
    write_photo(tmp_path / 'photos' / 'a.jpg', panorama(), gps(
        *PLACE, GPSImgDirectionRef='M', GPSImgDirection=87))
    with pytest.raises(ValueError, match='its heading is magnetic'):
        import_drives(tmp_path / 'photos', tmp_path / 'out', settings(ground))
    import_drives(tmp_path / 'photos', tmp_path / 'out', settings(ground, heading_offset_deg=3.0))
    drive, = open_drives(tmp_path / 'out')
    assert drive.keyframes[0].base.yaw == pytest.approx(0, abs=1e-6)


def test_a_lasting_offset_from_the_course_is_told(ground, tmp_path):
    names = [f'{index}.jpg' for index in range(8)]
    rows = [row(name, 3 * index, heading_deg=102, second=index)
            for index, name in enumerate(names)]
    folder = make_folder(tmp_path / 'photos', rows, dict.fromkeys(names, panorama()))
    result = import_drives(folder, tmp_path / 'out', settings(ground))
    truth = result.drives[0].facts.truth
    assert truth['heading_from_course_deg'] == pytest.approx(-12, abs=0.01)
    assert truth['remarks'] == [
        'its images look 12.0 degrees to the right of its course all along: if the camera is not '
        'turned on the vehicle, its headings are off by that (--heading-offset -12.0)']


def test_headings_that_do_not_go_with_the_course_are_told():
    turning = [Pose2(3.0 * index, 0.0, 2.0 * index) for index in range(12)]
    assert 'do not go together' in heading_remark(turning)[1]
    assert heading_remark([Pose2(3.0 * index, 0.0, 0.02) for index in range(12)])[1] == ''
    assert heading_remark(turning[:3]) == (None, '')


def test_true_north_is_that_of_the_place(ground, tmp_path):
    """Far from where the map touches the Earth, its north is not the true one."""
    rows = [row(f'{index}.jpg', 900.0 * index, heading_deg=0, second=index)
            for index in range(12)]
    from fg2_ros.drives.tables.photos import read_photos
    from fg2_ros.drives.tables.sequences import drives_of
    folder = make_folder(tmp_path / 'photos', rows, {
        f'{index}.jpg': panorama(16) for index in range(12)})
    drive, = drives_of(read_photos(folder, settings(ground))[0])
    turned_rad = [camera.yaw - math.pi / 2 for camera in drive.cameras]
    longitudes = [photo.longitude_deg - PLACE[1] for photo in drive.photos]
    expected = [math.radians(each) * math.sin(math.radians(PLACE[0])) for each in longitudes]
    assert turned_rad[0] == pytest.approx(0, abs=1e-9)
    assert turned_rad[-1] == pytest.approx(expected[-1], rel=1e-3)
    assert math.degrees(expected[-1]) > 0.09


# The command -----------------------------------------------------------------------------------

OPTIONS = ('--sigma-m', '0.5', '--sigma-deg', '2', '--resolution', '0.5', '--reach', '20',
           '--patch', '20')


def test_the_command(eastward, ground, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['import', str(eastward), '--source', str(ground), '--out', str(out), *OPTIONS,
                 '--json', str(tmp_path / 'figures.json')]) == 0
    said = capsys.readouterr().out
    assert 'left out, there is no such image: 1 (poses.csv, line 6: there is no such image: ' \
        'gone.jpg)' in said
    assert 'way' in (out / 'index.html').read_text()
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert figures['left_out']['it names no image'] == 1
    assert figures['drives'][0]['images'] == 5 and figures['without_imagery'] == []


@pytest.mark.skipif(not (REAL_DATA / 'panoramas').is_dir(), reason='there is no real data here')
def test_real_panoramas_without_aerial_imagery_of_the_same_place(tmp_path, capsys):
    source = REAL_DATA / 'zurich_swissimage_0p5m.tif'
    assert main(['import', str(REAL_DATA / 'panoramas'), '--source', str(source), '--sigma-deg',
                 '5', '--out', str(tmp_path / 'out')]) == 1
    assert 'fg2 import: there is no aerial imagery of the same place' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(not (REAL_DATA / 'panoramas').is_dir(), reason='there is no real data here')
def test_real_panoramas_over_grey_ground(tmp_path):
    """The streets are real, the ground is not: what is written is what the table says."""
    folder = REAL_DATA / 'panoramas'
    poses = {each['id']: each for each in json.loads((folder / 'poses.json').read_text())}
    table = tmp_path / 'two.json'
    table.write_text(json.dumps([poses['582790d6'], poses['c47b6632']]))
    first = poses['582790d6']
    grey = write_mbtiles(
        tmp_path / 'grey.mbtiles', plain_tiles((first['lat'], first['lon']), 17, 90),
        format='png', minzoom='17', maxzoom='17')
    result = import_drives(table, tmp_path / 'out', settings(
        grey, image_rows=210, images=folder))
    drive, = result.drives
    assert [each.image for each in drive.keyframes] == [
        '000000_582790d6.jpg', '000001_c47b6632.jpg']
    assert {each.sigma_m for each in drive.keyframes} == {4.0}
    for keyframe in drive.keyframes:
        pose = poses[keyframe.image[7:15]]
        assert math.degrees(keyframe.base.yaw) == pytest.approx(90 - pose['azimuth_deg'] + (
            360 if pose['azimuth_deg'] > 270 else 0), abs=0.01)
        assert (drive.folder / GROUND).is_dir() and drive.panorama(keyframe).shape == (210, 420, 3)

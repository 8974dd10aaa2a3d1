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

"""Orthophotos in all the files that people have, alone and sheet by sheet."""

from contextlib import closing
import shutil
import sqlite3
from test.helpers.analytic_ground import AnalyticGround
from test.helpers.local_files import GroundGrid
import zipfile

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError, open_imagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.opening import open_local
import numpy as np
from PIL import Image
import pytest

rasterio = pytest.importorskip('rasterio')

PLACE = (47.38, 8.54)
GROUND = AnalyticGround(*PLACE)
GRID = GroundGrid('EPSG:2056', PLACE, 0.2, (260, 260))
PIXELS = np.round(GRID.colours(GROUND)).astype(np.uint8)
LARGEST_SHIFT_M = 0.01


def view_of(size_m=40.0, size_px=200, centre=(0.0, 0.0)):
    return PatchView(MapFrame(*PLACE), centre, size_m, size_px)


def patch_of(path, **options):
    """Return the patch around the place."""
    with closing(open_local(path, **options)) as imagery:
        return imagery.patch(view_of())


def assert_true(patch, largest_m=LARGEST_SHIFT_M):
    """Check that all of a patch shows the ground where it is."""
    assert patch.valid is None and GROUND.largest_shift_m(patch) < largest_m


def saved(path, driver, **profile):
    """Write the ground by another driver of GDAL."""
    with rasterio.open(
            path, 'w', driver=driver, width=260, height=260, count=3, dtype='uint8',
            crs=GRID.crs, transform=GRID.transform, **profile) as dataset:
        dataset.write(np.moveaxis(PIXELS, -1, 0))
    return path


def with_world_file(path, prj=True, image=PIXELS):
    """Write a PNG or JPEG with a world file, and a file that says what system that is in."""
    Image.fromarray(image).save(path, quality=98)
    a, b, c, d, e, f = GRID.transform[:6]
    numbers = a, d, b, e, c + (a + b) / 2, f + (d + e) / 2
    path.with_suffix(f'.{path.suffix[1]}{path.suffix[-1]}w').write_text(
        '\n'.join(f'{number:.10f}' for number in numbers))
    if prj:
        path.with_suffix('.prj').write_text(
            rasterio.crs.CRS.from_user_input(GRID.crs).to_wkt(version='WKT1_ESRI'))
    return path


SOURCE = ('<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
          '<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" xSize="260" ySize="260"/>'
          '<DstRect xOff="0" yOff="0" xSize="260" ySize="260"/></SimpleSource>')


def write_vrt(path, name, source=SOURCE, band_options='', extra=''):
    """Write a VRT file of one other file."""
    bands = ''.join(
        f'<VRTRasterBand dataType="Byte" band="{band}"{band_options}><ColorInterp>{colour}'
        f'</ColorInterp>{source.format(name=name, band=band)}</VRTRasterBand>'
        for band, colour in enumerate(('Red', 'Green', 'Blue'), 1))
    crs = rasterio.crs.CRS.from_user_input(GRID.crs).to_wkt().replace('"', '&quot;')
    path.write_text(
        f'<VRTDataset rasterXSize="260" rasterYSize="260"><SRS>{crs}</SRS><GeoTransform>'
        f'{", ".join(map(repr, GRID.transform.to_gdal()))}</GeoTransform>{extra}{bands}'
        '</VRTDataset>')
    return path


def zipped(path, *files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for file in files:
            archive.write(file, f'inner folder/{file.name}')
    return path


def test_formats_that_lose_nothing_lie_within_a_centimetre(tmp_path):
    tiff = GRID.write(tmp_path / 'a.tif', PIXELS)
    for path in (saved(tmp_path / 'a.jp2', 'JP2OpenJPEG', QUALITY=100, REVERSIBLE='YES'),
                 saved(tmp_path / 'a.gpkg', 'GPKG', TILE_FORMAT='PNG'),
                 write_vrt(tmp_path / 'a.vrt', 'a.tif'),
                 write_vrt(tmp_path / 'b.vrt', 'a.vrt'),
                 with_world_file(tmp_path / 'a.png'),
                 zipped(tmp_path / 'a.zip', tiff),
                 zipped(tmp_path / 'b.zip', tiff, compression=zipfile.ZIP_STORED),
                 shutil.copy(tiff, tmp_path / 'without_ending')):
        assert_true(patch_of(path))
    assert_true(patch_of(with_world_file(tmp_path / 'b.jpg')), 0.05)


def test_a_picture_without_coordinate_system_gets_it_from_the_catalogue(tmp_path):
    path = with_world_file(tmp_path / 'a.png', prj=False)
    with pytest.raises(ImageryError, match='no coordinate system.* no a.prj beside it') as error:
        open_local(path)
    assert str(path) in str(error.value)
    assert_true(patch_of(path, crs='EPSG:2056'))
    (tmp_path / 'c.yaml').write_text(
        'mine: {kind: file, path: a.png, attribution: me, terms: mine, offline_allowed: true,\n'
        '       machine_interpretation_allowed: true, vintage: "", crs: "EPSG:2056"}')
    with closing(open_imagery('mine', tmp_path / 'c.yaml')) as imagery:
        assert_true(imagery.patch(view_of()))


def test_bands_and_range_are_those_of_the_catalogue(tmp_path):
    infrared = np.full((260, 260, 1), 7000)
    image = np.dstack([infrared, PIXELS.astype(int) * 10 + 500]).astype(np.uint16)
    path = GRID.write(tmp_path / 'a.tif', image)
    assert not np.allclose(patch_of(path).image, patch_of(path, bands=(2, 3, 4)).image, atol=20)
    assert_true(patch_of(path, bands=(2, 3, 4), shown_range=(500.0, 3050.0)))
    grey = patch_of(path, bands=(3,), shown_range=(500.0, 3050.0)).image
    assert np.all(grey == grey[..., :1])
    with pytest.raises(ImageryError, match='has 4 bands and no band 5'):
        open_local(path, bands=(2, 3, 5))


def test_bands_are_found_by_their_descriptions(tmp_path):
    image = np.dstack([np.full((260, 260, 1), 70, np.uint8), PIXELS[..., ::-1]])
    path = GRID.write(tmp_path / 'a.tif', image, photometric='MINISBLACK')
    with rasterio.open(path, 'r+') as dataset:
        dataset.descriptions = ('Near infrared', 'Blue', 'green', 'Red')
    assert_true(patch_of(path))


@pytest.mark.parametrize('name', [
    '../outside.tif', '/etc/hostname', '/vsicurl/http://127.0.0.1/a.tif', 'http://127.0.0.1/a.tif',
    'WMS:http://127.0.0.1/', 'inside/../../outside.tif', ' a.tif', 'missing.tif', 'notes.txt',
    '/vsizip/a.zip/a.tif', 'GTIFF_DIR:1:a.tif', ''])
def test_a_vrt_shows_only_orthophotos_beside_it(name, tmp_path):
    GRID.write(tmp_path / 'outside.tif', PIXELS)
    folder = tmp_path / 'folder'
    (folder / 'inside').mkdir(parents=True)
    GRID.write(folder / 'a.tif', PIXELS)
    (folder / 'notes.txt').write_text('nothing')
    path = write_vrt(folder / 'a.vrt', name)
    with pytest.raises(ImageryError) as error:
        open_local(path)
    assert str(folder) in str(error.value) and '\n' not in str(error.value)
    assert_true(patch_of(write_vrt(folder / 'b.vrt', 'a.tif')))


@pytest.mark.parametrize('options', [
    {'band_options': ' subClass="VRTDerivedRasterBand"'},
    {'extra': '<GDALWarpOptions/>'},
    {'extra': '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/etc/x</MDI></Metadata>'},
    {'source': SOURCE.replace('<SourceBand>', '<OpenOptions/><SourceBand>')},
    {'source': '<PixelFunctionType>python</PixelFunctionType>' + SOURCE},
    {'source': ''}])
def test_a_vrt_is_a_mosaic_and_nothing_else(options, tmp_path):
    GRID.write(tmp_path / 'a.tif', PIXELS)
    with pytest.raises(ImageryError, match='a.vrt '):
        open_local(write_vrt(tmp_path / 'a.vrt', 'a.tif', **options))


def test_a_vrt_with_entities_or_in_a_circle_is_refused(tmp_path):
    path = write_vrt(tmp_path / 'a.vrt', 'a.vrt')
    with pytest.raises(ImageryError, match='inside too many others'):
        open_local(path)
    path.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + path.read_text())
    with pytest.raises(ImageryError, match='defines entities'):
        open_local(path)
    path.write_text('<VRTDataset>')
    with pytest.raises(ImageryError, match='damaged VRT'):
        open_local(path)


def test_files_beside_an_orthophoto_are_not_opened_by_other_drivers(tmp_path):
    path = GRID.write(tmp_path / 'a.tif', PIXELS)
    (tmp_path / 'a.tif.ovr').write_text('<GDAL_WMS><Service name="TMS"/></GDAL_WMS>')
    with pytest.raises(ImageryError, match='a.tif.ovr is no GeoTIFF'):
        open_local(path)
    (tmp_path / 'a.tif.ovr').unlink()
    with rasterio.open(path, 'r+') as dataset:
        dataset.update_tags(ns='OVERVIEWS', OVERVIEW_FILE='/vsicurl/http://127.0.0.1/a.ovr')
    with pytest.raises(ImageryError, match='names overviews elsewhere'):
        open_local(path)


@pytest.mark.parametrize('content', [
    b'<GDAL_WMS><Service name="TMS"/></GDAL_WMS>', b'%PDF-1.4', b'\x89HDF\r\n\x1a\n',
    b'CDF\x01', b'GIF89a', b'BM' + bytes(60)])
def test_other_formats_of_gdal_are_not_opened(content, tmp_path):
    path = tmp_path / 'a.tif'
    path.write_bytes(content)
    with pytest.raises(ImageryError, match='nor an orthophoto'):
        open_local(path)


def test_geopackages_without_pictures_are_named(tmp_path):
    path = saved(tmp_path / 'a.gpkg', 'GPKG')
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE gpkg_contents SET data_type = 'features'")
        database.commit()
    with pytest.raises(ImageryError, match='holds no tiles of pictures'):
        open_local(path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            'ALTER TABLE gpkg_contents RENAME TO other;'
            'CREATE VIEW gpkg_contents AS SELECT * FROM other, other AS others;')
    with pytest.raises(ImageryError, match='without the tables of one'):
        open_local(path)


def test_a_geopackage_whose_damage_is_no_text_is_named(tmp_path):
    path = saved(tmp_path / 'a.gpkg', 'GPKG')
    data = path.read_bytes()
    assert b'BEFORE INSERT' in data
    path.write_bytes(data.replace(b'BEFORE INSERT', b'BEF\xffRE INSERT'))
    with pytest.raises(ImageryError, match='cannot be read as a GeoPackage') as error:
        open_local(path)
    assert str(path) in str(error.value)


def test_archives_of_no_use_are_named(tmp_path):
    (tmp_path / 'notes.txt').write_text('nothing')
    zeros = GRID.write(tmp_path / 'z.tif', np.zeros((6000, 6000, 1), np.uint8), sparse_ok=False)
    whole = zipped(tmp_path / 'c.zip', GRID.write(tmp_path / 'a.tif', PIXELS)).read_bytes()
    (tmp_path / 'd.zip').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'e.zip').write_bytes(whole[:100] + bytes(range(200)) + whole[300:])
    for path, reason in ((zipped(tmp_path / 'a.zip', tmp_path / 'notes.txt'), 'no orthophotos'),
                         (zipped(tmp_path / 'b.zip', zeros), 'packed too tightly'),
                         (tmp_path / 'd.zip', 'cannot be read as a zip archive'),
                         (tmp_path / 'e.zip', 'cannot be read as a zip archive')):
        with pytest.raises(ImageryError, match=reason) as error:
            open_local(path)
        assert str(path) in str(error.value)


# Sheets

def write_sheets(folder, side_px=100, crs=('EPSG:2056',), overlap_px=0, pixel=0.2, **options):
    """Write a square of 3 x 3 sheets around the place, one system after the other."""
    folder.mkdir(exist_ok=True)
    for number in range(9):
        system = crs[number % len(crs)]
        whole = GroundGrid(system, PLACE, pixel, (3 * side_px, 3 * side_px))
        row, column = divmod(number, 3)
        size = side_px + overlap_px
        sheet = GroundGrid(system, PLACE, pixel, (size, size))
        sheet.transform = whole.transform @ rasterio.Affine.translation(
            column * side_px, row * side_px)
        image = np.round(sheet.colours(GROUND)).astype(np.uint8)
        sheet.write(folder / f'sheet_{number}.tif', image, **options)
    return folder


@pytest.mark.parametrize('options', [
    {}, {'overlap_px': 7}, {'crs': ('EPSG:2056', 'EPSG:32632', 'EPSG:3857'), 'overlap_px': 40},
    {'side_px': 250, 'pixel': 0.08, 'overviews': (2, 4)}, {'side_px': 251, 'pixel': 0.08}])
def test_sheets_are_one_orthophoto_without_gaps(options, tmp_path):
    folder = write_sheets(tmp_path / 'sheets', **options)
    with closing(open_local(folder)) as imagery:
        for east in (-8.0, -3.0, 0.0, 5.0):
            patch = imagery.patch(view_of(30.0, 150, (east, east / 2)))
            assert_true(patch, 0.05)
            assert patch.source == 'sheets'


def test_sheets_may_lie_in_an_archive_or_in_one_geopackage(tmp_path):
    folder = write_sheets(tmp_path / 'sheets')
    assert_true(patch_of(zipped(tmp_path / 'a.zip', *sorted(folder.iterdir()))), 0.05)
    path = tmp_path / 'a.gpkg'
    for sheet in sorted(folder.iterdir()):
        with rasterio.open(sheet) as source, rasterio.open(
                path, 'w', driver='GPKG', width=source.width, height=source.height, count=3,
                dtype='uint8', crs=source.crs, transform=source.transform, TILE_FORMAT='PNG',
                RASTER_TABLE=sheet.stem, APPEND_SUBDATASET='YES' if path.exists() else 'NO'
                ) as table:
            table.write(source.read())
    assert_true(patch_of(path), 0.05)


def test_the_finer_of_two_sheets_is_shown(tmp_path):
    for name, pixel, shade in (('a', 0.5, 10), ('b', 0.2, 20), ('c', 0.2, 30), ('d', 1.0, 40)):
        grid = GroundGrid('EPSG:2056', PLACE, pixel, (150, 150))
        grid.write(tmp_path / f'{name}.tif', np.full((150, 150, 3), shade, np.uint8))
    with closing(open_local(tmp_path)) as imagery:
        assert np.all(imagery.patch(view_of(20.0, 100)).image == 30), 'of equals the last'
        wide = imagery.patch(view_of(100.0, 100))
        assert set(np.unique(wide.image)) == {10, 30, 40} and wide.valid is None
        assert wide.native_resolution_m == pytest.approx(1.0, rel=0.01)


def test_few_sheets_stay_open_and_any_place_is_found(tmp_path, monkeypatch):
    from fg2_ros.imagery.stores import sheets
    folder = tmp_path / 'sheets'
    folder.mkdir()
    for number in range(20):
        grid = GroundGrid('EPSG:2056', PLACE, 0.5, (60, 60))
        grid.transform = rasterio.Affine.translation(30.0 * number, 0.0) @ grid.transform
        grid.write(folder / f'{number}.tif', np.full((60, 60, 3), number + 1, np.uint8))
    opened, still_open = [], []

    def noting(file, overview=None, open_raster=sheets.open_raster):
        dataset = open_raster(file, overview)
        opened.append(dataset)
        still_open.append(sum(not one.closed for one in opened))
        return dataset

    monkeypatch.setattr(sheets, 'open_raster', noting)
    monkeypatch.setattr('fg2_ros.imagery.stores.orthophoto.open_raster', noting)
    with closing(open_local(folder)) as imagery:
        for number in np.random.default_rng(0).permutation(20).tolist():
            patch = imagery.patch(view_of(20.0, 50, (30.0 * number, 0.0)))
            assert abs(int(np.median(patch.image)) - number - 1) == 0
    assert len(opened) >= 40 and max(still_open) <= 14
    assert all(dataset.closed for dataset in opened)


def test_sheets_that_cannot_be_used_are_left_out_and_named(tmp_path, caplog):
    folder = write_sheets(tmp_path / 'sheets')
    (folder / 'a_photo.jpg').write_bytes(b'\xff\xd8\xff' + bytes(50))
    (folder / 'notes.tif').write_text('no picture')
    assert_true(patch_of(folder), 0.05)
    assert 'a_photo.jpg' in caplog.text and 'notes.tif' in caplog.text
    for sheet in folder.glob('sheet*'):
        sheet.unlink()
    with pytest.raises(ImageryError, match='a_photo.jpg'):
        open_local(folder)


def test_sheets_that_are_added_or_replaced_are_seen(tmp_path):
    folder = write_sheets(tmp_path / 'sheets')
    (folder / 'sheet_4.tif').rename(tmp_path / 'middle.tif')
    with closing(open_local(folder)) as imagery:
        assert imagery.patch(view_of(50.0, 100)).valid is not None
        (tmp_path / 'middle.tif').rename(folder / 'sheet_4.tif')
        assert imagery.patch(view_of(50.0, 100)).valid is None
        shutil.rmtree(folder)
        with pytest.raises(ImageryError, match='No such file'):
            imagery.patch(view_of())


def test_the_stretch_is_the_same_on_all_sheets(tmp_path):
    for name, east_m, low, high in (('a', -15.0, 100, 2000), ('b', 15.0, 1500, 4000)):
        grid = GroundGrid('EPSG:2056', PLACE, 0.5, (60, 60))
        grid.transform = rasterio.Affine.translation(east_m, 0.0) @ grid.transform
        column = np.linspace(low, high, 60).astype(np.uint16)
        grid.write(tmp_path / f'{name}.tif', np.tile(column[None, :, None], (60, 1, 3)))
    image = patch_of(tmp_path).image.astype(int)
    assert image[100, 5, 0] < 60 and image[100, 98, 0] == pytest.approx(124, abs=12)
    assert image[100, 102, 0] == pytest.approx(92, abs=12) and image[100, 195, 0] > 180


def test_outside_all_sheets_is_an_error_that_says_so(tmp_path):
    with closing(open_local(write_sheets(tmp_path / 'sheets'))) as imagery:
        with pytest.raises(ImageryError, match='lacks 100%.* on none of its sheets'):
            imagery.patch(view_of(centre=(5000.0, 0.0)))
        with pytest.raises(ImageryError, match='outside its bounds'):
            imagery.request(view_of(centre=(5000.0, 0.0)))


def test_a_folder_of_nothing_is_named(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ImageryError, match='no tiles named .* and no orthophotos'):
        open_local(tmp_path / 'empty')


@pytest.mark.parametrize('transform', [
    (1e300, 0, 0, 0, -1e300, 0), (0.2, 0, 2.7e6, 0, -1e300, 1.2e6),
    (1e-300, 0, 2.7e6, 0, -1e-300, 1.2e6), (0, 0, 2.7e6, 0, 0, 1.2e6),
    (0.2, 0.2, 2.7e6, 0.2, 0.2, 1.2e6), (float('nan'), 0, 2.7e6, 0, -0.2, 1.2e6),
    (0.2, 0, float('inf'), 0, -0.2, 1.2e6), (0.2, 0, 1e308, 0, -0.2, 1.2e6)])
def test_a_place_on_earth_that_makes_no_sense_is_refused(transform, tmp_path):
    with rasterio.open(
            tmp_path / 'odd.tif', 'w', driver='GTiff', width=260, height=260, count=3,
            dtype='uint8', crs=GRID.crs, transform=rasterio.Affine(*transform)) as dataset:
        dataset.write(np.moveaxis(PIXELS, -1, 0))
    with pytest.raises(ImageryError, match='odd.tif'):
        patch_of(tmp_path / 'odd.tif')

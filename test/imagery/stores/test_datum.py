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

"""Orthophotos in national grids: grids of datum shifts that are not installed are named."""

from contextlib import closing
from test.helpers.local_files import GroundGrid

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import open_imagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.opening import open_local
import numpy as np
from pyproj.transformer import AreaOfInterest, TransformerGroup
import pytest

rasterio = pytest.importorskip('rasterio')

NORWICH = (52.62760352, 1.31073349)  # of (624161, 308459.58) in the national grid, by its grid
NATIONAL = [
    ('EPSG:27700', NORWICH, 'uk_os_OSTN15'), ('EPSG:31467', (48.5, 9.1), 'de_adv_BETA2007'),
    ('EPSG:23030', (40.4, -3.7), 'es_ign_SPED2ETV2'), ('EPSG:2263', (40.7, -74.0), 'hpgn.tif')]


def is_installed(crs, place=NORWICH) -> bool:
    area = AreaOfInterest(place[1], place[0], place[1] + 0.01, place[0] + 0.01)
    return TransformerGroup(
        'EPSG:4326', crs, always_xy=True, area_of_interest=area).best_available


def write(path, crs, place):
    return GroundGrid(crs, place, 0.25, (200, 200)).write(
        path, np.full((200, 200, 3), 99, np.uint8))


@pytest.mark.filterwarnings('ignore:Best transformation is not available')
@pytest.mark.parametrize('crs, place, grid', NATIONAL)
def test_a_grid_that_is_not_installed_is_named_with_how_to_get_it(
        crs, place, grid, tmp_path, caplog):
    if is_installed(crs, place):
        pytest.skip('the grid is installed')
    path = write(tmp_path / 'a.tif', crs, place)
    with closing(open_imagery(str(path))) as imagery:
        doubt, = imagery.status().doubts
        assert imagery.status().members[0].doubts == (doubt,)
        imagery.patch(PatchView(MapFrame(*place), (0.0, 0.0), 20.0, 100))
    assert str(path) in doubt and grid in doubt and 'python3 -m pyproj sync --file' in doubt
    assert ' m or worse, with it ' in doubt
    assert [record.message for record in caplog.records] == [doubt], 'it is logged once'


@pytest.mark.parametrize('crs', [
    'EPSG:2056', 'EPSG:21781', 'EPSG:32632', 'EPSG:25832', 'EPSG:3857', 'EPSG:4326'])
def test_systems_that_need_no_grid_raise_no_doubt(crs, tmp_path, caplog):
    place = (47.38, 8.54)
    pixel = 2e-6 if crs == 'EPSG:4326' else 0.25
    path = GroundGrid(crs, place, pixel, (200, 200)).write(
        tmp_path / 'a.tif', np.full((200, 200, 3), 99, np.uint8))
    with closing(open_local(path)) as imagery:
        assert imagery.status().doubts == ()
    assert not caplog.records


def test_a_datum_that_nobody_knows_is_named(tmp_path):
    system = ('PROJCS["site",GEOGCS["g",DATUM["of the site",SPHEROID["s",6377397.155,299.15]],'
              'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
              'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
              'PARAMETER["central_meridian",9],PARAMETER["scale_factor",1],'
              'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]]')
    path = write(tmp_path / 'a.tif', system, (47.38, 8.54))
    with closing(open_local(path)) as imagery:
        doubt, = imagery.status().doubts
    assert 'PROJ knows no way' in doubt and str(path) in doubt


@pytest.mark.filterwarnings('ignore:Best transformation is not available')
def test_a_folder_of_sheets_names_a_grid_once(tmp_path, caplog):
    if is_installed('EPSG:27700'):
        pytest.skip('the grid is installed')
    for name in 'abc':
        write(tmp_path / f'{name}.tif', 'EPSG:27700', NORWICH)
    with closing(open_local(tmp_path)) as imagery:
        assert len(imagery.status().doubts) == 1
    assert len(caplog.records) == 1


@pytest.mark.filterwarnings('ignore:Best transformation is not available')
def test_with_the_grid_a_place_is_where_the_survey_says(tmp_path):
    if not is_installed('EPSG:27700'):
        pytest.skip('the grid is not installed')
    path = tmp_path / 'a.tif'
    image = np.full((3, 400, 400), 90, np.uint8)
    image[:, 196:204, 196:204] = 255
    with rasterio.open(
            path, 'w', driver='GTiff', width=400, height=400, count=3, dtype='uint8',
            crs='EPSG:27700', transform=rasterio.Affine(
                0.25, 0, 624161 - 50, 0, -0.25, 308459.58 + 50)) as dataset:
        dataset.write(image)
    with closing(open_local(path)) as imagery:
        patch = imagery.patch(PatchView(MapFrame(*NORWICH), (0.0, 0.0), 40.0, 400))
        assert imagery.status().doubts == ()
    rows, columns = np.nonzero(patch.image[..., 0] > 200)
    assert np.hypot(rows.mean() - 199.5, columns.mean() - 199.5) * 0.1 < 0.2

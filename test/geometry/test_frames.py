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

"""The map frame against the geocentric definition of east-north-up, everywhere on Earth."""

from fg2_ros.geometry.frames import is_nowhere, MapFrame, require_geodetic
from hypothesis import given, strategies as st
import numpy as np
from pyproj import Geod, Transformer
import pytest

GEOCENTRIC = Transformer.from_crs('EPSG:4979', 'EPSG:4978', always_xy=True)
PLACES = [(0, 0), (47.4, 8.5), (-33.9, 18.4), (65.0, -22.0), (-65.0, 140.0), (-17.0, 179.999),
          (52.0, -179.999), (0.0, 180.0), (84.9, 30.0)]
offsets = st.floats(-5000, 5000)
latitudes = st.floats(-89, 89)
longitudes = st.floats(-180, 180)


def geocentric(latitude, longitude) -> np.ndarray:
    return np.stack(GEOCENTRIC.transform(longitude, latitude, np.zeros_like(latitude)), axis=-1)


def east_north(datum, latitude, longitude) -> tuple[np.ndarray, np.ndarray]:
    """Return east and north by the textbook: geocentric difference on the local axes."""
    phi, lam = np.radians(datum)
    difference = geocentric(latitude, longitude) - geocentric(*map(np.float64, datum))
    east = np.array([-np.sin(lam), np.cos(lam), 0])
    north = np.array([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    return difference @ east, difference @ north


@pytest.mark.parametrize('datum', PLACES)
def test_map_agrees_with_pyproj_within_a_millimetre_at_5_km(datum):
    frame = MapFrame(*datum)
    angle = np.linspace(0, 2 * np.pi, 64)
    latitude, longitude = frame.geodetic_from_map(5000 * np.cos(angle), 5000 * np.sin(angle))
    expected = east_north(datum, latitude, longitude)
    np.testing.assert_allclose(frame.map_from_geodetic(latitude, longitude), expected, atol=1e-3)
    np.testing.assert_allclose(np.hypot(*expected), 5000, atol=1e-3)


@given(latitudes, longitudes, offsets, offsets)
def test_map_to_geodetic_and_back(latitude, longitude, east, north):
    frame = MapFrame(latitude, longitude)
    again = frame.map_from_geodetic(*frame.geodetic_from_map(east, north))
    np.testing.assert_allclose(again, (east, north), atol=1e-4)


def test_the_datum_is_the_origin_and_axes_point_east_and_north():
    frame = MapFrame(47.0, 8.0)
    np.testing.assert_allclose(frame.map_from_geodetic(47.0, 8.0), 0, atol=1e-9)
    assert frame.map_from_geodetic(47.0, 8.001)[0] > 75
    assert frame.map_from_geodetic(47.001, 8.0)[1] > 110


def test_across_the_antimeridian_the_map_is_continuous():
    frame = MapFrame(-17.0, 179.9999)
    east, _ = frame.map_from_geodetic([-17.0, -17.0], [179.99995, -179.99995])
    assert 0 < east[0] < east[1] < 20


def test_scalars_give_scalars_and_arrays_keep_their_shape():
    frame = MapFrame(1.0, 2.0)
    assert all(isinstance(value, float) for value in frame.geodetic_from_map(1.0, 2.0))
    east, north = frame.map_from_geodetic(np.full((3, 4), 1.0), 2.0)
    assert east.shape == north.shape == (3, 4)


def test_frames_compare_by_datum():
    assert MapFrame(1, 2) == MapFrame(1.0, 2.0) != MapFrame(1, 2.0000001)
    assert len({MapFrame(1, 2), MapFrame(1, 2)}) == 1
    assert eval(repr(MapFrame(1.25, -2.5))) == MapFrame(1.25, -2.5)


@pytest.mark.parametrize('latitude, longitude', [
    (90.1, 0), (np.nan, 0), (0, 180.1), (0, np.inf), (-91, 0)])
def test_a_datum_off_the_earth_is_refused(latitude, longitude):
    with pytest.raises(ValueError, match='tude .* is not between'):
        MapFrame(latitude, longitude)
    with pytest.raises(ValueError):
        require_geodetic(latitude, longitude)


@pytest.mark.parametrize('azimuth_deg', [0.0, 45.0, 90.0, 200.0])
def test_far_from_the_datum_the_way_back_is_still_exact(azimuth_deg):
    frame = MapFrame(47.0, 8.0)
    longitude, latitude, _ = Geod(ellps='WGS84').fwd(8.0, 47.0, azimuth_deg, 495e3)
    again = frame.geodetic_from_map(*frame.map_from_geodetic(latitude, longitude))
    np.testing.assert_allclose(again, (latitude, longitude), atol=1e-9)


@pytest.mark.parametrize('place', [(0.0, 0.0), (55.0, 8.0), (-47.0, -172.0), (47.0, 20.0)])
def test_what_lies_beyond_the_plane_is_refused(place):
    frame = MapFrame(47.0, 8.0)
    with pytest.raises(ValueError, match='km from the datum of the map'):
        frame.map_from_geodetic(*place)
    with pytest.raises(ValueError, match='km from the datum of the map'):
        frame.map_from_geodetic(*np.transpose([frame.datum, place]))
    with pytest.raises(ValueError, match='km from the datum of the map'):
        frame.geodetic_from_map([0.0, 600e3], 0.0)
    assert np.hypot(*frame.map_from_geodetic(47.0, 20.0, anywhere=True)) > 500e3


def test_no_vehicle_is_at_zero_north_zero_east():
    assert is_nowhere(0.0, 0.0) and is_nowhere(-0.0, 1e-9)
    assert not is_nowhere(0.0, 9.4) and not is_nowhere(51.48, 0.0) and not is_nowhere(1.0, 0.0)

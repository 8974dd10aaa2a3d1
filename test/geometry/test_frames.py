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

import math

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


# WGS 84 and Krueger's series of the transverse Mercator projection, to the sixth order: closed
# formulae, good to 5 nm within 35 degrees of the central meridian.
A_M, FLATTENING, SCALE = 6378137.0, 1 / 298.257223563, 0.9996
N = FLATTENING / (2 - FLATTENING)
RECTIFYING_M = A_M / (1 + N) * (1 + N ** 2 / 4 + N ** 4 / 64 + N ** 6 / 256)
ALPHA = (
    N / 2 - 2 * N ** 2 / 3 + 5 * N ** 3 / 16 + 41 * N ** 4 / 180 - 127 * N ** 5 / 288
    + 7891 * N ** 6 / 37800,
    13 * N ** 2 / 48 - 3 * N ** 3 / 5 + 557 * N ** 4 / 1440 + 281 * N ** 5 / 630
    - 1983433 * N ** 6 / 1935360,
    61 * N ** 3 / 240 - 103 * N ** 4 / 140 + 15061 * N ** 5 / 26880 + 167603 * N ** 6 / 181440,
    49561 * N ** 4 / 161280 - 179 * N ** 5 / 168 + 6601661 * N ** 6 / 7257600,
    34729 * N ** 5 / 80640 - 3418889 * N ** 6 / 1995840,
    212378941 * N ** 6 / 319334400)


def utm(latitude_deg: float, from_meridian_deg: float) -> tuple[complex, float]:
    """Return (northing + i easting from the equator and meridian, convergence) in m and rad."""
    phi, lam = math.radians(latitude_deg), math.radians(from_meridian_deg)
    eccentricity = math.sqrt(FLATTENING * (2 - FLATTENING))
    tau = math.tan(phi)
    sigma = math.sinh(eccentricity * math.atanh(eccentricity * math.sin(phi)))
    conformal = tau * math.hypot(1, sigma) - sigma * math.hypot(1, tau)
    zeta = complex(math.atan2(conformal, math.cos(lam)),
                   math.asinh(math.sin(lam) / math.hypot(conformal, math.cos(lam))))
    place = zeta + sum(alpha * np.sin(2 * j * zeta) for j, alpha in enumerate(ALPHA, 1))
    slope = 1 + sum(2 * j * alpha * np.cos(2 * j * zeta) for j, alpha in enumerate(ALPHA, 1))
    convergence = math.atan2(conformal * math.tan(lam), math.hypot(1, conformal)) - np.angle(slope)
    return SCALE * RECTIFYING_M * place, convergence


def navsat_map(datum, meridian_deg: float, latitude: float, longitude: float) -> tuple:
    """Return where navsat_transform_node puts a place: in the grid, turned by the convergence."""
    def from_meridian(degrees: float) -> float:
        return (degrees - meridian_deg + 180) % 360 - 180

    origin, turn = utm(datum[0], from_meridian(datum[1]))
    place, _ = utm(latitude, from_meridian(longitude))
    turned = (place - origin) * np.exp(1j * turn)
    return turned.imag, turned.real


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


def test_frames_compare_by_datum_and_projection():
    assert MapFrame(1, 2) == MapFrame(1.0, 2.0) != MapFrame(1, 2.0000001)
    assert MapFrame(1, 2) != MapFrame(1, 2, 'utm')
    assert len({MapFrame(1, 2), MapFrame(1, 2), MapFrame(1, 2, 'utm')}) == 2
    for frame in (MapFrame(1.25, -2.5), MapFrame(1.25, -2.5, 'utm')):
        assert eval(repr(frame)) == frame


# Datum and the central meridian of its zone. Norway's and Svalbard's are wider than six degrees.
ZONES = [((47.5, 8.7), 9), ((47.5, 12.0), 15), ((-33.9, 18.4), 21), ((0.0, -63.0001), -63),
         ((60.4, 5.3), 9), ((78.2, 15.6), 15), ((78.2, 8.9), 3), ((78.2, 21.0), 27),
         ((-17.0, 179.999), 177), ((52.0, -179.999), -177), ((0.0, 180.0), -177),
         ((83.9, 41.9), 39), ((63.99, 2.99), 3), ((-79.9, 140.0), 141)]


@pytest.mark.parametrize('datum, meridian_deg', ZONES)
def test_utm_map_is_that_of_navsat_transform_node_within_a_millimetre_at_7_km(datum, meridian_deg):
    frame = MapFrame(*datum, 'utm')
    for angle in np.linspace(0, 2 * np.pi, 8):
        place = MapFrame(*datum).geodetic_from_map(7000 * np.cos(angle), 7000 * np.sin(angle))
        np.testing.assert_allclose(
            frame.map_from_geodetic(*place), navsat_map(datum, meridian_deg, *place), atol=1e-3)


def test_utm_and_local_maps_differ_by_the_scale_of_utm():
    datum = 47.5, 9.0  # on the central meridian
    north = MapFrame(*datum).geodetic_from_map(0.0, 7000.0)
    assert MapFrame(*datum, 'utm').map_from_geodetic(*north)[1] == pytest.approx(
        0.9996 * 7000, abs=0.01)


@given(st.floats(-79.9, 83.9), longitudes, offsets, offsets)
def test_utm_map_to_geodetic_and_back(latitude, longitude, east, north):
    frame = MapFrame(latitude, longitude, 'utm')
    again = frame.map_from_geodetic(*frame.geodetic_from_map(east, north))
    np.testing.assert_allclose(again, (east, north), atol=1e-4)


@given(st.floats(-79.9, 83.9), longitudes)
def test_utm_map_has_the_datum_as_origin_and_true_north_there(latitude, longitude):
    frame = MapFrame(latitude, longitude, 'utm')
    np.testing.assert_allclose(frame.map_from_geodetic(latitude, longitude), 0, atol=1e-6)
    east, north = frame.map_from_geodetic(latitude + 1e-4, longitude)
    assert north == pytest.approx(11.1, rel=0.01)
    assert abs(east / north) < 1e-5


@pytest.mark.parametrize('latitude', [84.0, 89.0, -80.1])
def test_near_the_poles_there_is_no_utm(latitude):
    with pytest.raises(ValueError, match='no UTM zone at latitude'):
        MapFrame(latitude, 10.0, 'utm')


def test_an_unknown_projection_is_refused():
    with pytest.raises(ValueError, match="'mercator' is not one of local, utm"):
        MapFrame(47.0, 8.0, 'mercator')


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

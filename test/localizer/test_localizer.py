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

"""The localizer around a network that reads the truth out of its two images."""

import dataclasses
import math
from test.helpers.truthful_network import (
    CALIBRATED, FRAME, orthophoto, panorama_at, prior_at, TruthfulNetwork, TwinsNetwork,
    VagueNetwork)

from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.localizer import Localizer, LocalizerSettings
from fg2_ros.localizer.estimate import Prior
from fg2_ros.network.weights import usable_device, with_metadata
from fg2_ros.settings import SHIPPED_WEIGHTS
from fg2_ros.tracker.settings import Calibration, PublicationSettings, TrackerSettings
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.mark.parametrize('place, yaw, offset, yaw_error', [
    ((3.0, -5.0), 0.3, (0.0, 0.0), 0.0),
    ((-12.3, 8.1), 2.0, (2.5, -3.1), 0.13),
    ((0.4, 0.9), -2.9, (-3.0, 3.0), -0.2),
    ((5.0, 5.0), 3.13, (1.0, 0.5), 0.1),
])
def test_finds_the_camera_whatever_the_prior(place, yaw, offset, yaw_error):
    """Place, yaw and degrees come out right: all transforms are undone."""
    localizer = Localizer(TruthfulNetwork(place), orthophoto(), FRAME)
    prior = prior_at(place[0] + offset[0], place[1] + offset[1], yaw + yaw_error)
    estimate = localizer.estimate(panorama_at(yaw), prior)
    assert estimate.accepted, estimate.rejection
    assert estimate.rejection == ''
    assert (estimate.east_m, estimate.north_m) == pytest.approx(place, abs=0.2)
    assert abs(np.degrees(wrap_angle(estimate.yaw_rad - yaw))) < 1.0
    assert FRAME.map_from_geodetic(estimate.latitude_deg, estimate.longitude_deg) == pytest.approx(
        (estimate.east_m, estimate.north_m), abs=1e-6)
    assert estimate.covariance.dtype == np.float64
    assert np.linalg.eigvalsh(estimate.covariance).min() > 0
    assert estimate.inlier_ratio > 0.8
    assert set(estimate.timings_ms) == {'patch', 'aerial', 'ground', 'solve', 'total'}


@pytest.mark.parametrize('offset, yaw_error, looks', [
    ((0.0, 0.0), 0.02, 1), ((0.0, 0.0), 0.12, 2), ((8.0, 0.0), 0.0, 2)])
def test_unexpected_pose_is_looked_for_again_from_there(offset, yaw_error, looks):
    """The second look has the pose in the middle and straight ahead; the gate stays put."""
    place, yaw = (2.0, -3.0), 0.7
    network, seen = TruthfulNetwork(place), []
    settings = LocalizerSettings()
    localizer = Localizer(network, orthophoto(), FRAME, settings)
    describe = network.ground_tokens
    network.ground_tokens = lambda image: seen.append(image) or describe(image)
    prior = prior_at(place[0] + offset[0], place[1] + offset[1], yaw + yaw_error)
    estimate = localizer.estimate(panorama_at(yaw), prior)
    assert estimate.accepted and len(seen) == looks
    assert (estimate.east_m, estimate.north_m) == pytest.approx(place, abs=0.2)
    assert math.dist(estimate.patch.centre_m, place) < settings.patch.recentre_m
    seen.clear()
    once = dataclasses.replace(settings, second_look_deg=180.0)
    Localizer(network, orthophoto(), FRAME, once).estimate(panorama_at(yaw), prior)
    assert len(seen) == 1


def test_matches_point_at_the_same_things():
    """The panorama pixel of a match looks towards its place in the aerial image."""
    place, yaw = (4.0, -2.0), 1.1
    panorama = panorama_at(yaw)
    matches = Localizer(TruthfulNetwork(place), orthophoto(), FRAME).estimate(
        panorama, prior_at(3.0, -1.0, 1.2)).matches
    away = matches.aerial_map_m - place
    far = matches.inlier & (np.hypot(*away.T) > 6)
    assert far.sum() > 100
    column, row = matches.panorama_px[far].T
    assert ((0 <= column) & (column < 256) & (64 < row) & (row < 128)).all()
    colour = panorama[0, column.astype(int) % 256].astype(float) - 128
    seen = np.arctan2(colour[:, 1], colour[:, 0])
    error = np.degrees(wrap_angle(seen - np.arctan2(away[far, 1], away[far, 0])))
    assert np.median(np.abs(error)) < 4
    assert np.abs(np.mean(error)) < 2
    missed_m = np.hypot(*(matches.ground_map_m - matches.aerial_map_m)[matches.inlier].T)
    assert missed_m.max() <= LocalizerSettings().solver.inlier_threshold_m
    assert len(matches.weight) == len(matches.inlier) == len(matches.ground_grid_m)


def test_covariance_is_in_map_axes():
    """Where all matches say east precisely and north vaguely, the covariance says so too."""
    localizer = Localizer(VagueNetwork((1.0, 2.0)), orthophoto(), FRAME, metadata=CALIBRATED)
    estimate = localizer.estimate(panorama_at(0.5), prior_at(1.0, 2.0, 0.5))
    assert estimate.covariance[1, 1] > 4 * estimate.covariance[0, 0]


def test_the_first_mode_is_the_estimate():
    """A clear image has one, and it holds nearly everything."""
    estimate = Localizer(TruthfulNetwork((3.0, -5.0)), orthophoto(), FRAME).estimate(
        panorama_at(0.3), prior_at(3.5, -5.5, 0.35))
    first = estimate.modes[0]
    assert (first.pose.x, first.pose.y) == pytest.approx((3.0, -5.0), abs=1.0)
    assert abs(wrap_angle(first.pose.yaw - 0.3)) < math.radians(3.0)
    assert first.mass > 0.9
    assert sum(mode.mass for mode in estimate.modes) <= 1.0 + 1e-5


def test_an_ambiguous_image_has_several_modes():
    """Both places are told, and that the image cannot decide between them."""
    network = TwinsNetwork((-4.0, 1.0), apart_m=8.0)
    estimate = Localizer(network, orthophoto(), FRAME).estimate(
        panorama_at(0.3), prior_at(0.0, 1.0, 0.3, sigma_m=5.0))
    first, second = estimate.modes[:2]
    assert sorted([first.pose.x, second.pose.x]) == pytest.approx([-4.0, 4.0], abs=1.0)
    assert (first.pose.y, second.pose.y) == pytest.approx((1.0, 1.0), abs=1.0)
    assert 0.35 < second.mass <= first.mass < 0.65
    assert math.hypot(estimate.east_m - first.pose.x, estimate.north_m - first.pose.y) < 1.0


def test_a_tracker_believes_images_as_the_weights_were_calibrated():
    """All else is as it is asked for."""
    localizer = Localizer(TruthfulNetwork((1.0, 1.0)), orthophoto(), FRAME, metadata=CALIBRATED)
    publication = PublicationSettings(min_distance_m=20.0)
    tracker = localizer.new_tracker(TrackerSettings(publication=publication))
    assert tracker.settings == TrackerSettings(
        publication=publication, calibration=Calibration.of(CALIBRATED))


def test_the_same_input_gives_the_same_estimate():
    """Draws are seeded for each estimate."""
    localizer = Localizer(TruthfulNetwork((1.0, 1.0)), orthophoto(), FRAME)
    first, second = (
        localizer.estimate(panorama_at(0.2), prior_at(0.0, 0.0, 0.25)) for _ in range(2))
    assert (first.east_m, first.yaw_rad) == (second.east_m, second.yaw_rad)


def test_aerial_features_are_kept_until_the_prior_has_moved():
    """One patch serves a neighbourhood; its centre is not the prior's any more."""
    network = TruthfulNetwork((0.0, 0.0))
    localizer = Localizer(network, orthophoto(), FRAME)
    for step, calls in ((0.0, 1), (2.0, 1), (-4.0, 1), (7.0, 2), (8.0, 2)):
        network.place = (step, 0.5)
        estimate = localizer.estimate(panorama_at(1.0), prior_at(step, 0.0, 1.0))
        assert estimate.accepted
        assert estimate.east_m == pytest.approx(step, abs=0.2)
        assert network.aerial_calls == calls


@pytest.mark.parametrize('resolution_m, is_coarse', [(0.25, False), (1.0, True), (None, False)])
def test_an_estimate_says_which_imagery_it_is_made_of(resolution_m, is_coarse):
    """Its source, its vintage, and whether it had to be magnified."""
    imagery = orthophoto()
    whole = imagery.patch
    imagery.patch = lambda *wanted, **options: dataclasses.replace(
        whole(*wanted, **options), source='Orthos', vintage='May 2021',
        native_resolution_m=resolution_m)
    patch = Localizer(TruthfulNetwork((0.0, 0.0)), imagery, FRAME).estimate(
        panorama_at(0.5), prior_at(1.0, 2.0, 0.5)).patch
    assert (patch.source, patch.vintage, patch.is_coarse) == ('Orthos', 'May 2021', is_coarse)


def test_the_first_prior_places_the_map_unless_it_is_given():
    """And the map can be moved afterwards: the patch follows."""
    localizer = Localizer(TruthfulNetwork((0.0, 0.0)), orthophoto())
    assert localizer.map_frame is None
    localizer.estimate(panorama_at(0.5), prior_at(1.0, 2.0, 0.5))
    assert localizer.map_frame.datum == pytest.approx(FRAME.geodetic_from_map(1.0, 2.0))
    localizer.map_frame = FRAME
    estimate = localizer.estimate(panorama_at(0.5), prior_at(1.0, 2.0, 0.5))
    assert estimate.patch.view.frame == FRAME
    assert estimate.north_m == pytest.approx(0.0, abs=0.2)


def test_a_prior_may_be_in_the_map():
    """It is the same as one in degrees; without a map it means nothing."""
    localizer = Localizer(TruthfulNetwork((0.0, 0.0)), orthophoto())
    in_degrees, panorama = prior_at(1.0, 2.0, 0.5), panorama_at(0.5)
    in_map = in_degrees.in_map(FRAME)
    with pytest.raises(ValueError, match='without a map_frame'):
        localizer.estimate(panorama, in_map)
    localizer.map_frame = FRAME
    poses = [(estimate.east_m, estimate.north_m, estimate.yaw_rad) for estimate in (
        localizer.estimate(panorama, prior) for prior in (in_degrees, in_map))]
    assert poses[0] == pytest.approx(poses[1], abs=1e-6)
    with pytest.raises(ValueError, match='must be finite'):
        localizer.estimate(panorama, dataclasses.replace(in_map, pose=Pose2(np.nan, 0.0, 0.5)))


def test_a_place_outside_the_gate_is_rejected_with_a_reason():
    """A confident prior far from the truth: no pose near it is supported."""
    localizer = Localizer(TruthfulNetwork((9.0, 0.0)), orthophoto(), FRAME)
    estimate = localizer.estimate(panorama_at(0.5), prior_at(0.0, 0.0, 0.5, sigma_m=0.5))
    assert not estimate.accepted
    assert estimate.rejection
    assert np.isfinite(estimate.covariance).all()


@pytest.mark.parametrize('panorama, said', [
    (np.zeros((64, 128, 3), np.float32), 'uint8'),
    (np.zeros((0, 0, 3), np.uint8), 'shape'),
    (np.zeros((64, 128), np.uint8), 'shape'),
    (np.zeros((64, 128, 4), np.uint8), 'shape'),
    (np.full((64, 64, 3), 9, np.uint8), 'twice as wide'),
    (np.zeros((64, 128, 3), np.uint8), 'black'),
    (None, 'uint8'),
])
def test_bad_panoramas(panorama, said):
    """Each is refused with a sentence."""
    with pytest.raises(ValueError, match=said):
        Localizer(TruthfulNetwork((0, 0)), orthophoto()).estimate(panorama, prior_at(0, 0, 0))


@pytest.mark.parametrize('change, said', [
    ({'latitude_deg': math.nan}, 'latitude'), ({'longitude_deg': 200.0}, 'longitude'),
    ({'sigma_m': 0.0}, 'sigma'), ({'sigma_m': math.inf}, 'sigma'),
    ({'yaw_rad': math.nan}, 'heading'), ({'yaw_sigma_rad': 3.2}, 'heading'),
    ({'yaw_sigma_rad': -0.1}, 'sigma'),
])
def test_bad_priors(change, said):
    """Each is refused with a sentence; a missing heading is named."""
    localizer = Localizer(TruthfulNetwork((0, 0)), orthophoto())
    prior = dataclasses.replace(prior_at(0, 0, 0), **change)
    with pytest.raises(ValueError, match=said):
        localizer.estimate(panorama_at(0.0), prior)


def test_covariances_are_as_the_weights_were_calibrated():
    """Weights that nobody has calibrated claim less."""
    def sigma_m(metadata):
        covariance = Localizer(
            TruthfulNetwork((0.0, 0.0)), orthophoto(), FRAME, metadata=metadata).estimate(
            panorama_at(0.5), prior_at(0.0, 0.0, 0.5)).covariance
        return covariance[0, 0] ** 0.5
    assert sigma_m({}) > 1.0
    assert 0.05 < sigma_m(CALIBRATED) < 0.5
    with pytest.raises(ValueError, match='calibration'):
        Localizer(TruthfulNetwork((0.0, 0.0)), orthophoto(), metadata={'tracker': {}})


def test_a_calibration_that_makes_no_sense_is_refused_with_the_file(tmp_path):
    calibration = Calibration().to_dict() | {'bias_m': 1e-12}
    with_metadata(SHIPPED_WEIGHTS, tmp_path / 'mine.safetensors', {'tracker': calibration})
    with pytest.raises(ValueError, match='mine.safetensors: the calibration .* bias_m = 1e-12'):
        Localizer.load(tmp_path / 'mine.safetensors', device='cpu')


def test_what_cannot_be_loaded():
    """Precision, device, weights and camera are checked before anything else happens."""
    with pytest.raises(ValueError, match='fp8'):
        Localizer.load('weights', orthophoto(), precision='fp8')
    with pytest.raises(ValueError, match='nonsense'):
        usable_device('nonsense')
    with pytest.raises(ValueError, match='no-such-file'):
        Localizer.load('no-such-file.safetensors', orthophoto(), device='cpu')


def test_every_setting_explains_itself():
    """Help text, unit and range are there, and the defaults lie in the range."""
    def check(settings):
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            if dataclasses.is_dataclass(value):
                check(value)
                continue
            low, high = field.metadata['range']
            assert low <= value <= high
            assert field.metadata['help'] and isinstance(field.metadata['unit'], str)
    check(LocalizerSettings())


def test_the_result_is_a_plain_pose():
    """Python floats, so that messages and JSON take them."""
    estimate = Localizer(TruthfulNetwork((0.0, 0.0)), orthophoto(), FRAME).estimate(
        panorama_at(0.5), prior_at(0.0, 0.0, 0.5))
    pose = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
    assert all(type(value) is float for value in (*pose, estimate.latitude_deg))
    assert type(estimate.accepted) is bool


def test_the_packages_own_weights_are_the_default_and_imagery_can_come_later():
    localizer = Localizer.load(device='cpu')
    assert localizer.config.name == 'sim'
    with pytest.raises(ImageryError, match='no aerial imagery was given'):
        localizer.estimate(np.full((64, 128, 3), 9, np.uint8), Prior(47.5, 8.5, 3.0, 0.0, 0.1))

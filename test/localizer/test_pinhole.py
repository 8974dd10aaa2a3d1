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

"""The localizer with a pinhole camera: intrinsics, the turned patch, and all of it undone."""

import dataclasses
import math
from test.helpers.truthful_network import (
    CALIBRATED, FRAME, orthophoto, panorama_at, PINHOLE, pinhole_at, PinholeNetwork, prior_at,
    TruthfulNetwork)

from fg2_ros.geometry.se2 import rotation2, wrap_angle
from fg2_ros.localizer import Localizer, LocalizerSettings, PatchSettings
from fg2_ros.localizer.views import GivenImage, PinholeView
import numpy as np
import pytest
import torch

HW = (60, 320)
CAMERA_K = np.array([[180.0, 0.0, 150.0], [0.0, 140.0, 25.0], [0.0, 0.0, 1.0]])


def estimate_of(localizer, yaw, prior, hw=HW, camera_k=CAMERA_K):
    """Return the estimate for a camera that looks to a yaw."""
    return localizer.estimate(pinhole_at(yaw, camera_k, hw), prior, camera_k)


@pytest.mark.parametrize('yaw', np.linspace(-math.pi, math.pi, 9) + 0.1)
@pytest.mark.parametrize('offset, yaw_error', [
    ((0.0, 0.0), 0.0), ((2.5, -3.1), 0.13), ((-3.0, 2.0), -0.15)])
def test_finds_the_camera_whatever_the_heading(yaw, offset, yaw_error):
    """Place and yaw come out right: turn, crop and scale are undone."""
    place = (5.1, -8.1)  # not halfway between pixels, where OpenCV 4 rounds every colour up
    localizer = Localizer(PinholeNetwork(place), orthophoto(), FRAME)
    prior = prior_at(place[0] + offset[0], place[1] + offset[1], yaw + yaw_error)
    estimate = estimate_of(localizer, yaw, prior)
    assert estimate.accepted, estimate.rejection
    assert (estimate.east_m, estimate.north_m) == pytest.approx(
        place, abs=PINHOLE.cell_m / 4)
    assert abs(np.degrees(wrap_angle(estimate.yaw_rad - yaw))) < 1.5
    np.testing.assert_array_equal(estimate.covariance, estimate.covariance.T)


def test_matches_point_at_the_same_things():
    """The pixel of a match looks towards its place in the aerial image."""
    place, yaw = (4.0, -2.0), 2.2
    image = pinhole_at(yaw, CAMERA_K, HW)
    matches = Localizer(PinholeNetwork(place), orthophoto(), FRAME).estimate(
        image, prior_at(3.0, -1.0, yaw + 0.1), CAMERA_K).matches
    away = matches.aerial_map_m - place
    far = matches.inlier & (np.hypot(*away.T) > 6)
    assert far.sum() > 50
    assert (matches.ground_grid_m[:, 0] < 0).all()
    column, row = matches.panorama_px[far].T
    assert ((0 <= column) & (column < HW[1]) & (row > CAMERA_K[1, 2])).all()  # below the horizon
    colour = image[0, column.astype(int)].astype(float) - 128
    seen = np.arctan2(colour[:, 1], colour[:, 0])
    error = np.degrees(wrap_angle(seen - np.arctan2(away[far, 1], away[far, 0])))
    assert np.median(np.abs(error)) < 4
    assert np.abs(np.mean(error)) < 2


class NoisyNetwork(PinholeNetwork):
    """Matches that err by metres across the optical axis, by decimetres along it."""

    def __init__(self, place, axis_yaw):
        """Say where the optical axis looks."""
        super().__init__(place)
        self.axis_yaw = axis_yaw

    def ground(self, places, visible):
        """Return what `match` needs of ground points at (N, 2) map places."""
        generator = torch.Generator().manual_seed(0)
        along, across = torch.randn(2, len(places), 1, generator=generator)
        axis = torch.tensor([math.cos(self.axis_yaw), math.sin(self.axis_yaw)])
        side = torch.tensor([-math.sin(self.axis_yaw), math.cos(self.axis_yaw)])
        return super().ground(places + 0.1 * along * axis + 1.5 * across * side, visible)


def test_covariance_is_in_map_axes():
    """In the camera's axes it is the same wherever the camera looks, and longer to its side."""
    in_camera_axes = []
    for yaw in (0.0, math.pi / 2, 2.3, -0.8):
        covariance = estimate_of(
            Localizer(
                NoisyNetwork((1.0, 2.0), yaw), orthophoto(), FRAME, metadata=CALIBRATED), yaw,
            prior_at(1.0, 2.0, yaw)).covariance
        turn = np.eye(3)
        turn[:2, :2] = rotation2(-yaw)
        in_camera_axes.append(turn @ covariance @ turn.T)
    for found in in_camera_axes:
        assert found[1, 1] > 2 * found[0, 0]
        scale = np.sqrt(np.outer(np.diag(found), np.diag(found)))
        assert (np.abs(found - in_camera_axes[0]) < 0.4 * scale).all()


def test_the_patch_is_turned_anew_when_the_heading_has_changed_enough():
    """To multiples of a step; its imagery is kept, and so is what was made of it."""
    network, imagery = PinholeNetwork((0.0, 0.0)), orthophoto()
    localizer = Localizer(network, imagery, FRAME, LocalizerSettings(turn_deg=4.0))
    yaw = math.radians(60.0)
    for turn_deg, calls in ((0, 1), (1.5, 1), (-1.5, 1), (4.5, 2), (3.0, 2), (0.2, 2)):
        turned = yaw + math.radians(turn_deg)
        estimate = estimate_of(localizer, turned, prior_at(0.5, 0.0, turned))
        assert estimate.accepted
        assert abs(np.degrees(wrap_angle(estimate.yaw_rad - turned))) < 1.0
        assert network.aerial_calls == calls
    assert imagery.status().hits == 1


def test_a_new_patch_is_described_anew():
    """With the same heading."""
    network = PinholeNetwork((0.0, 0.0))
    localizer = Localizer(
        network, orthophoto(), FRAME, LocalizerSettings(patch=PatchSettings(recentre_m=5.0)))
    for east_m, calls in ((0.0, 1), (4.0, 1), (6.0, 2)):
        network.place = (east_m, 0.0)
        estimate = estimate_of(localizer, 0.7, prior_at(east_m, 0.0, 0.7))
        assert estimate.east_m == pytest.approx(east_m, abs=PINHOLE.cell_m / 4)
        assert network.aerial_calls == calls


def test_the_patch_holds_what_is_seen_of_it_turned():
    """It is north-up and at the network's resolution, as all patches."""
    network = PinholeNetwork((0.0, 0.0))
    patch = estimate_of(
        Localizer(network, orthophoto(), FRAME), 0.8, prior_at(0.0, 0.0, 0.8)).patch
    config = network.config
    assert patch.view.size_m >= config.grid_extent_m * math.sqrt(2)
    assert patch.resolution_m == pytest.approx(config.aerial_resolution_m, rel=1e-12)
    assert patch.image[0, 0, 0] < patch.image[0, -1, 0]  # red grows with east
    assert patch.image[0, 0, 1] > patch.image[-1, 0, 1]  # green grows with north


class GappyImagery:
    """The orthophoto, as imagery that says that parts of each patch are missing."""

    def __init__(self, is_valid):
        """Say what is there, as a function of metres right of and above the patch's centre."""
        self._whole, self._is_valid = orthophoto(), is_valid
        self.status, self.request = self._whole.status, self._whole.request

    def patch(self, *wanted, **options):
        """Return a patch with its mask."""
        patch = self._whole.patch(*wanted, **options)
        axis_m = (np.arange(len(patch.image)) + 0.5) * patch.resolution_m - patch.view.size_m / 2
        return dataclasses.replace(patch, valid=self._is_valid(axis_m, -axis_m[:, None]))


@pytest.mark.parametrize('yaw', [0.0, math.pi / 4, 2.0])
def test_a_hole_in_what_is_seen_of_the_patch_rejects(yaw):
    """Of the patch it is less than half, of the part of it that is cut out it is more."""
    imagery = GappyImagery(lambda right, up: np.maximum(np.abs(right), np.abs(up)) > 11.2)
    localizer = Localizer(PinholeNetwork((0.0, 0.0)), imagery, FRAME)
    estimate = estimate_of(localizer, yaw, prior_at(0.0, 0.0, yaw))
    assert estimate.patch.valid_share > 0.6
    assert not estimate.accepted
    assert 'of the aerial patch shows imagery' in estimate.rejection


def test_gaps_that_are_not_seen_do_not_reject():
    """The corners that are cut off when the patch is turned by half a quarter."""
    imagery = GappyImagery(lambda right, up: np.abs(right) + np.abs(up) < 19.7)
    localizer = Localizer(PinholeNetwork((0.0, 0.0)), imagery, FRAME)
    for yaw in (math.pi / 4, 0.0):
        estimate = estimate_of(localizer, yaw, prior_at(0.0, 0.0, yaw))
        assert estimate.patch.valid_share < 0.5
        assert estimate.accepted, estimate.rejection


def test_a_yaw_outside_the_gate_is_rejected():
    """However the patch was turned."""
    localizer = Localizer(PinholeNetwork((0.0, 0.0)), orthophoto(), FRAME)
    estimate = estimate_of(localizer, 1.0, prior_at(0.0, 0.0, 1.4, yaw_sigma_rad=0.05))
    assert not estimate.accepted


def test_intrinsics_follow_the_image_to_the_network():
    """The published network's, for a KITTI image; axes are scaled each on its own."""
    given_k = np.array([[721.5377, 0, 609.5593], [0, 721.5377, 172.854], [0, 0, 1]])
    given = GivenImage(np.ones((375, 1242, 3), np.uint8), given_k)
    view = PinholeView.of(given, (364, 1232), 'bilinear', 0.0)
    expected = [[715.72821, 0, 604.65143], [0, 700.37262, 167.78362], [0, 0, 1]]
    np.testing.assert_allclose(view.camera_k, expected, rtol=1e-6)
    assert view.image.shape == (364, 1232, 3)
    straight_ahead = np.array([[-10.0, 0.0], [-10.0, 5.0]])
    np.testing.assert_allclose(
        view.given_pixels(straight_ahead, np.array([0.0, -2.0])),
        [[609.5593, 172.854], [609.5593 + 721.5377 / 2, 172.854 + 721.5377 / 5]])


@pytest.mark.parametrize('camera_k, said', [
    (None, 'intrinsics are needed'),
    (np.eye(4), r'\(3, 3\)'), (np.full((3, 3), math.nan), 'finite'),
    (np.array([['a'] * 3] * 3), r'\(3, 3\)'),
    (np.diag([0.0, 100.0, 1.0]), 'focal lengths'), (np.diag([100.0, 100.0, 0.0]), 'last row'),
    (np.zeros((3, 3)), 'none of a pinhole camera')])
def test_bad_intrinsics(camera_k, said):
    """Each is refused with a sentence."""
    localizer = Localizer(PinholeNetwork((0.0, 0.0)), orthophoto(), FRAME)
    with pytest.raises(ValueError, match=said):
        localizer.estimate(np.full((*HW, 3), 9, np.uint8), prior_at(0, 0, 0), camera_k)


@pytest.mark.parametrize('image, said', [
    (np.zeros((*HW, 3), np.uint8), 'image is black'), (np.ones(HW, np.uint8), 'shape'),
    (np.ones((*HW, 3)), 'uint8')])
def test_bad_images(image, said):
    """Each is refused with a sentence; any shape is fine."""
    localizer = Localizer(PinholeNetwork((0.0, 0.0)), orthophoto(), FRAME)
    with pytest.raises(ValueError, match=said):
        localizer.estimate(image, prior_at(0, 0, 0), CAMERA_K)


def test_panoramas_have_no_intrinsics():
    """Who gives some has the wrong weights."""
    with pytest.raises(ValueError, match='the weights are for panoramas'):
        Localizer(TruthfulNetwork((0.0, 0.0)), orthophoto(), FRAME).estimate(
            panorama_at(1.0), prior_at(0.0, 0.0, 1.0), CAMERA_K)


def test_a_pinhole_camera_needs_a_heading():
    """To turn the patch to."""
    localizer = Localizer(PinholeNetwork((0.0, 0.0)), orthophoto(), FRAME)
    unknown = dataclasses.replace(prior_at(0.0, 0.0, 0.0), yaw_rad=math.nan)
    with pytest.raises(ValueError, match='no heading'):
        estimate_of(localizer, 0.0, unknown)

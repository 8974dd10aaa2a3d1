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

"""No heading: a first run on the panorama finds it, a second one the pose."""

import dataclasses
import math
from test.helpers.truthful_network import (
    CONFIG, FRAME, orthophoto, panorama_at, PINHOLE, PinholeNetwork, prior_at, TruthfulNetwork)

from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.localizer import Localizer, LocalizerSettings
import numpy as np
import pytest
import torch

PLACE = (4.0, -3.0)
NO_HEADING = ((math.nan, 0.1), (math.nan, math.nan), (math.inf, 0.1), (1.3, math.pi),
              (1.3, math.inf), (1.3, math.nan))


class AlignedNetwork(TruthfulNetwork):
    """Blind unless the panorama is rolled to north within 15 degrees."""

    def ground_descriptors(self, image):
        """Return the ground points' places, or none."""
        centre = image.shape[-1] // 2
        colour = image[0, :2, :, centre - 1:centre + 1].mean((1, 2)) - 128 / 255
        bearing = math.pi / 2 - torch.atan2(colour[1], colour[0])
        found = super().ground_descriptors(image)
        if abs(wrap_angle(float(bearing))) > math.radians(15):
            found.descriptors += 1e4
        return found


class BiasedNetwork(TruthfulNetwork):
    """Sees the panorama turned: all headings come out wrong by as much."""

    def __init__(self, place, error_rad):
        """Say by how much."""
        super().__init__(place)
        self.error_px = round(error_rad / (2 * math.pi) * CONFIG.ground_image_hw[1])

    def ground_tokens(self, image):
        """Return the turned image."""
        return image.roll(self.error_px, dims=-1)


class BlindNetwork(TruthfulNetwork):
    """No match has any probability."""

    def match(self, aerial, ground):
        """Return equal scores."""
        found = super().match(aerial, ground)
        found.scores.zero_()
        found.probabilities.zero_()
        return found


def localizer(network, orientation, **settings):
    """Return a localizer of stubs."""
    return Localizer(
        network, orthophoto(), FRAME, LocalizerSettings(**settings), orientation=orientation)


def prior(yaw_rad=math.nan, yaw_sigma_rad=math.pi):
    """Return a prior that is some metres wrong."""
    return prior_at(PLACE[0] + 2.0, PLACE[1] - 1.5, yaw_rad, yaw_sigma_rad=yaw_sigma_rad)


@pytest.mark.parametrize('yaw', np.linspace(-math.pi, math.pi, 13) + 0.03)
@pytest.mark.parametrize('files', ['one', 'two'])
def test_every_heading_is_found(yaw, files):
    """By one network, or by one for the heading and one that needs it."""
    orientation = TruthfulNetwork(PLACE)
    network = orientation if files == 'one' else AlignedNetwork(PLACE)
    estimate = localizer(network, orientation).estimate(panorama_at(yaw), prior())
    assert estimate.accepted, estimate.rejection
    assert (estimate.east_m, estimate.north_m) == pytest.approx(PLACE, abs=0.2)
    assert abs(np.degrees(wrap_angle(estimate.yaw_rad - yaw))) < 1.0
    assert estimate.timings_ms['heading'] > 0
    assert estimate.timings_ms['total'] >= sum(
        time for name, time in estimate.timings_ms.items() if name != 'total') - 1e-6


@pytest.mark.parametrize('yaw_rad, sigma_rad', NO_HEADING)
def test_what_counts_as_no_heading(yaw_rad, sigma_rad):
    """Refused without a network for it, found with one, whatever the prior's number is."""
    network = AlignedNetwork(PLACE)
    without = prior(yaw_rad, sigma_rad)
    with pytest.raises(ValueError, match='no heading'):
        localizer(network, None).estimate(panorama_at(2.0), without)
    estimate = localizer(network, TruthfulNetwork(PLACE)).estimate(panorama_at(2.0), without)
    assert estimate.accepted, estimate.rejection


def test_a_known_heading_needs_no_first_run():
    """The network for headings is not even asked for aerial features."""
    orientation = TruthfulNetwork(PLACE)
    estimate = localizer(AlignedNetwork(PLACE), orientation).estimate(
        panorama_at(2.0), prior(2.1, 0.1))
    assert estimate.accepted
    assert 'heading' not in estimate.timings_ms
    assert orientation.aerial_calls == 0


def test_one_network_describes_the_patch_once():
    """For both runs; two networks do it once each."""
    network, other = TruthfulNetwork(PLACE), TruthfulNetwork(PLACE)
    localizer(network, network).estimate(panorama_at(2.0), prior())
    assert network.aerial_calls == 1
    localizer(network, other).estimate(panorama_at(2.0), prior())
    assert (network.aerial_calls, other.aerial_calls) == (2, 1)


def test_no_pose_in_the_first_run_is_a_rejection():
    """With a sentence, and nothing is known of the pose."""
    estimate = localizer(TruthfulNetwork(PLACE), BlindNetwork(PLACE)).estimate(
        panorama_at(2.0), prior())
    assert not estimate.accepted
    assert estimate.rejection == (
        'there is no heading, and none was found: no pose near the prior agrees with the matches')
    assert estimate.covariance[0, 0] > 1e5
    assert 'heading' in estimate.timings_ms


@pytest.mark.parametrize('error_deg', [-150, -60, 45, 90, 180])
def test_the_runs_must_agree(error_deg):
    """A second run that finds another heading than the first is not believed."""
    orientation = BiasedNetwork(PLACE, math.radians(error_deg))
    estimate = localizer(TruthfulNetwork(PLACE), orientation).estimate(panorama_at(1.0), prior())
    assert not estimate.accepted
    assert not estimate.rejection.startswith('there is no heading')


def test_a_heading_that_is_a_little_wrong_is_corrected():
    """By the second run, within what the setting allows."""
    orientation = BiasedNetwork(PLACE, math.radians(11))
    estimate = localizer(TruthfulNetwork(PLACE), orientation).estimate(panorama_at(1.0), prior())
    assert estimate.accepted, estimate.rejection
    assert abs(np.degrees(estimate.yaw_rad - 1.0)) < 1.0
    strict = localizer(TruthfulNetwork(PLACE), orientation, found_heading_sigma_deg=0.5)
    assert not strict.estimate(panorama_at(1.0), prior()).accepted


def test_a_position_must_still_be_known():
    """Without a heading as with one."""
    nowhere = dataclasses.replace(prior(), sigma_m=math.nan)
    with pytest.raises(ValueError, match='position'):
        localizer(TruthfulNetwork(PLACE), TruthfulNetwork(PLACE)).estimate(
            panorama_at(1.0), nowhere)


def test_headings_are_found_in_panoramas_only():
    """A pinhole network sees a part of the surroundings, for which the patch must be turned."""
    for networks in ((PinholeNetwork(PLACE), TruthfulNetwork(PLACE)),
                     (TruthfulNetwork(PLACE), PinholeNetwork(PLACE))):
        with pytest.raises(ValueError, match='in panoramas only'):
            localizer(*networks)
    with pytest.raises(ValueError, match='no heading'):
        localizer(PinholeNetwork(PLACE, PINHOLE), None).estimate(
            panorama_at(1.0), prior(), np.diag([100.0, 100.0, 1.0]))

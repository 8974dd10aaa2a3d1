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

"""What an observer says of poses, with networks that know the truth."""

import math
from test.helpers.truthful_network import (
    CONFIG, FRAME, orthophoto, panorama_at, PINHOLE, pinhole_at, PinholeNetwork, TruthfulNetwork)
import weakref

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import ImageryError, ImageryNotReady
from fg2_ros.localizer import Localizer
from fg2_ros.localizer.matcher import Matcher
from fg2_ros.tracker.inputs import SearchPlan
import numpy as np
import pytest

CAMERA_K = np.array([[64.0, 0, 80], [0, 64.0, 20], [0, 0, 1]])
STEP_RAD = math.radians(2.0)
NOWHERE = Pose2(0.0, 0.0, 0.0)

pytestmark = pytest.mark.usefixtures('one_thread')


def grid_at(east_m, north_m, yaw_rad, cell_m=CONFIG.cell_m, parts=2, reach=6, headings=4):
    """Return a grid around a pose."""
    return PoseGrid(
        Pose2(east_m, north_m, yaw_rad), cell_m / parts, STEP_RAD,
        (2 * headings + 1, 2 * reach + 1, 2 * reach + 1))


def observed(network, grids, image, camera_k=None):
    """Return the volumes of an image."""
    localizer = Localizer(network, orthophoto(), FRAME)
    return localizer.observe(image, SearchPlan(tuple(grids)), NOWHERE, camera_k).volumes


@pytest.mark.parametrize('yaw', [0.3, -2.9, 3.1])
def test_the_peak_is_the_camera(yaw):
    """In the axes of the map, wherever the camera looks and wherever the grid is."""
    volume, = observed(
        TruthfulNetwork((4.0, -7.0)), [grid_at(4.9, -8.1, yaw + 0.05)], panorama_at(yaw))
    pose, _ = volume.peak()
    assert pose[:2] == pytest.approx((4.0, -7.0), abs=0.8)
    assert abs(wrap_angle(pose.yaw - yaw)) < math.radians(3.0)


@pytest.mark.parametrize('yaw', [0.3, 1.5, -2.2])
def test_the_peak_is_a_pinhole_camera_too(yaw):
    """The patch is turned to its heading, and the values are turned back."""
    volume, = observed(
        PinholeNetwork((4.0, -7.0)), [grid_at(4.9, -8.1, yaw + 0.05, PINHOLE.cell_m)],
        pinhole_at(yaw, CAMERA_K, (40, 160)), CAMERA_K)
    pose, _ = volume.peak()
    assert pose[:2] == pytest.approx((4.0, -7.0), abs=1.2)
    assert abs(wrap_angle(pose.yaw - yaw)) < math.radians(4.0)


def test_grids_can_be_compared():
    """Of four headings and two places the right ones have the greatest likelihood."""
    grids = [grid_at(4.0 + east_m, -7.0, 0.3 + turn) for east_m in (0.0, 25.0)
             for turn in (0.0, math.pi / 2, math.pi, -math.pi / 2)]
    best = [volume.peak()[1] for volume in observed(
        TruthfulNetwork((4.0, -7.0)), grids, panorama_at(0.3))]
    assert int(np.argmax(best)) == 0
    assert best[0] > 2 * max(best[1:])


def test_one_view_serves_all_grids_at_one_heading_and_patch():
    """The aerial patch is described once; a fine and a wide grid get the same."""
    network = TruthfulNetwork((4.0, -7.0))
    fine, wide = observed(
        network, [grid_at(4.0, -7.0, 0.3), grid_at(4.0, -7.0, 0.3, parts=1, reach=3)],
        panorama_at(0.3))
    assert network.aerial_calls == 1
    np.testing.assert_allclose(fine.values[:, ::2, ::2], wide.values, rtol=1e-4, atol=1e-3)


class PatchyImagery:
    """Imagery that is there east of a meridian only."""

    def __init__(self, east_m, problem=ImageryError('there is none')):
        """Have none west of it."""
        self.east_m, self.problem, self.whole = east_m, problem, orthophoto()

    def patch(self, view, **how):
        """Return a patch, or say that there is none."""
        if view.centre_m[0] < self.east_m:
            raise self.problem
        return self.whole.patch(view, **how)

    def stats(self):
        """Return that nothing is under way."""
        return {'pending': 0}


def test_nothing_is_said_where_there_is_no_imagery():
    """Only where there is none at all this is an error."""
    plan = SearchPlan((grid_at(-20.0, 0.0, 0.3), grid_at(4.0, -7.0, 0.3)))
    network = TruthfulNetwork((4.0, -7.0))
    observation = Localizer(network, PatchyImagery(0.0), FRAME).observe(
        panorama_at(0.3), plan, NOWHERE)
    assert observation.volumes[0] is None
    assert observation.known == observation.volumes[1:]
    with pytest.raises(ImageryError):
        Localizer(network, PatchyImagery(50.0), FRAME).observe(panorama_at(0.3), plan, NOWHERE)


def test_nothing_is_said_before_all_imagery_is_there():
    """A place whose imagery came sooner must not win by that."""
    plan = SearchPlan((grid_at(-20.0, 0.0, 0.3), grid_at(4.0, -7.0, 0.3)))
    network = TruthfulNetwork((4.0, -7.0))
    localizer = Localizer(network, PatchyImagery(0.0, ImageryNotReady('on its way')), FRAME)
    with pytest.raises(ImageryNotReady):
        localizer.observe(panorama_at(0.3), plan, NOWHERE)
    assert network.aerial_calls == 1  # the other place is described already


def test_steps_must_be_parts_of_a_cell():
    """Others would have to be interpolated."""
    with pytest.raises(ValueError, match='cell'):
        observed(
            TruthfulNetwork((0.0, 0.0)), [grid_at(0.0, 0.0, 0.0, parts=1.5)], panorama_at(0.0))


def test_a_wide_search_needs_the_memory_of_few_grids(monkeypatch):
    """What a network makes of an image is dropped once no neighbouring grid needs it."""
    alive, most, compared = weakref.WeakSet(), [], Matcher.likelihood

    def counted(*views):
        found = compared(*views)
        alive.add(found)
        most.append(len(alive))
        return found
    monkeypatch.setattr(Matcher, 'likelihood', counted)
    volumes = observed(
        TruthfulNetwork((4.0, -7.0)), [grid_at(4.0, -7.0, yaw) for yaw in np.arange(0, 6, 0.2)],
        panorama_at(0.3))
    assert len(most) == len(volumes) == 30
    assert max(most) <= 10

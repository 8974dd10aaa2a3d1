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
import json
import math
from pathlib import Path
import shutil
from types import SimpleNamespace

from test.helpers.recorded_drive import record, SIGMA_M, SIGMA_RAD

from fg2_ros.commands import main
from fg2_ros.datasets.drives import SensorReadings
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.drives import recorded
from fg2_ros.evaluation.drives.faults import FAULTS, faulty
from fg2_ros.evaluation.drives.figures import trust_metrics
from fg2_ros.evaluation.drives.recorded import drive_runs, RecordedSources, Run, runs_of
from fg2_ros.evaluation.drives.rendered import DriveSpec, RenderedDrive, stream_of
from fg2_ros.evaluation.drives.settings import FaultSettings, OF_CITIES, RecordedSettings
from fg2_ros.evaluation.drives.sources import RecordedDrives
from fg2_ros.evaluation.drives.stream import CameraFrame, Sigma
from fg2_ros.evaluation.drives.vehicle import single_prior, Vehicle
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import PatchView
from fg2_ros.tracker.inputs import Fix, Observation, Odometry
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


class Reader:
    """
    Stands in for a localizer: reads off an image which one it is, and errs as the ground has it.

    :param stream: whose truth it knows.
    """

    config, map_frame = SimpleNamespace(cell_m=1.1), None
    metadata = {METADATA_KEY: replace(Calibration(), odds_begin=10.0).to_dict()}

    def __init__(self, stream, imagery):
        """Know the truth."""
        self._stream, self._imagery = stream, imagery

    def camera(self, image) -> Pose2:
        """Return where an image was taken, off by up to a metre as the colours of the ground."""
        index = round((float(image[24:40, 32:96].mean()) - FIRST_GREY) / GREY_STEP)
        camera = self._stream.shots[index].truth.compose(self._stream.base_from_camera)
        patch = self._imagery.patch(PatchView(self.map_frame, camera[:2], 8.0, 32))
        red, green, _ = (patch.image.mean((0, 1)) - 128) / 48
        return Pose2(camera.x + red, camera.y + green, camera.yaw)

    def observe(self, image, plan, base_from_camera):
        """Return likelihoods around the place."""
        x, y, yaw = self.camera(image)
        volumes = []
        for look in plan.looks:
            grid = look.grid
            away = np.square(grid.easts_m - x) + np.square(grid.norths_m - y)[:, None]
            turn = wrap_angle(grid.middle.yaw + grid.turns_rad - yaw)
            volumes.append(PoseVolume(grid, (30 * np.exp(
                -away / 4 - np.square(turn / 0.1)[:, None, None])).astype(np.float32)))
        return Observation(tuple(volumes), base_from_camera)

    def estimate(self, image, prior):
        """Return the place."""
        x, y, yaw = self.camera(image)
        return SimpleNamespace(accepted=True, east_m=x, north_m=y, yaw_rad=yaw,
                               covariance=np.diag([0.3, 0.3, 0.001]))


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
    vehicle = Vehicle(Reader(first, imagery), imagery)
    driven = [vehicle.drive('one', each) for each in (first, recorded.stream_of(only(data_set)))]
    for image, other in zip(*(each.images for each in driven), strict=True):
        assert image.time_s == pytest.approx(other.time_s, abs=1e-6)
        assert (image.silence, image.sentences) == (other.silence, other.sentences)
        for name in ('track', 'measurement', 'single'):
            claim, found = getattr(image, name), getattr(other, name)
            assert (claim is None) == (found is None)
            if claim:
                assert math.dist(claim.pose[:2], found.pose[:2]) < 0.05
                np.testing.assert_allclose(claim.covariance, found.covariance, rtol=0.05, atol=1e-6)
    known, found = (trust_metrics([each]) for each in driven)
    assert known['published'] > 20 and known['median_error_m'] > 0.05
    for name, value in known.items():
        if isinstance(value, float) and 'anees' not in name:
            assert found[name] == pytest.approx(value, abs=0.03), name
    assert found['ekf']['gnss_median_rmse_m'] == pytest.approx(
        known['ekf']['gnss_median_rmse_m'], abs=1e-3)
    assert found['ekf']['median_rmse_m'] == pytest.approx(
        known['ekf']['median_rmse_m'], abs=0.02)

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

"""The figures of drives whose errors have a known distribution."""

from dataclasses import replace
import json

from fg2_ros.evaluation.drives.figures import recovered_after_s, trust_metrics
from fg2_ros.evaluation.drives.results import Claim, DriveResult, FilterResult, ImageResult
from fg2_ros.geometry.se2 import Pose2
import numpy as np
import pytest

COVARIANCE = np.array([[0.5, 0.2, 0.01], [0.2, 0.3, 0.0], [0.01, 0.0, 0.002]])
TRUTH = Pose2(10.0, -4.0, 3.1)


def off(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Claim:
    """Return a claim that is wrong by so much."""
    return Claim(Pose2(TRUTH.x + x, TRUTH.y + y, TRUTH.yaw + yaw), COVARIANCE)


def image(time_s: float, claim: Claim | None) -> ImageResult:
    """Return an image with the same pose everywhere."""
    return ImageResult(time_s, TRUTH, claim, claim, claim)


def drive(claims, fault_s=None) -> DriveResult:
    """Return a drive with an image a second."""
    return DriveResult(7, tuple(image(float(k), claim) for k, claim in enumerate(claims)),
                       fault_s)


def test_gaussian_errors_are_covered_as_they_should_be():
    """Ellipses hold their share, and ANEES is 1, where errors are as they are claimed."""
    errors = np.random.default_rng(0).multivariate_normal(np.zeros(3), COVARIANCE, 4000)
    found = trust_metrics([drive([off(*error) for error in errors])])
    assert found['anees_track'] == pytest.approx(1.0, abs=0.04)
    assert found['anees_pose'] == found['single_frame']['anees'] == found['anees_track']
    for percent in (50, 90, 95, 99):
        assert found[f'coverage_{percent}'] == pytest.approx(percent / 100, abs=0.025)
    worst_axis = np.sqrt(np.linalg.eigvalsh(COVARIANCE[:2, :2])[-1])
    assert found['median_sigma_m'] == pytest.approx(worst_axis)


def test_errors_are_those_of_the_published():
    """Rejection is not an error, but it counts as a frame."""
    found = trust_metrics([drive([None, off(1.0), off(3.0), off(0.0, 6.0)])])
    assert (found['frames'], found['published']) == (4, 3)
    assert found['published_share'] == 0.75
    assert found['published_after_3s'] == 1.0
    assert found['median_error_m'] == pytest.approx(3.0)
    assert found['mean_error_m'] == pytest.approx(10 / 3)
    assert found['over_2m'] == pytest.approx(2 / 3)
    assert found['over_5m'] == pytest.approx(1 / 3)
    assert found['wrong_published'] == 0.25
    assert found['time_to_first_pose_s'] == 1.0


@pytest.mark.parametrize('claim, wrong', [
    (off(4.9), 0.0), (off(5.1), 1.0), (off(yaw=np.radians(19)), 0.0),
    (off(yaw=np.radians(-21)), 1.0), (off(np.nan), 1.0), (off(yaw=2 * np.pi), 0.0)])
def test_wrong_is_5_m_or_20_degrees(claim, wrong):
    """Either is enough; angles are taken the short way around."""
    assert trust_metrics([drive([claim])])['wrong_published'] == wrong


def test_a_wrong_measurement_is_published_wrongly_too():
    """An image counts once, whichever of its two poses is wrong."""
    half = replace(image(0.0, off()), measurement=off(9.0))
    found = trust_metrics([DriveResult(1, (half,))])
    assert found['wrong_published'] == 1.0
    assert found['over_5m'] == 0.0


def test_nothing_published_has_no_errors():
    """There is nothing to average."""
    found = trust_metrics([drive([None, None])])
    assert found['published'] == 0
    assert found['wrong_published'] == 0.0
    assert found['median_error_m'] is found['anees_track'] is found['coverage_95'] is None
    assert found['time_to_first_pose_s'] is None


@pytest.mark.parametrize('claims, seconds', [
    ([off(), off(), None, off(), off()], 1.0),  # silent, then right
    ([off(), off(), off(), off(8.0), off()], 2.0),  # right by chance, then wrong
    ([off(), off(), None, None, None], np.inf),
    ([off(), off(9.0), off(), off(), off()], 0.0)])  # wrong before it happened
def test_recovery_counts_from_the_fault_to_lasting_truth(claims, seconds):
    """A pose that is right by chance, before wrong ones, is no recovery."""
    assert recovered_after_s(drive(claims, fault_s=2.0)) == seconds


def test_times_are_medians_over_drives_and_none_if_most_never_came():
    """A drive without a pose took for ever."""
    late, soon, never = drive([None, None, off()]), drive([off()]), drive([None])
    assert trust_metrics([late, soon, late])['time_to_right_pose_s'] == 2.0
    assert trust_metrics([soon, never, never])['time_to_right_pose_s'] is None
    assert trust_metrics([soon, never])['right_within_5s'] == 0.5


def test_filters_are_compared_drive_by_drive():
    """A filter that never started is not compared."""
    better = DriveResult(1, (image(0.0, off()),), None, FilterResult(0.5, 3.0, 1.2))
    worse = DriveResult(2, (image(0.0, off()),), None, FilterResult(4.0, 3.0, 0.8))
    silent = DriveResult(3, (image(0.0, None),))
    found = trust_metrics([better, worse, silent])['ekf']
    assert (found['drives'], found['better_than_gnss']) == (2, 0.5)
    assert found['anees'] == pytest.approx(1.0)
    assert found['by_drive']['3']['rmse_m'] is None


def test_sentences_are_counted_whatever_their_numbers():
    """The first of them stands for all."""
    images = tuple(ImageResult(float(k), TRUTH, rejection='start',
                               sentences=(f'only {k} of 12 images yet',)) for k in range(3))
    found = trust_metrics([DriveResult(1, images)])
    assert found['sentences'] == {'only 0 of 12 images yet': 3}
    assert found['silences'] == {'start': 3}
    assert found['sentence_within_5s'] == 0.0
    doubted = replace(images[1], rejection='agreement')
    assert trust_metrics([DriveResult(1, (*images, doubted))])['sentence_within_5s'] == 1.0


def test_a_drive_survives_json():
    """Also what is missing and what is not a number."""
    before = DriveResult(4, (replace(image(0.5, off(1.0)), mass=0.97, sentences=('a', 'b')),
                             image(1.0, None)), 2.0, FilterResult(1.0, 2.0, None))
    after = DriveResult.from_json(json.loads(json.dumps(before.as_json(), allow_nan=False)))
    assert after.as_json() == before.as_json()
    assert after.images[0].mass == 0.97
    assert np.isnan(after.images[1].mass)
    assert after.images[0].track.pose == before.images[0].track.pose
    assert np.array_equal(after.images[0].track.covariance, COVARIANCE)
    assert after.images[0].sentences == ('a', 'b')
    assert after.images[1].track is None
    assert after.ekf == before.ekf

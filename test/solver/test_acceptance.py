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

"""Each reason to reject an estimate, one at a time."""

from dataclasses import fields, replace

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.solver.acceptance import AcceptanceSettings, Candidate, rejection_of
import numpy as np
import pytest

GOOD = Candidate(
    True, inliers=400, matches=1000, from_prior=Pose2(1.0, -1.0, 0.02), from_patch_m=(3.0, -3.0),
    covariance=np.diag([0.1, 0.2, 1e-4]))


@pytest.mark.parametrize('change, reason', [
    ({}, ''),
    ({'ok': False}, 'no pose near the prior'),
    ({'inliers': 20}, 'only 20 matches agree'),
    ({'inliers': 100}, 'only 10% of the matches'),
    ({'from_prior': Pose2(9.0, 0.0, 0.0)}, '9.0 m from the prior'),
    ({'from_prior': Pose2(0.0, 0.0, -0.5)}, '28.6 degrees from the prior'),
    ({'from_patch_m': (0.0, -31.0)}, 'outside the aerial patch'),
    ({'covariance': np.diag([0.1, 40.0, 1e-4])}, 'uncertain by 6.3 m'),
    ({'covariance': np.diag([0.1, 0.1, 0.1])}, 'yaw is uncertain by 18.1 degrees'),
    ({'covariance': np.diag([0.1, np.nan, 0.1])}, 'uncertain'),
    ({'valid_share': 0.4}, 'only 40% of the aerial patch'),
])
def test_reasons(change, reason):
    """The sentence says what was found and what is allowed."""
    said = rejection_of(replace(GOOD, **change), AcceptanceSettings(), 2.0, 0.1, 56.0)
    assert said.startswith(reason) if not reason else reason in said


def test_every_setting_explains_itself():
    """Each field has a help text, and its default lies in its range."""
    for field in fields(AcceptanceSettings):
        low, high = field.metadata['range']
        assert low <= field.default <= high
        assert field.metadata['help'].endswith('.')

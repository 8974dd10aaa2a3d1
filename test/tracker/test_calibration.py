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

"""Calibrations travel in the metadata of weights."""

from dataclasses import replace

from fg2_ros.tracker.settings import Calibration
import pytest


def test_goes_into_metadata_and_back():
    """What is written is what is read."""
    found = replace(Calibration(), temper=1.25, bias_m=0.2, fitted_on='cities 1008-1039')
    assert Calibration.of({'tracker': found.to_dict(), 'other': 1}) == found


def test_weights_without_one_are_trusted_less():
    """The defaults claim uncertainties that no calibration of a good network reaches."""
    assert Calibration.of({}) == Calibration()
    assert Calibration.of({}).bias_m >= 1.0
    assert not Calibration.of({}).fitted_on
    for strength in (0.0, 20.0, 1000.0):  # also where images match strongly: nobody knows how well
        east, north, _ = Calibration.of({}).bias(strength).diagonal() ** 0.5
        assert min(east, north) == pytest.approx(1.5)


def test_weights_that_learnt_more_keep_their_odds_alone():
    """How far they err now, nobody knows."""
    known = Calibration(odds_shortfall=38.0, resemblance=10.5, temper=1.0, bias_m=0.2,
                        measurement_bias_deg=0.1, fitted_on='streets')
    assert known.with_caution() == Calibration(odds_shortfall=38.0, resemblance=10.5)


@pytest.mark.parametrize(('change', 'named'), [
    ({'temper': 0.0}, 'temper'), ({'temper': float('nan')}, 'temper'), ({'bias_m': '1'}, 'bias_m'),
    ({'nothing_share': 1.5}, 'nothing_share'), ({'bias_deg': True}, 'bias_deg'),
    ({'temper': 1e-12}, 'temper'), ({'temper': 1e12}, 'temper'), ({'bias_m': -1.0}, 'bias_m'),
    ({'measurement_bias_m': 1e-12}, 'measurement_bias_m'), ({'strength': 10 ** 400}, 'strength'),
    ({'memory_m': 1e308}, 'memory_m'), ({'odds_gain': 0.0}, 'odds_gain'),
    ({'fitted_on': 3}, 'fitted_on'), ({'unheard_of': 1.0}, 'unheard_of')])
def test_nonsense_is_refused_by_name(change, named):
    """The sentence names the value."""
    with pytest.raises(ValueError, match=named):
        Calibration.of({'tracker': Calibration().to_dict() | change})


def test_a_calibration_that_is_no_table_is_refused():
    """So is one with a value missing."""
    with pytest.raises(ValueError, match='table'):
        Calibration.of({'tracker': [1, 2]})
    values = Calibration().to_dict()
    del values['odds_gain']
    with pytest.raises(ValueError, match='odds_gain'):
        Calibration.of({'tracker': values})

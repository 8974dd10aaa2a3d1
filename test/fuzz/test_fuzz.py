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

"""
Damaged and malicious inputs end with a sentence, within 10 s and 2 GB.

Each run of the tests takes the same few inputs of each kind. By hand::

    FG2_FUZZ_RUNS=5000 FG2_FUZZ_FIRST=1000 python -m pytest test/fuzz -k 'gpx or mbtiles'

takes others, as many as one likes. Inputs that fail are kept in the folder `FG2_FUZZ_KEEP`.
"""

import os
from pathlib import Path
from test.fuzz.kinds import KINDS
from test.fuzz.pool import saved

import pytest

FEW = {'mbtiles': 12, 'tile answer': 12, 'weights': 20}  # of what takes longer than the rest
FIRST = int(os.environ.get('FG2_FUZZ_FIRST', 0))


@pytest.mark.parametrize('name', KINDS)
def test_whatever_comes_ends_with_a_sentence(pool, tallies, tmp_path, name):
    runs = int(os.environ.get('FG2_FUZZ_RUNS', FEW.get(name, 30)))
    tally = tallies[name] = pool.run(name, range(FIRST, FIRST + runs))
    folder = Path(os.environ.get('FG2_FUZZ_KEEP', tmp_path))
    found = [f'{saved(name, number, folder)}: {text}' for number, text in tally.findings]
    assert tally.runs == runs
    assert not found, '\n'.join(found)


@pytest.mark.parametrize('name', KINDS)
def test_what_is_changed_is_good_before(pool, name):
    """Else all changes would be in vain."""
    count = len(KINDS[name].seeds())
    assert pool.run(name, range(-count, 0)).outcomes == {'ok': count}


@pytest.mark.parametrize('name', KINDS)
def test_inputs_are_the_same_each_time_and_differ(name):
    kind = KINDS[name]
    assert kind.case(name, 5) == kind.case(name, 5)
    assert len({kind.case(name, number) for number in range(6)}) > 3

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

"""The table of what was fuzzed, at the end of the tests."""

from test.fuzz.pool import Pool, table, Tally

import pytest

_TALLIES = pytest.StashKey[dict[str, Tally]]()


@pytest.fixture(scope='session')
def pool():
    """Return what uses changed inputs, in a process of its own."""
    running = Pool()
    yield running
    running.close()


@pytest.fixture
def tallies(request):
    """Return the results by kind, to be added to."""
    return request.config.stash.setdefault(_TALLIES, {})


def pytest_terminal_summary(terminalreporter, config):
    """Print the table."""
    found = config.stash.get(_TALLIES, {})
    if found:
        terminalreporter.section('fuzzed inputs')
        for line in table(found):
            terminalreporter.write_line(line)

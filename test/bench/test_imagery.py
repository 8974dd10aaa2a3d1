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

"""The benchmark of aerial patches runs and counts what it says."""

from fg2_ros.bench import imagery as bench
from fg2_ros.imagery.stores.opening import open_local
import pytest


def test_every_kind_of_source_is_timed():
    pytest.importorskip('pmtiles')
    pytest.importorskip('rasterio')
    timings = bench.imagery_timings(repeat=2)
    assert set(timings) == {
        'warm patch', 'local MBTiles patch', 'local PMTiles patch', 'local COG patch',
        'local sheets patch'}
    assert all(value > 0 for value in timings.values())


def test_local_files_are_timed_on_ground_that_is_not_in_memory(monkeypatch):
    opened = []

    def opening(path):
        opened.append(open_local(path))
        return opened[-1]

    monkeypatch.setattr(bench, 'open_local', opening)
    monkeypatch.setattr(bench, 'find_spec', lambda name: None)
    bench.imagery_timings(repeat=4)
    status = opened[0].status()
    assert len(opened) == 1 and status.hits < status.misses / 8 and not status.errors


def test_without_the_packages_their_files_are_left_out(monkeypatch):
    monkeypatch.setattr(bench, 'find_spec', lambda name: None)
    assert set(bench.imagery_timings(repeat=1)) == {'warm patch', 'local MBTiles patch'}


def test_timing_nothing_is_refused():
    with pytest.raises(ValueError, match='a patch to be timed'):
        bench.imagery_timings(0)

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

"""Prefetching called as a library: no command, no bar, no question."""

from fg2_ros.prefetch.job import download, plan_prefetch
from fg2_ros.prefetch.routes import box
from fg2_ros.prefetch.settings import PrefetchSettings, ResolutionSettings
from fg2_ros.settings import SHIPPED_WEIGHTS
import pytest

ROUTE = box(8.5, 47.0, 8.502, 47.001)


def test_a_job_is_planned_and_downloaded(grey_server, tmp_path):
    settings = PrefetchSettings(
        source=grey_server.template, cache=str(tmp_path), offline_allowed=True, margin_m=20.0)
    resolution = ResolutionSettings(zoom=17)
    job = plan_prefetch(ROUTE, settings, resolution)
    assert job.to_fetch == job.plans[0].tiles > 0 and not grey_server.paths
    told = []
    result = download(job, lambda total, summary: told.append((total, summary.tried)))
    assert told == [(job.to_fetch, count + 1) for count in range(job.to_fetch)]
    assert result.kept == result.summary.fetched == job.to_fetch
    assert not result.end and not result.interrupted
    again = plan_prefetch(ROUTE, settings, resolution)
    assert again.to_fetch == 0 and again.to_dict()['held'] == job.to_fetch


def test_an_empty_cache_path_is_refused(grey_server):
    settings = PrefetchSettings(source=grey_server.template, cache='', offline_allowed=True)
    with pytest.raises(ValueError, match='name a cache'):
        plan_prefetch(ROUTE, settings, ResolutionSettings(zoom=17))


def test_the_weights_say_how_fine_imagery_has_to_be(tmp_path):
    resolution_m, size_m = ResolutionSettings().patch()
    assert 0.05 < resolution_m < 1.0 and 20 < size_m < 200
    assert ResolutionSettings(resolution_m=0.5, weights=SHIPPED_WEIGHTS).patch() == (0.5, size_m)
    with pytest.raises(ValueError, match='is no weights file'):
        ResolutionSettings(weights=tmp_path / 'none').patch()

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

from test.helpers.http_stub import address, encoded, GREY_TILE, quick_http, Reply

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.catalogue import open_imagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.prefetch.job import download, plan_prefetch
from fg2_ros.prefetch.routes import box
from fg2_ros.prefetch.settings import PrefetchSettings, ResolutionSettings
from fg2_ros.prefetch.texts import describe_job
from fg2_ros.settings import SHIPPED_WEIGHTS
import numpy as np
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


def test_at_the_border_of_a_source_nothing_is_asked_for_that_was_not_planned(serve, tmp_path):
    """It lacks the east of the area, at the zoom wanted and at the next one."""
    middle = (8.505 + 180) / 360  # of the area, as a share of the world
    server = serve(lambda path, headers: Reply(404) if address(path)[0] > 15 and (
        address(path)[1] > middle * 2 ** address(path)[0]) else Reply(body=GREY_TILE))
    settings = PrefetchSettings(
        source=server.template, cache=str(tmp_path), offline_allowed=True, margin_m=100.0)
    area = box(8.5, 47.0, 8.51, 47.003)
    job = plan_prefetch(area, settings, ResolutionSettings(zoom=17))
    result = download(job)
    asked = {TileId(*address(path)) for path in server.paths}
    assert asked <= {*job.plans[0], *job.coarser} and {tile.zoom for tile in asked} == {15, 16, 17}
    assert len(asked) == len(server.paths) == result.summary.tried and not result.end
    assert len(asked) <= job.to_fetch + job.to_dict()['coarser_at_most']
    assert f'{job.coarser.to_fetch} of zoom 16, 15, 14 at most' in describe_job(job)


def test_tiles_of_another_size_than_said_are_planned_anew(serve, tmp_path, caplog):
    """What the node will ask for, which sees it too, is in the cache: a zoom less."""
    tile = encoded(np.full((512, 512, 3), 99, np.uint8))
    server = serve(lambda path, headers: Reply(body=tile))
    settings = PrefetchSettings(
        source=server.template, cache=str(tmp_path), offline_allowed=True, margin_m=50.0)
    job = plan_prefetch(ROUTE, settings, ResolutionSettings(resolution_m=0.9))
    result = download(job)
    assert 'tiles of 512 pixels, not of 256' in caplog.text
    assert job.plans[0].zooms == [17] and [plan.zooms for plan in result.plans] == [[16]]
    assert result.kept == sum(plan.tiles for plan in result.plans) > 0 and not result.end
    assert sum(address(path)[0] == 17 for path in server.paths) <= 3
    asked = len(server.paths)
    imagery = open_imagery(server.template, cache_path=tmp_path, http=quick_http())
    view = PatchView(MapFrame(47.0005, 8.501), (0.0, 0.0), 56.0, 62)
    patches = [imagery.patch(view, wait_s=60.0) for _ in range(2)]
    assert patches[1].valid is None and np.all(patches[1].image == 99)
    assert {address(path)[0] for path in server.paths[asked:]} <= {17}  # before it saw the size
    imagery.close()


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

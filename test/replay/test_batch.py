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

"""Many bags are replayed by processes and clusters, each once, with the same results."""

import csv
import json
from pathlib import Path
import shutil
from test.helpers.truthful_replay import replay_truthfully, SEEDS, write_bag

from fg2_ros.commands import main
from fg2_ros.recipe import RECIPE_FILE
from fg2_ros.replay import batch
from fg2_ros.replay.batch import FIGURES_FILE, SUMMARY_FILE
import pytest


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return the folder of two bags, and of a file that is none."""
    folder = tmp_path_factory.mktemp('bags')
    for name in SEEDS:
        write_bag(folder / name)
    (folder / 'broken.mcap').write_bytes(b'\x89MCAP0\r\n' + bytes(100))
    return folder


@pytest.fixture(scope='module')
def replay(bags):
    """Return a function that replays bags into a folder; it returns the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, 'replay_one', replay_truthfully)

        def run(out: Path, *options: str, names=tuple(SEEDS)) -> int:
            return main(['replay', *(str(bags / name) for name in names), '--source', 'osm',
                         '--out', str(out), *options])
        yield run


@pytest.fixture(scope='module')
def by_processes(replay, tmp_path_factory):
    """Return what two processes make of the bags."""
    out = tmp_path_factory.mktemp('processes') / 'out'
    assert replay(out, '--workers', '2', names=(*SEEDS, 'broken.mcap')) == 1
    return out


def poses_of(out: Path) -> dict[str, bytes | list]:
    """Return the files of the poses, without how long each took."""
    found = {str(path.relative_to(out)): path.read_bytes()
             for name in SEEDS for path in (out / name / 'poses').rglob('*') if path.is_file()}
    for name in SEEDS:
        with open(out / name / 'poses' / 'poses.csv', newline='') as file:
            found[f'{name}/poses/poses.csv'] = [
                row | {'latency_ms': ''} for row in csv.DictReader(file)]
    return found


def test_a_broken_bag_is_told_and_the_others_go_on(by_processes, replay, capsys):
    with open(by_processes / SUMMARY_FILE, newline='') as file:
        rows = {row['bag']: row for row in csv.DictReader(file)}
    assert list(rows) == ['first', 'second', 'broken']
    for name in SEEDS:
        assert rows[name]['images'] == '8' and int(rows[name]['accepted']) > 4
        assert 0 < float(rows[name]['median_error_m']) < 1
    assert 'is not a readable bag' in rows['broken']['ended_early']
    assert replay(by_processes, names=('first', 'broken.mcap')) == 1
    told = capsys.readouterr()
    assert 'fg2 replay: broken: ' in told.err and 'failed' in told.out


def test_what_is_done_is_not_done_again(by_processes, replay, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in by_processes.glob(f'*/{FIGURES_FILE}')}
    assert len(before) == 2
    figures = tmp_path / 'figures.json'
    assert replay(by_processes, '--json', str(figures)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads(figures.read_text())['bags']['second']['images'] == 8


def test_a_cluster_does_the_same(by_processes, replay, dask_address, tmp_path):
    out = tmp_path / 'out'
    begun = out / 'second' / 'poses'
    begun.mkdir(parents=True)
    shutil.copy(by_processes / 'second' / RECIPE_FILE, out / 'second')
    (begun / 'poses.csv').write_text('what an interrupted replay left')
    assert replay(out, '--on', dask_address) == 0
    poses = poses_of(out)
    assert poses == poses_of(by_processes)
    assert len(poses) == 8 and min(len(each) for each in poses.values()) >= 8


def test_other_settings_are_refused(by_processes, replay, capsys):
    assert replay(by_processes, '--every', '2') == 1
    assert 'made with other settings (every)' in capsys.readouterr().err


@pytest.mark.parametrize(('options', 'sentence'), [
    (['a', 'b', '--source', 'osm'], 'several bags want a folder'),
    (['--source', 'osm'], 'there is no bag'),
    (['a/x.mcap', 'b/x.mcap', '--source', 'osm', '--out', 'out'], 'several bags have the name x'),
    (['a', '--on', 'http://x', '--source', 'osm', '--out', 'out'], 'neither a Ray cluster')])
def test_what_cannot_be(options, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['replay', *options]) == 1
    assert sentence in capsys.readouterr().err

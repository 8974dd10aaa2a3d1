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
from test.helpers.local_files import plain_tiles, write_mbtiles

from fg2_ros.commands import main
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.replay.many import FIGURES_FILE, SUMMARY_FILE
from fg2_ros.simulation.bag import write_drive
from fg2_ros.simulation.drive import DriveSettings, simulate_drive
import numpy as np
import pytest

PLACE = (47.0, 8.0)
NAMES = ('first', 'second')


class StraightCity:
    """A city of one road to the north-east."""

    def route(self, rng, length_m):
        """Return the road."""
        return np.array([[0, 0], [length_m, length_m]])


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return the folder of two bags with two images each, and of a file that is none."""
    folder = tmp_path_factory.mktemp('bags')
    rng = np.random.default_rng(1)
    for seed, name in enumerate(NAMES):
        drive = simulate_drive(StraightCity(), seed, DriveSettings(frames=2))
        write_drive(folder / name, drive, MapFrame(*PLACE), iter(
            rng.integers(0, 255, (2, 32, 64, 3), np.uint8)))
    (folder / 'broken.mcap').write_bytes(b'\x89MCAP0\r\n' + bytes(100))
    return folder


@pytest.fixture(scope='module')
def replay(bags, tmp_path_factory):
    """Return a function that replays bags into a folder; it returns the exit code."""
    pytest.importorskip('torch')
    ground = write_mbtiles(
        tmp_path_factory.mktemp('ground') / 'grey.mbtiles', plain_tiles(PLACE, 18, 90),
        format='png', minzoom='18', maxzoom='18')

    def run(out: Path, *options: str, names=NAMES) -> int:
        return main(['replay', *(str(bags / name) for name in names), '--source', str(ground),
                     '--precision', 'fp32', '--limit', '1', '--out', str(out), *options])
    return run


@pytest.fixture(scope='module')
def by_processes(replay, tmp_path_factory):
    """Return what two processes make of the bags."""
    out = tmp_path_factory.mktemp('processes') / 'out'
    assert replay(out, '--workers', '2', names=(*NAMES, 'broken.mcap')) == 1
    return out


def poses_of(out: Path) -> dict[str, bytes | list]:
    """Return the files of the poses, without how long each took."""
    found = {str(path.relative_to(out)): path.read_bytes()
             for name in NAMES for path in (out / name / 'poses').rglob('*') if path.is_file()}
    for name in NAMES:
        with open(out / name / 'poses' / 'poses.csv', newline='') as file:
            found[f'{name}/poses/poses.csv'] = [
                row | {'latency_ms': ''} for row in csv.DictReader(file)]
    return found


def test_a_broken_bag_is_told_and_the_others_go_on(by_processes, replay, capsys):
    with open(by_processes / SUMMARY_FILE, newline='') as file:
        rows = {row['bag']: row for row in csv.DictReader(file)}
    assert {name: rows[name]['images'] for name in rows} == {
        'first': '1', 'second': '1', 'broken': ''}
    assert 'is not a readable bag' in rows['broken']['ended_early']
    assert replay(by_processes, names=('first', 'broken.mcap')) == 1
    assert 'fg2 replay: broken: ' in capsys.readouterr().err


def test_what_is_done_is_not_done_again(by_processes, replay, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in by_processes.glob(f'*/{FIGURES_FILE}')}
    assert len(before) == 2
    figures = tmp_path / 'figures.json'
    assert replay(by_processes, '--json', str(figures)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads(figures.read_text())['bags']['second']['images'] == 1


def test_a_cluster_does_the_same(by_processes, replay, dask_address, tmp_path):
    out = tmp_path / 'out'
    begun = out / 'second' / 'poses'
    begun.mkdir(parents=True)
    (begun / 'poses.csv').write_text('what an interrupted replay left')
    assert replay(out, '--on', dask_address) == 0
    assert poses_of(out) == poses_of(by_processes)
    assert len(poses_of(out)) >= 6


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

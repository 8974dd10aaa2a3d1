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

"""`fg2 evaluate vigor|kitti` and `fg2 show`, from files on disk to figures and pages."""

from dataclasses import replace
from html.parser import HTMLParser
import json
import re
import shutil
from test.helpers import mini_data, tiny_network
from test.helpers.synthetic_network import PlantedNetwork

from fg2_ros.commands import main
from fg2_ros.datasets.frames import rolled
from fg2_ros.datasets.vigor import VigorDataset
from fg2_ros.evaluation.vigor_kitti import evaluate as evaluation
from fg2_ros.evaluation.vigor_kitti.orientation import FirstRun, random_rolls_deg
from fg2_ros.evaluation.vigor_kitti.solver import CrossViewSolver
from fg2_ros.network import FG2Network
from fg2_ros.network.weights import save_weights
import numpy as np
from PIL import Image
import pytest

KITTI_DRIVE = '2011_09_26/2011_09_26_drive_0002_sync'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Return the weights file of each data set's tiny network."""
    folder = tmp_path_factory.mktemp('weights')
    return {preset: tiny_network.weights(preset, folder) for preset in tiny_network.CONFIGS}


@pytest.fixture
def evaluate(weights, tmp_path):
    """Return a function that evaluates with further options and returns the figures."""
    def run(data_set, *options, root=None):
        root = root or {'vigor': mini_data.VIGOR, 'kitti': mini_data.KITTI}[data_set]
        part = ('--area', 'samearea') if data_set == 'vigor' else ('--split', 'test1')
        code = main([
            'evaluate', data_set, '--root', str(root), *part, '--weights',
            str(weights[data_set]), '--workers', '0', '--json', str(tmp_path / 'figures.json'),
            *map(str, options)])
        return json.loads((tmp_path / 'figures.json').read_text()) if code == 0 else None
    return run


def lines(folder):
    """Return the results that a folder holds, by index."""
    _, *results = map(json.loads, (folder / 'results.jsonl').read_text().splitlines())
    return {result['index']: result for result in results}


def test_vigor_has_all_figures_and_its_cities(evaluate, capsys):
    figures = evaluate('vigor', '--solver', 'ransac')
    assert (figures['data_set'], figures['part'], figures['solver']) == (
        'vigor', 'samearea', 'ransac')
    assert figures['frames'] == 8 and figures['without_pose'] == 0
    assert figures['label_files'] == 'original'
    assert list(figures['groups']) == ['NewYork', 'Seattle', 'SanFrancisco', 'Chicago']
    assert {'mean_error_m', 'median_error_m', 'p90_error_m', 'mean_yaw_error_deg', 'anees',
            'recall_1m', 'recall_3m', 'recall_5m', 'recall_10m'} <= set(figures)
    assert 'SanFrancisco' in capsys.readouterr().out


@pytest.mark.parametrize('solver', ['procrustes', 'ransac', 'posterior'])
def test_kitti_has_the_recalls_by_axis(evaluate, solver):
    figures = evaluate('kitti', '--batch-size', 3, '--solver', solver)
    assert (figures['solver'], figures['without_pose']) == (solver, 0)
    assert figures['frames'] == 4 and list(figures['groups']) == ['2011_09_26_drive_0002_sync']
    assert {f'{name}_recall_{limit}{unit}' for name, unit in (
        ('lateral', 'm'), ('longitudinal', 'm'), ('yaw', 'deg')) for limit in (1, 3, 5)} <= set(
            figures)


def test_an_interrupted_run_goes_on_to_the_same_results(evaluate, tmp_path):
    """Whatever the batches, the loading processes and the moment of the interruption."""
    whole = evaluate('vigor', '--out', tmp_path / 'whole', '--batch-size', 8)
    evaluate('vigor', '--out', tmp_path / 'parts', '--limit', 3, '--batch-size', 2)
    file = tmp_path / 'parts' / 'results.jsonl'
    assert set(lines(tmp_path / 'parts')) == {0, 2, 5}
    file.write_bytes(file.read_bytes()[:-7])
    parts = evaluate('vigor', '--out', tmp_path / 'parts', '--batch-size', 3, '--workers', 2)
    assert set(lines(tmp_path / 'parts')) == set(range(8))
    for index, result in lines(tmp_path / 'whole').items():
        again = lines(tmp_path / 'parts')[index]
        assert again['pose']['translation_m'] == pytest.approx(
            result['pose']['translation_m'], abs=1e-3)
    assert parts['mean_error_m'] == pytest.approx(whole['mean_error_m'], abs=1e-3)


def test_results_of_other_settings_are_not_mixed(evaluate, tmp_path, capsys):
    evaluate('kitti', '--out', tmp_path / 'out', '--limit', 1)
    assert evaluate('kitti', '--out', tmp_path / 'out', '--solver', 'ransac') is None
    assert "solver was 'procrustes'" in capsys.readouterr().err


def test_unreadable_images_and_broken_labels_are_counted_and_named(evaluate, tmp_path, capsys):
    root = shutil.copytree(mini_data.VIGOR, tmp_path / 'vigor')
    broken = root / 'splits' / 'Seattle' / 'same_area_balanced_test.txt'
    broken.write_text(broken.read_text().replace('-126.6593', 'left', 1))
    image = root / VigorDataset(mini_data.VIGOR, 'samearea', 'test').names[1]
    whole = image.read_bytes()
    image.write_bytes(whole[:2000])
    page = tmp_path / 'report.html'
    options = ('--out', tmp_path / 'out', '--report', page, '--cases', 0)
    figures = evaluate('vigor', *options, root=root)
    assert figures['frames'] == 6
    assert figures['unreadable_count'] == figures['broken_label_count'] == 1
    assert len(figures['unreadable']) == 1 and image.name in figures['unreadable'][0]
    assert len(figures['broken_labels']) == 1 and "'left'" in figures['broken_labels'][0]
    assert image.name in capsys.readouterr().out and image.name in page.read_text()
    assert '1 unreadable, 1 with a broken label' in page.read_text()
    image.write_bytes(whole)
    assert evaluate('vigor', *options, root=root)['frames'] == 7  # repaired, it is caught up on


def test_two_runs_find_an_unknown_orientation(evaluate, tmp_path, monkeypatch):
    """Networks that see the truth: run 1 coarsely, run 2 on panoramas that are rolled back."""
    dataset = VigorDataset(mini_data.VIGOR, 'samearea', 'test', tiny_network.CONFIGS['vigor'])
    blind = dataset.names[5]
    rolls = random_rolls_deg(dataset.names, 0)
    use(monkeypatch, [rolled(frame, yaw) for frame, yaw in zip(dataset, rolls)], {blind})
    figures = evaluate('vigor', '--random-orientation', '--first-run', '--out', tmp_path / 'one',
                       '--report', tmp_path / 'one.html', '--cases', 1)
    assert (figures['frames'], figures['without_pose']) == (8, 1)
    assert f'{blind} (index 5): no pose' in (tmp_path / 'one.html').read_text()
    assert figures['median_yaw_error_deg'] < 3
    first = json.loads((tmp_path / 'one' / 'first_run.json').read_text())
    assert first['rolled_deg'] == pytest.approx(dict(zip(dataset.names, rolls)), abs=1e-4)
    assert set(first['predicted_deg']) == set(dataset.names) - {blind}

    remaining = {name: roll - first['predicted_deg'][name]
                 for name, roll in first['rolled_deg'].items() if name != blind}
    assert np.abs(np.angle(np.exp(1j * np.radians(list(remaining.values()))))).max() < 0.1
    use(monkeypatch, [rolled(frame, remaining.get(frame.name, 0.0)) for frame in dataset])
    evaluate('vigor', '--random-orientation', '--first-run-predictions',
             tmp_path / 'one' / 'first_run.json', '--out', tmp_path / 'two')
    again, = FirstRun.read(tmp_path / 'one' / 'first_run.json').remaining_deg([blind], 0)
    for result in lines(tmp_path / 'two').values():
        roll = (remaining.get(result['name'], again) + 180) % 360 - 180
        assert result['true_yaw_deg'] == pytest.approx(roll, abs=1e-4)
        if result['name'] != blind:
            assert abs(result['pose']['yaw_deg'] - roll) < 3


def use(monkeypatch, frames, blind=()):
    """Have the command localize with a network that sees the true poses of frames."""
    network = PlantedNetwork('vigor', frames, blind)
    monkeypatch.setattr(evaluation, 'load_solver', lambda settings: CrossViewSolver(
        network, settings.solver, settings.seed))


@pytest.mark.parametrize('options, reason', [
    (['--first-run'], 'one with --random-orientation'),
    (['--random-orientation', '--first-run'], 'needs --out'),
    (['--random-orientation', '--first-run-predictions', 'none.json'], 'none.json holds no'),
    (['--root', 'nowhere'], 'satellite_list.txt .*expected is ROOT')])
def test_unusable_options_are_refused_in_a_sentence(evaluate, capsys, options, reason):
    assert evaluate('vigor', *options) is None
    assert re.search(reason, capsys.readouterr().err)


@pytest.mark.parametrize('options, reason', [
    (['--batch-size', '0'], '--batch-size = 0 is not between 1 and'),
    (['--seed', '-1'], '--seed = -1 is not between 0 and'),
    (['--precision', 'fp8'], "--precision = 'fp8' is not one of 'auto', 'fp32'"),
    (['--first-run', '--first-run-predictions', 'a.json'], 'not allowed with'),
    (['--first-run', '--ransak'], 'unrecognized arguments: --ransak')])
def test_options_of_wrong_values_are_refused_as_such(evaluate, capsys, options, reason):
    with pytest.raises(SystemExit, match='2'):
        evaluate('vigor', *options)
    assert reason in capsys.readouterr().err


def test_weights_of_another_camera_are_refused(weights, capsys):
    assert main(['evaluate', 'kitti', '--root', str(mini_data.KITTI), '--split', 'test1',
                 '--weights', str(weights['vigor'])]) == 1
    assert 'is for a panorama camera, KITTI has a pinhole camera' in capsys.readouterr().err


def test_weights_of_another_scale_are_warned_about(tmp_path, caplog):
    config = replace(tiny_network.CONFIGS['vigor'], grid_extent_m=56.0)
    save_weights(FG2Network(config), tmp_path / 'sim.safetensors', {})
    assert main(['evaluate', 'vigor', '--root', str(mini_data.VIGOR), '--area', 'samearea',
                 '--weights', str(tmp_path / 'sim.safetensors'), '--limit', '1',
                 '--workers', '0']) == 0
    assert 'spans 56 m' in caplog.text


def test_nothing_readable_is_an_error_that_names_a_file(evaluate, tmp_path, capsys):
    root = shutil.copytree(mini_data.KITTI, tmp_path / 'kitti')
    shutil.rmtree(root / 'satmap')
    assert evaluate('kitti', root=root) is None
    assert re.search('not one of 4 frames .*satmap', capsys.readouterr().err)


class _Page(HTMLParser):
    """Checks that tags are balanced, and collects pictures."""

    def __init__(self):
        super().__init__()
        self.open, self.pictures = [], 0

    def handle_starttag(self, tag, attrs):
        if tag == 'img':
            self.pictures += 1
        elif tag not in ('meta', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize('data_set, published', [('vigor', '1.95'), ('kitti', '0.75')])
def test_the_report_is_whole_and_needs_no_network(evaluate, tmp_path, data_set, published):
    figures = evaluate(
        data_set, '--report', tmp_path / 'new' / 'report.html', '--cases', 1, '--limit', 3)
    text = (tmp_path / 'new' / 'report.html').read_text()
    page = _Page()
    page.feed(text)
    assert page.open == [] and page.pictures == 2
    assert not re.search(r'(src|href)="(?!data:|#)', text) and 'http' not in text
    assert f'<td>{published}</td>' in text and f'{figures["mean_error_m"]:.2f}' in text
    assert text.count('<svg class="chart"') == 4
    assert len(re.findall(r'<path d=[^>]*style="fill: var', text)) >= 2 * 40  # bars


@pytest.mark.parametrize('data_set, options, width', [
    ('vigor', ['--area', 'crossarea', '--roll', '90'], 1536),
    ('kitti', ['--split', 'test2'], 2048)])
def test_show_draws_a_frame(weights, tmp_path, capsys, data_set, options, width):
    root = {'vigor': mini_data.VIGOR, 'kitti': mini_data.KITTI}[data_set]
    command = ['show', data_set, '--root', str(root), *options, '--weights',
               str(weights[data_set]), '--index', '2', '--out']
    assert main([*command, str(tmp_path / 'new' / 'show.png')]) == 0
    assert 'deg off' in capsys.readouterr().out
    assert Image.open(tmp_path / 'new' / 'show.png').size == (width, 512)
    assert main([*command, str(tmp_path / 'show.html')]) == 0
    page = _Page()
    page.feed((tmp_path / 'show.html').read_text())
    assert page.open == [] and page.pictures == 1


@pytest.mark.parametrize('index, out, reason', [
    ('9', 'a.png', 'indices 0 to 3'), ('-1', 'a.png', 'indices 0 to 3'),
    ('0', 'a.tif', 'end with'), ('0', 'a.html', 'no image')])
def test_show_refuses_in_a_sentence(weights, tmp_path, capsys, index, out, reason):
    root = shutil.copytree(mini_data.KITTI, tmp_path / 'kitti')
    (root / 'satmap' / KITTI_DRIVE / '0000000000.png').unlink()
    assert main(['show', 'kitti', '--root', str(root), '--split', 'test1', '--weights',
                 str(weights['kitti']), f'--index={index}', '--out', str(tmp_path / out)]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--config', '--conf'])
def test_options_from_a_yaml_file(weights, tmp_path, capsys, option):
    """The same figures as from the command line, which wins over the file."""
    config = tmp_path / 'run.yaml'
    config.write_text(
        f'root: {mini_data.KITTI}\nsplit: test2\nsolver: ransac\nseed: 0\nworkers: 0\n'
        f'weights: {weights["kitti"]}\nlimit: null\nout: {tmp_path / "run"}\n')
    figures = tmp_path / 'figures.json'
    assert main(['evaluate', 'kitti', '--split', 'test1', option, str(config), '--json',
                 str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert (found['part'], found['solver'], found['seed']) == ('test1', 'ransac', 0)
    assert (tmp_path / 'run' / 'results.jsonl').exists()


@pytest.mark.parametrize('text, words', [
    ('rot: here', 'unknown setting rot; there are root, split'),
    ('split: test9', "run.yaml: split = 'test9' is not one of"),
    ('- root', 'holds no settings'), (None, 'cannot read')])
def test_a_config_file_that_cannot_be_used(tmp_path, capsys, text, words):
    config = tmp_path / 'run.yaml'
    if text:
        config.write_text(text)
    with pytest.raises(SystemExit, match='2'):
        main(['evaluate', 'kitti', '--root', 'r', '--split', 'test1', '--weights', 'w',
              '--config', str(config)])
    assert words in capsys.readouterr().err

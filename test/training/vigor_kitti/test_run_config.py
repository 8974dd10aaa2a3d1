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

"""Settings of a run: defaults, files, and what is refused."""

from fg2_ros.commands import main
from fg2_ros.settings import read_yaml
from fg2_ros.training.vigor_kitti import run
from fg2_ros.training.vigor_kitti.run_config import RunConfig
import pytest
import yaml

PATHS = {'root': 'data', 'out': 'run'}


@pytest.fixture
def config_of(monkeypatch):
    """Return a function that returns the run which a command line asks for."""
    def of(data_set, *arguments):
        configs = []
        monkeypatch.setattr(run, 'train', lambda config, *_: configs.append(config))
        assert main(['train', data_set, '--root', 'data', '--out', 'run', *arguments]) == 0
        return configs.pop()
    return of


def test_defaults_are_the_published_recipe():
    vigor, kitti = (RunConfig.of(name, PATHS) for name in ('vigor', 'kitti'))
    assert (vigor.recipe.epochs, kitti.recipe.epochs) == (25, 100)
    for recipe in (vigor.recipe, kitti.recipe):
        assert (recipe.rate, recipe.batch, recipe.beta, recipe.pairs) == (1e-4, 24, 1.0, 1024)
        assert recipe.clip_norm == recipe.random_orientation == 0
    assert vigor.recipe.validation_share == 0.2
    assert vigor.network_config().name == 'vigor' and kitti.network_config().camera == 'pinhole'


def test_a_command_line_says_the_same(config_of):
    """What it does not say is the published recipe."""
    config = config_of('vigor', '--epochs', '3', '--random-orientation', '--network',
                       '{grid_cells: 9}')
    assert config == RunConfig.of('vigor', PATHS | {
        'epochs': 3, 'random_orientation': 180.0, 'network': {'grid_cells': 9}})
    assert config.network_config().grid_cells == 9
    assert config_of('vigor', '--random-orientation', '20').recipe.random_orientation == 20.0
    assert config_of('kitti').recipe.epochs == 100


@pytest.mark.parametrize('arguments, words', [
    (['--area', 'samearea'], 'unrecognized arguments: --area'),
    (['--network', '[9]'], "--network: '[9]' is not a mapping"),
    (['--rate', 'fast'], "--rate = 'fast' is not a number")])
def test_a_wrong_command_line_is_refused(config_of, capsys, arguments, words):
    with pytest.raises(SystemExit, match='2'):
        config_of('kitti', *arguments)
    assert words in capsys.readouterr().err


def test_file_of_a_run_makes_the_same_run(tmp_path):
    config = RunConfig.of('kitti', PATHS | {'rate': 3e-5, 'network': {'dropout': 0.0}})
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump(config.to_dict()))
    assert RunConfig.of('kitti', read_yaml(path)) == config


def test_numbers_may_be_written_as_people_do(tmp_path):
    path = tmp_path / 'run.yaml'
    path.write_text('rate: 1e-4\nbeta: 100\nclip_norm:\n')
    config = RunConfig.of('vigor', PATHS | read_yaml(path))
    assert (config.recipe.rate, config.recipe.beta, config.recipe.clip_norm) == (1e-4, 100.0, 0.0)


@pytest.mark.parametrize('data_set, values, sentence', [
    ('vigor', {'learning': 1, 'epoch': 2}, 'unknown settings epoch, learning; there are epochs'),
    ('kitti', {'area': 'samearea'}, 'unknown setting area'),
    ('kitti', {'random_orientation': 180.0}, 'unknown setting random_orientation'),
    ('vigor', {'epochs': 0}, 'epochs = 0 is not between'),
    ('vigor', {'epochs': 2.5}, 'epochs = 2.5 is not a whole number'),
    ('vigor', {'rate': 'fast'}, "rate = 'fast' is not a number"),
    ('vigor', {'area': 'elsewhere'}, "area = 'elsewhere' is not one of 'samearea', 'crossarea'"),
    ('vigor', {'root': ''}, 'missing: root'),
    ('vigor', {'network': {'cells': 9}}, r"unknown or missing fields: \['cells'\]"),
    ('vigor', {'network': [9]}, r'network: \[9\] is not a mapping'),
])
def test_what_is_wrong_is_named(data_set, values, sentence):
    with pytest.raises(ValueError, match=sentence):
        RunConfig.of(data_set, PATHS | values)


@pytest.mark.parametrize('content, sentence', [
    ('- a\n- b\n', 'holds no settings'), ('a: [', 'cannot read'), ('', 'holds no settings')])
def test_unusable_files_are_named(tmp_path, content, sentence):
    path = tmp_path / 'run.yaml'
    path.write_text(content)
    with pytest.raises(ValueError, match=sentence) as error:
        read_yaml(path)
    assert 'run.yaml' in str(error.value)

"""Settings of a run: defaults, files, and what is refused."""

import argparse

from fg2_ros.settings import read_yaml
from fg2_ros.training.vigor_kitti.ini_import import read_ini
from fg2_ros.training.vigor_kitti.run_config import add_options, given, RunConfig
import pytest
import yaml

PATHS = {'root': 'data', 'out': 'run'}


def parsed(data_set, *arguments):
    """Return what a command line gives."""
    parser = argparse.ArgumentParser()
    add_options(parser, data_set)
    return parser.parse_args(arguments)


def test_defaults_are_the_published_recipe():
    vigor, kitti = (RunConfig.of(name, PATHS) for name in ('vigor', 'kitti'))
    assert (vigor.recipe.epochs, kitti.recipe.epochs) == (25, 100)
    for recipe in (vigor.recipe, kitti.recipe):
        assert (recipe.rate, recipe.batch, recipe.beta, recipe.pairs) == (1e-4, 24, 1.0, 1024)
        assert recipe.clip_norm == recipe.random_orientation == 0
    assert vigor.recipe.validation_share == 0.2
    assert vigor.network_config().name == 'vigor' and kitti.network_config().camera == 'pinhole'


def test_only_what_is_given_comes_from_the_command_line():
    args = parsed('vigor', '--epochs', '3', '--random-orientation', '--network', '{grid_cells: 9}')
    values = given(args, 'vigor')
    assert values == {'epochs': 3, 'random_orientation': 180.0, 'network': {'grid_cells': 9}}
    assert RunConfig.of('vigor', PATHS | values).network_config().grid_cells == 9
    assert given(parsed('vigor', '--random-orientation', '20'), 'vigor') == {
        'random_orientation': 20.0}


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
    ('vigor', {'area': 'elsewhere'}, "area = 'elsewhere' is none of 'samearea', 'crossarea'"),
    ('vigor', {'root': ''}, 'missing: root'),
    ('vigor', {'network': {'cells': 9}}, r"unknown or missing fields: \['cells'\]"),
    ('vigor', {'network': [9]}, 'network is no mapping'),
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


INI = """
[Training]
Learning_Rate = 1e-4   ; of Adam
batch-size = 24
num_epochs = 25
beta = 100
optimizer = Adam
[VIGOR]
dataset_root = "/data/vigor"
area = crossarea
ground_image_size = 714, 1428
satellite_size = (630, 630)
grid_cells = 41
height_range = 20
random_orientation = True
[KITTI]
dataset_root = /data/kitti
epochs = 100
ground_image_size = 364x1232
height_range = -12.5, 12.5
num_heights = eleven
"""


def test_ini_files_are_read_by_their_names(tmp_path):
    path = tmp_path / 'config.ini'
    path.write_text(INI)
    vigor, kitti = (read_ini(path, name) for name in ('vigor', 'kitti'))
    assert vigor.values == {
        'rate': 1e-4, 'batch': 24, 'epochs': 25, 'beta': 100.0, 'root': '/data/vigor',
        'area': 'crossarea', 'random_orientation': 180.0, 'network': {
            'ground_image_hw': [714, 1428], 'aerial_image_hw': [630, 630], 'grid_cells': 41,
            'height_range_m': [-10.0, 10.0]}}
    assert kitti.values == {
        'rate': 1e-4, 'batch': 24, 'epochs': 100, 'beta': 100.0, 'root': '/data/kitti',
        'network': {'ground_image_hw': [364, 1232], 'height_range_m': [-12.5, 12.5]}}
    assert '[Training] optimizer: unknown' in vigor.ignored
    assert '[KITTI] epochs: of kitti' in vigor.ignored
    assert "[KITTI] num_heights: 'eleven' is not understood" in kitti.ignored
    for imported, name in ((vigor, 'vigor'), (kitti, 'kitti')):
        RunConfig.of(name, {'out': 'run'} | imported.values)


def test_an_imported_setting_that_a_data_set_lacks_is_ignored(tmp_path):
    path = tmp_path / 'config.ini'
    path.write_text('[data]\narea = samearea\n')
    assert read_ini(path, 'kitti') == ({}, ['area: kitti has no such setting'])


def test_unreadable_ini_files_are_named(tmp_path):
    path = tmp_path / 'config.ini'
    for content in (None, 'rate = 1\n'):
        if content:
            path.write_text(content)
        with pytest.raises(ValueError, match='cannot read .*config.ini'):
            read_ini(path, 'vigor')

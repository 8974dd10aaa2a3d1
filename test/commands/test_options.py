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

"""Options of commands: declared from settings, given in files and on command lines."""

import argparse
from dataclasses import dataclass, MISSING
from pathlib import Path

from fg2_ros.commands import make_parser
from fg2_ros.commands.options import add_options
from fg2_ros.settings import converted, read_yaml, setting
from fg2_ros.simulation.seeds import seed_range
import pytest

MEASURING = ('bench', 'coverage', 'demo', 'evaluate sim', 'evaluate vigor', 'evaluate kitti',
             'prefetch', 'replay', 'show vigor', 'show kitti')
OTHERS = ('convert', 'export', 'train sim', 'train vigor', 'train kitti')


@dataclass(frozen=True)
class Drive:
    """Made-up settings of every kind."""

    root: Path = setting(MISSING, 'Where it is.', of=Path)
    frames: int = setting(10, 'How many; 100 % of them.', between=(1, 100))
    rate_hz: float = setting(8.0, 'How often.', unit='Hz', option={'name': 'rate'})
    loop: bool = setting(False, 'Again and again.')
    datum: tuple = setting((47.5, 8.7), 'Where on Earth.')
    seeds: tuple = setting((3, 5), 'Which.', parse=seed_range)
    zoom: int | None = setting(None, 'Of tiles.', of=int, option={'group': 'how fine'})
    fine: float | None = setting(None, 'Metres.', of=float, option={'group': 'how fine'})


@dataclass(frozen=True)
class Sources:
    """More settings of the same command."""

    source: tuple = setting((), 'From where.', of=str)
    kind: str = setting('plain', 'Which.', choices=('plain', 'rough'))


@pytest.fixture
def parse(tmp_path):
    """Return a function that returns what a command gets of its options."""
    def parsed(*arguments, file=None, without=(), parts=(Drive, Sources)):
        if file is not None:
            path = tmp_path / 'options.yaml'
            path.write_text(file)
            arguments += ('--config', str(path))
        got = []
        parser = argparse.ArgumentParser()
        add_options(parser, lambda *each: got.extend(each) or 0, *parts, without=without)
        args = parser.parse_args(list(arguments))
        assert args.run(args) == 0
        return got
    return parsed


def test_defaults_are_those_of_the_settings(parse):
    assert parse('--root', 'a') == [Drive(Path('a')), Sources()]


def test_all_kinds_of_options(parse):
    drive, sources = parse(
        '--root', 'a', '--frames', '7', '--rate', '2', '--loop', '--datum', '-33.9', '18.4',
        '--seeds', '7-9', '--fine', '1e-1', '--source', 'x', '--source', 'y', '--kind', 'rough')
    assert drive == Drive(Path('a'), 7, 2.0, True, (-33.9, 18.4), (7, 9), None, 0.1)
    assert sources == Sources(('x', 'y'), 'rough')


def test_the_command_line_wins_over_the_file(parse):
    file = ('root: a\nframes: 7\nloop: true\ndatum: [1, 2]\nseeds: 4\nzoom: 17\nsource: x\n'
            'rate: 1e1\nkind: null\n')
    drive, sources = parse(file=file)
    assert drive == Drive(Path('a'), 7, 10.0, True, (1.0, 2.0), (4, 4), 17)
    assert sources == Sources(('x',))
    drive, sources = parse(
        '--frames', '8', '--no-loop', '--fine', '2', '--source', 'y', file=file)
    assert drive == Drive(Path('a'), 8, 10.0, False, (1.0, 2.0), (4, 4), None, 2.0)
    assert sources.source == ('y',)


def test_defaults_may_be_other_ones(parse):
    drive, = parse('--frames', '2', parts=(Drive(Path('b'), loop=True),))
    assert drive == Drive(Path('b'), 2, loop=True)


@pytest.mark.parametrize('arguments, file, sentence', [
    ((), None, 'required: --root'),
    ((), 'frames: 2', 'required: --root'),
    (('--root', 'a', '--frames', 'x'), None, "--frames = 'x' is not a whole number"),
    (('--root', 'a', '--frames', '0'), None, '--frames = 0 is not between 1 and 100'),
    (('--root', 'a', '--kind', 'red'), None, "--kind = 'red' is not one of 'plain', 'rough'"),
    (('--root', 'a', '--seeds', '9-7'), None, "--seeds: '9-7' must go upwards"),
    (('--root', 'a', '--datum', '1'), None, 'expected 2 arguments'),
    (('--root', 'a', '--zoom', '1', '--fine', '2'), None, 'not allowed with'),
    (('--root', 'a', '--colour', 'red'), None, 'unrecognized arguments: --colour'),
    (('--root', 'a'), 'frams: 2', 'options.yaml: unknown setting frams; there are root, frames'),
    (('--root', 'a'), 'frames: 2.5', 'options.yaml: frames = 2.5 is not a whole number'),
    (('--root', 'a'), 'loop: 1', 'options.yaml: loop = 1 is not true or false'),
    (('--root', 'a'), 'datum: 47', 'options.yaml: datum = 47 is not a list'),
    (('--root', 'a'), 'source: [1]', 'options.yaml: source = [1] is not a list of texts'),
    (('--root', 'a'), '- frames', 'holds no settings')])
def test_what_is_wrong_is_told_in_a_sentence(parse, capsys, arguments, file, sentence):
    with pytest.raises(SystemExit, match='2'):
        parse(*arguments, file=file)
    assert sentence in ' '.join(capsys.readouterr().err.split())


def test_a_command_may_lack_a_setting(parse, capsys):
    assert parse('--root', 'a', without=('zoom',))[0] == Drive(Path('a'))
    with pytest.raises(SystemExit, match='2'):
        parse('--root', 'a', file='zoom: 3', without=('zoom',))
    assert 'unknown setting zoom' in capsys.readouterr().err


@pytest.mark.parametrize('command', [*MEASURING, *OTHERS])
def test_every_command_takes_a_file_and_what_measures_writes_one(command, capsys):
    with pytest.raises(SystemExit, match='0'):
        make_parser().parse_args([*command.split(), '--help'])
    said = capsys.readouterr().out
    assert '--config FILE' in said
    assert ('--json FILE' in said) == (command in MEASURING)


DOUBLING = ''.join(f'a{k}: &a{k} [{", ".join([f"*a{k - 1}"] * 10)}]\n' for k in range(1, 12))
MERGING = ''.join(
    f'a{k}: &a{k} {{<<: [{", ".join([f"*a{k - 1}"] * 10)}], k{k}: 1}}\n' for k in range(1, 12))


@pytest.mark.parametrize('text, problem', [
    pytest.param(f'a0: &a0 [x]\n{DOUBLING}', 'aliases stand for too much', id='aliases'),
    pytest.param(f'a0: &a0 {{x: 1}}\n{MERGING}', 'aliases stand for too much', id='merges'),
    pytest.param('a: &a [1, *a]', 'aliases stand for too much', id='endless'),
    pytest.param('a: ' + '[' * 5000, 'nested too deeply', id='deep'),
    ('a: 2026-99-99', 'a value that is none'), ('a: !!timestamp soon', 'a value that is none'),
    ('a: !!float ""', 'a value that is none'), ('a: !!int x', 'a value that is none'),
    pytest.param(f'a: {"9" * 5000}', 'a value that is none', id='5000 digits'),
    ('a: !!python/object/apply:os.system [ls]', 'line 1'), ('? [a]\n: 1', 'line 1'),
    ('a: *nowhere', 'undefined alias'), ('a: "\x01"', 'not YAML'), ('- 1', 'holds no settings'),
    ('1: 2', 'holds no settings'), ('', 'holds no settings')])
def test_yaml_that_cannot_be_used(tmp_path, text, problem):
    """It ends with a sentence, soon and in little memory."""
    (tmp_path / 'options.yaml').write_text(text)
    with pytest.raises(ValueError, match=f'options.yaml.*{problem}'):
        read_yaml(tmp_path / 'options.yaml')


def test_yaml_with_a_byte_order_mark_and_aliases(tmp_path):
    (tmp_path / 'options.yaml').write_text('a: &a {x: 1}\nb: {<<: *a, y: 2}', 'utf-8-sig')
    assert read_yaml(tmp_path / 'options.yaml') == {'a': {'x': 1}, 'b': {'x': 1, 'y': 2}}


def test_names_and_values_that_are_too_long_are_told_in_short(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, lambda *parts: 0, Drive)
    for text in (f'root: x\n{"n" * 100_000}: 1', f'root: x\nseeds: {"a-" * 50_000}'):
        (tmp_path / 'drive.yaml').write_text(text)
        args = parser.parse_args(['--config', str(tmp_path / 'drive.yaml')])
        with pytest.raises(SystemExit):
            args.run(args)
        assert 0 < len(capsys.readouterr().err) < 2000


@pytest.mark.parametrize('default', [1.0, 3, 'text', (1.0, 2.0)])
@pytest.mark.parametrize('value', [
    pytest.param(10 ** 400, id='400 digits'), pytest.param(10 ** 5000, id='5000 digits'),
    pytest.param([10 ** 400], id='in a list'), pytest.param('9' * 10_000, id='text'),
    float('nan'), {'a': 1}, [[1]]])
def test_a_value_that_is_none_is_told_in_short(default, value):
    declared = setting(default, 'A value.', between=(0, 10) if default in (1.0, 3) else None)
    if isinstance(default, str) and isinstance(value, str):
        assert converted('value', value, declared) == value
        return
    with pytest.raises(ValueError, match='^value = ') as caught:
        converted('value', value, declared)
    assert len(str(caught.value)) < 300

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

"""The set-up of `.venv`: what it says when something is missing, and when it works again."""

from collections import namedtuple
import importlib.util
import json
import resource
import shutil
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import run_to_its_end

import pytest

FREE = namedtuple('FREE', 'total used free')


@pytest.fixture
def tool():
    """Return tools/setup.py as a module."""
    spec = importlib.util.spec_from_file_location('project_setup', ROOT / 'tools' / 'setup.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tool, tmp_path, monkeypatch):
    """Return the environment of a small project, and the list of steps carried out in it."""
    for name in ('requirements', 'ros_overlay/tf2_msgs', 'ros_overlay/python/tf2_ros', 'fg2_ros'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'requirements' / 'constraints.txt').write_text('numpy==2')
    (tmp_path / 'ros_overlay' / 'tf2_msgs' / 'CMakeLists.txt').touch()
    (tmp_path / 'ros_overlay' / 'python' / 'tf2_ros' / '__init__.py').touch()
    steps = []

    def carry_out(name):
        def step(environment):
            environment.folder.mkdir(exist_ok=True)
            steps.append(name)
        return step

    for name in ('install_packages', 'build_messages', 'link_sources'):
        monkeypatch.setattr(tool, name, carry_out(name))
    return tool.Environment(tmp_path), steps


def test_the_second_run_does_nothing(tool, project):
    environment, steps = project
    assert tool.set_up(environment)
    assert steps == ['install_packages', 'build_messages', 'link_sources']
    assert not tool.set_up(environment)
    assert len(steps) == 3


def test_only_what_has_changed_is_made_anew(tool, project):
    environment, steps = project
    tool.set_up(environment)
    (environment.root / 'ros_overlay' / 'tf2_msgs' / 'package.xml').write_text('<package/>')
    tool.set_up(environment)
    assert steps[3:] == ['build_messages']
    (environment.root / 'requirements' / 'constraints.txt').write_text('numpy==3')
    tool.set_up(environment)
    assert steps[4:] == ['install_packages', 'build_messages', 'link_sources']


def test_what_was_interrupted_is_done_again(tool, project, monkeypatch):
    environment, steps = project
    build = tool.build_messages

    def interrupted(environment):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, 'build_messages', interrupted)
    with pytest.raises(KeyboardInterrupt):
        tool.set_up(environment)
    monkeypatch.setattr(tool, 'build_messages', build)
    tool.set_up(environment)
    assert steps == ['install_packages', 'build_messages', 'link_sources']


def test_a_torn_stamp_counts_as_none(tool, project):
    environment, steps = project
    tool.set_up(environment)
    (environment.folder / 'setup.json').write_text('{"packages": "')
    tool.set_up(environment)
    assert len(steps) == 6


def test_another_python_is_refused(tool, monkeypatch):
    monkeypatch.setattr(tool, 'probe', lambda python: ['3.9', '/usr/include'])
    with pytest.raises(tool.SetupError, match=r'3\.11 or 3\.12 .* apt-get install python3\.12'):
        tool.find_python()


def test_a_missing_python_is_no_crash(tool):
    assert tool.probe('/no/such/python') == []
    assert tool.probe(sys.executable)[0] == '.'.join(map(str, sys.version_info[:2]))


def test_missing_headers_are_named(tool, monkeypatch):
    monkeypatch.setattr(tool, 'probe', lambda python: ['3.12', '/no/such/folder'])
    with pytest.raises(tool.SetupError, match='headers .* apt-get install python3.12-dev'):
        tool.check_machine(sys.executable)


def test_a_missing_venv_module_is_named(tool, monkeypatch):
    monkeypatch.setattr(tool, 'probe', lambda python: ['3.12', '/no/such/folder'])
    with pytest.raises(tool.SetupError, match='apt-get install python3.12-venv'):
        tool.check_machine(shutil.which('false'))


def test_a_missing_compiler_is_named(tool, monkeypatch):
    monkeypatch.setattr(tool.shutil, 'which', lambda name: None)
    with pytest.raises(tool.SetupError, match=r'compiler is missing: sudo apt-get install g\+\+'):
        tool.check_machine(sys.executable)


@pytest.mark.parametrize(('packages', 'enough_gb'), [
    (['torch', 'sympy'], 4), (['torch', 'nvidia-cublas'], 12)])
def test_the_disk_must_hold_the_build_of_torch_that_pip_finds(
        tool, project, monkeypatch, packages, enough_gb):
    """The one with CUDA takes several times as much as the one for CPUs only."""
    def find(environment, command):
        assert '--dry-run' in command and 'torch' in command
        found = {'install': [{'metadata': {'name': name}} for name in packages]}
        command[command.index('--report') + 1].write_text(json.dumps(found))

    environment, _ = project
    environment.folder.mkdir()
    monkeypatch.setattr(tool, 'run', find)
    monkeypatch.setattr(tool.shutil, 'disk_usage', lambda folder: FREE(0, 0, free_gb * 10**9))
    free_gb = enough_gb
    tool.check_disk(environment)
    free_gb = enough_gb - 1
    with pytest.raises(tool.SetupError, match=rf'{enough_gb} GB of disk are needed \(4 with .*'
                       rf'"Installation" in the README\), but only {enough_gb - 1}\.0 are free'):
        tool.check_disk(environment)


@pytest.mark.parametrize(('output', 'sentence'), [
    ('OSError: [Errno 28] No space left on device', 'the disk is full'),
    ('NewConnectionError: ... Name or service not known', 'no package registry can be reached'),
    ('a\nERROR: No matching distribution found for foo==9\nb', 'No matching distribution found'),
])
def test_a_failed_command_is_explained_in_one_sentence(tool, tmp_path, output, sentence):
    environment = tool.Environment(tmp_path)
    environment.folder.mkdir()
    with pytest.raises(tool.SetupError, match=sentence) as raised:
        tool.run(environment, [sys.executable, '-c', f'print({output!r}); exit(1)'])
    assert '\n' not in str(raised.value)


def test_foreign_variables_do_not_leak_in(tool, tmp_path, monkeypatch):
    """A sourced ROS installation, or another virtual environment."""
    monkeypatch.setenv('PYTHONPATH', '/opt/ros/jazzy/lib/python3.12/site-packages')
    environment = tool.Environment(tmp_path)
    environment.folder.mkdir()
    tool.run(environment, [sys.executable, '-c', 'import os; print(os.environ)'])
    assert '/opt/ros' not in environment.log.read_text()


def test_scripts_run_from_folders_with_spaces(tool, tmp_path):
    environment = tool.Environment(tmp_path / 'my robot')
    (environment.folder / 'bin').mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    (tmp_path / 'greeting.py').write_text('import sys\ndef main(): print(sys.argv); return 7\n')
    tool.write_script(environment, 'greet', 'greeting')
    script = environment.folder / 'bin' / 'greet'
    finished = run_to_its_end([script, 'a b'], env={'PYTHONPATH': str(tmp_path)})
    assert finished.returncode == 7
    assert finished.stdout == f"['{script}', 'a b']\n"


@pytest.mark.skipif(not (ROOT / '.venv').exists(), reason='runs outside of .venv')
def test_the_environment_in_use_is_current():
    before_s = children_s()
    finished = run_to_its_end([sys.executable, ROOT / 'tools' / 'setup.py'])
    assert (finished.returncode, finished.stdout) == (0, '')
    assert children_s() - before_s < 5.0


def children_s() -> float:
    """Return the time that ended children have computed; others may have kept them waiting."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

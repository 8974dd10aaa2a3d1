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

"""`colcon build` installs the node, the launch and the configuration files where ROS looks."""

import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from test.helpers.launching import LAUNCH
from test.helpers.paths import ROOT
from test.helpers.processes import ended, lines_until, run_to_its_end, running

import fg2_ros
import pytest

COLCON = shutil.which('colcon', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
pytestmark = [
    pytest.mark.colcon,
    pytest.mark.skipif(not COLCON, reason='colcon is not installed'),
    pytest.mark.skipif(' ' in sys.executable, reason='colcon cannot use a Python below a space')]


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """Return a workspace with the built package."""
    workspace = tmp_path_factory.mktemp('workspace')
    built = run_to_its_end(
        [COLCON, '--log-base', 'log', 'build', '--base-paths', ROOT,
         '--packages-select', 'fg2_ros'],
        cwd=workspace)
    assert built.returncode == 0, built.stdout + built.stderr
    return workspace


@pytest.fixture(scope='module')
def prefix(workspace):
    """Return the folder that the package is installed in."""
    return workspace / 'install' / 'fg2_ros'


def files_of(folder):
    """Return the relative paths of the files in a folder, without compiled ones."""
    return {
        path.relative_to(folder) for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts}


def run_sourced(workspace, *command):
    """Return what a command prints in a shell that has sourced the workspace."""
    finished = run_to_its_end(
        ['bash', '-c', 'source install/setup.bash && exec "$@"', 'bash', *command],
        cwd=workspace)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_ros2_run_finds_the_executables(prefix):
    """They are in lib/fg2_ros, as `ros2 run` and launch files expect, not in bin."""
    for name in ('fg2', 'fg2_node'):
        assert os.access(prefix / 'lib' / 'fg2_ros' / name, os.X_OK)


def test_the_package_is_in_the_index(prefix):
    assert (prefix / 'share/ament_index/resource_index/packages/fg2_ros').is_file()
    assert (prefix / 'share/fg2_ros/package.xml').is_file()


@pytest.mark.parametrize('folder', ['launch', 'config'])
def test_shared_files_are_installed(prefix, folder):
    sources = files_of(ROOT / folder)
    assert sources
    assert files_of(prefix / 'share' / 'fg2_ros' / folder) == sources


def test_requirements_of_users_are_installed(prefix):
    """Messages tell users to install them."""
    wanted = {path.name for path in (ROOT / 'requirements').glob('*.txt')}
    folder = prefix / 'share' / 'fg2_ros' / 'requirements'
    assert {path.name for path in folder.iterdir()} == wanted - {
        'constraints.txt', 'development.txt'}


def test_all_of_the_package_is_installed(prefix):
    """Not only modules: weights, model cards and templates too."""
    installed, = prefix.glob('lib/python3*/site-packages/fg2_ros')
    assert files_of(installed) == files_of(ROOT / 'fg2_ros')


def test_the_installed_code_is_what_runs(workspace, prefix):
    code = 'import fg2_ros.ros.node as node; print(node.__file__)'
    assert run_sourced(workspace, sys.executable, '-c', code).startswith(str(prefix))


def test_the_installed_command_runs(workspace, prefix):
    version = run_sourced(workspace, str(prefix / 'lib/fg2_ros/fg2'), '--version')
    assert version.strip() == fg2_ros.__version__


def test_launch_file_starts_an_active_node_that_ends_without_a_complaint(workspace, prefix):
    pytest.importorskip('launch_ros')
    command = [
        'bash', '-c', 'source install/setup.bash && exec "$@"', 'bash', sys.executable,
        '-c', LAUNCH, str(prefix / 'share/fg2_ros/launch/localization.launch.py'),
        'imagery_sources:=http://127.0.0.1:9/{z}/{x}/{y}.jpg', 'namespace:=car',
        'image_topic:=/front/panorama', 'sigterm_timeout:=120']
    with running(command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                 start_new_session=True) as process:
        printed = ''.join(lines_until('[car.fg2]: active', process.stdout, process))
        os.killpg(process.pid, signal.SIGINT)  # to all of them, as a terminal does
        printed += ended(process)[0]
    assert process.returncode == 0, printed
    assert 'Traceback' not in printed
    assert 'finished cleanly' in printed

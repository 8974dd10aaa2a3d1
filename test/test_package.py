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

"""The package as a whole: one version, imports that point one way, everything installed."""

import ast
import datetime
import os
from pathlib import Path
import re
import runpy
import shutil
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import run_to_its_end
import xml.etree.ElementTree as ElementTree

import fg2_ros
import pytest

PACKAGE = ROOT / 'fg2_ros'
ROS_MODULES = {
    'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs', 'geometry_msgs',
    'lifecycle_msgs', 'nav_msgs', 'rcl_interfaces', 'rclpy', 'sensor_msgs', 'std_msgs', 'std_srvs',
    'tf2_msgs', 'tf2_py', 'tf2_ros', 'tf_transformations', 'visualization_msgs'}
FORBIDDEN = {  # folder or file of fg2_ros: what it must not import, at any depth of its code
    'geometry': ROS_MODULES | {'torch'},
    'cameras': ROS_MODULES | {'torch'},
    'imagery': ROS_MODULES | {'torch'},
    'network': ROS_MODULES,
    'solver': ROS_MODULES,
    'published': ROS_MODULES,
    'datasets': ROS_MODULES,
    'drawing.py': ROS_MODULES | {'torch'},
    'localizer': ROS_MODULES,
    'prefetch': ROS_MODULES | {'torch'},
    'ros': {
        'fg2_ros.bench', 'fg2_ros.commands', 'fg2_ros.datasets', 'fg2_ros.demo',
        'fg2_ros.evaluation', 'fg2_ros.replay', 'fg2_ros.report', 'fg2_ros.simulation',
        'fg2_ros.training'},
}
DECLARED_AS = {  # third-party module: where it comes from on a machine with ROS
    'PIL': 'python3-pil', 'cv2': 'python3-opencv', 'jinja2': 'python3-jinja2',
    'markupsafe': 'python3-jinja2', 'matplotlib': 'python3-matplotlib', 'numpy': 'python3-numpy',
    'pyproj': 'python3-pyproj', 'scipy': 'python3-scipy', 'tqdm': 'python3-tqdm',
    'urllib3': 'python3-urllib3', 'yaml': 'python3-yaml', 'embreex': 'simulation.txt',
    'filterpy': 'simulation.txt', 'mcap': 'simulation.txt', 'onnx': 'export.txt',
    'onnxruntime': 'export.txt', 'onnxscript': 'export.txt',
    'distributed': 'dask.txt', 'ray': 'ray.txt',
    'pmtiles': 'imagery.txt', 'rasterio': 'imagery.txt', 'rosbags': 'simulation.txt',
    'trimesh': 'simulation.txt', 'tensorboardX': 'training.txt', 'safetensors': 'vehicle.txt',
    'torch': 'vehicle.txt'}
NAME_FOR_PIP = {'PIL': 'pillow', 'cv2': 'opencv-python-headless', 'markupsafe': 'jinja2',
                'yaml': 'pyyaml'}
LOADED_BY_THE_NODE = re.compile(
    r'fg2_ros\.(bench|commands|datasets|demo|drives|evaluation|replay|report|simulation|'
    r'training)')


def imported_modules(source: Path) -> set[str]:
    """Return the full names of the modules that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{source} has a relative import'
            names |= {node.module} | {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def is_within(module: str, forbidden: set[str]) -> bool:
    """Return whether a module or a package that holds it is forbidden."""
    parts = module.split('.')
    return any('.'.join(parts[:count]) in forbidden for count in range(1, len(parts) + 1))


@pytest.mark.parametrize('part', FORBIDDEN)
def test_imports_point_one_way(part):
    path = PACKAGE / part
    sources = [path] if path.is_file() else sorted(path.rglob('*.py'))
    assert sources
    offences = {
        f'{source.relative_to(ROOT)}: {module}'
        for source in sources for module in imported_modules(source)
        if is_within(module, FORBIDDEN[part])}
    assert not offences


def test_the_core_is_importable_without_torch_and_ros():
    """Also indirectly: nothing that geometry and imagery import may bring these in."""
    blocked = sorted(ROS_MODULES | {'torch'})
    code = (
        f'import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n'
        'import fg2_ros.geometry, fg2_ros.imagery')
    run_to_its_end([sys.executable, '-c', code], check=True, cwd=ROOT)


@pytest.mark.parametrize(('lacking', 'command'), [
    ('torch', 'export --out folder'), ('trimesh', 'bench'), ('rclpy', 'replay bag --source name')])
def test_a_command_says_what_is_not_installed(lacking, command, tmp_path):
    """As after `pip install .` without the extra that it belongs to."""
    if lacking == 'trimesh':
        pytest.importorskip('torch')  # is asked for before
    code = (f'import sys; sys.modules[{lacking!r}] = None\n'
            f'from fg2_ros.commands import main; sys.exit(main({command.split()!r}))')
    finished = run_to_its_end(
        [sys.executable, '-c', code], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert finished.returncode == 1
    sentence = f'{lacking} is not installed: see "Installation" in the README\n'
    assert finished.stderr == f'fg2 {command.split()[0]}: {sentence}'


def test_the_node_loads_no_training_code():
    code = 'import sys, fg2_ros.ros.node; print(*sys.modules)'
    loaded = run_to_its_end([sys.executable, '-c', code], check=True, cwd=ROOT).stdout
    assert not LOADED_BY_THE_NODE.findall(loaded)
    assert not {'jinja2', 'matplotlib'} & set(loaded.split())


VERSIONED = ('package.xml', 'setup.py', 'fg2_ros/version.py', 'CITATION.cff', 'CHANGELOG.rst')


def versions(root: Path) -> set[str]:
    """Return the versions that the files of a project name, one if they agree."""
    places = (r'<version>(.*)</version>', r"^    version='(.*)',", r"^__version__ = '(.*)'",
              r'^version: (.*)', r'^(\d+\.\d+\.\d+) \(')
    return {re.search(place, (root / name).read_text(), re.MULTILINE)[1]
            for name, place in zip(VERSIONED, places, strict=True)}


@pytest.fixture
def release():
    """Return tools/release.py as a dictionary of its names."""
    return runpy.run_path(str(ROOT / 'tools' / 'release.py'))


@pytest.fixture
def project(tmp_path):
    """Return a copy of the files that name the version, with something to release."""
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    changes = tmp_path / 'CHANGELOG.rst'
    if 'Forthcoming' not in changes.read_text():
        changes.write_text(re.sub(
            r'\n(?=\d+\.\d+\.\d+ \()', '\nForthcoming\n-----------\n* More.\n\n',
            changes.read_text(), count=1))
    return tmp_path


def test_versions_agree():
    assert versions(ROOT) == {fg2_ros.__version__}


def test_a_release_raises_the_version_everywhere(release, project):
    release['raise_version'](project, '99.1.0', datetime.date(2031, 2, 3))
    assert versions(project) == {'99.1.0'}
    changes = (project / 'CHANGELOG.rst').read_text()
    assert '\n99.1.0 (2031-02-03)\n-------------------\n' in changes
    assert 'Forthcoming' not in changes
    assert 'date-released: 2031-02-03\n' in (project / 'CITATION.cff').read_text()


@pytest.mark.parametrize('version', ['0.0.1', '99.1', 'v99.1.0', fg2_ros.__version__])
def test_a_release_that_is_not_newer_is_refused(release, project, version):
    with pytest.raises(release['ReleaseError'], match='three numbers and newer than'):
        release['raise_version'](project, version, datetime.date(2031, 2, 3))


def test_a_release_without_changes_touches_nothing(release, project):
    changes = project / 'CHANGELOG.rst'
    changes.write_text(changes.read_text().replace('Forthcoming', 'Soon'))
    with pytest.raises(release['ReleaseError'], match='CHANGELOG.rst must have one place'):
        release['raise_version'](project, '99.1.0', datetime.date(2031, 2, 3))
    assert versions(project) == {fg2_ros.__version__}


def test_dependencies_are_declared():
    """All that is imported is an exec_depend, or for pip, which must not be one."""
    declared = {
        element.text for element in ElementTree.parse(ROOT / 'package.xml').iter('exec_depend')}
    for name in ('dask.txt', 'export.txt', 'imagery.txt', 'ray.txt', 'simulation.txt',
                 'training.txt', 'vehicle.txt'):
        packages = re.findall(r'^[A-Za-z0-9]+', (ROOT / 'requirements' / name).read_text(), re.M)
        assert sorted(packages) == [
            module for module, origin in sorted(DECLARED_AS.items()) if origin == name]
        declared.add(name)
    imported = {
        module.partition('.')[0] for source in PACKAGE.rglob('*.py')
        for module in imported_modules(source)} - sys.stdlib_module_names - {'fg2_ros'}
    assert {DECLARED_AS.get(module, module) for module in imported} <= declared


def test_pip_installs_what_rosdep_does():
    """The libraries that are Debian packages on a machine with ROS, by their names for pip."""
    libraries = {module for module, origin in DECLARED_AS.items() if origin.startswith('python3-')}
    core = (ROOT / 'requirements' / 'core.txt').read_text().splitlines()[1:]
    assert set(core) == {NAME_FOR_PIP.get(module, module) for module in libraries}


def test_local_commands_are_those_installed(monkeypatch):
    """The scripts in .venv run the same functions as those that setup.py installs."""
    scripts = runpy.run_path(str(ROOT / 'tools' / 'setup.py'))['SCRIPTS']
    local = [f'{name} = {module}:main' for name, module in scripts.items()]
    assert local == setup_arguments(monkeypatch)['entry_points']['console_scripts']


def setup_arguments(monkeypatch) -> dict:
    """Return what setup.py passes to setuptools."""
    arguments = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr('setuptools.setup', lambda **given: arguments.update(given))
    runpy.run_path('setup.py')
    return arguments

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

"""
Make the virtual environment `.venv` in the project's folder, ready to run everything.

Needs Python 3.11 or 3.12 and a C++ compiler; ROS 2 itself comes as wheels.  What is there and
made from the same inputs is kept, so a second run takes no time; what was interrupted is made
anew.  Run it as `make setup`.
"""

from __future__ import annotations

from contextlib import contextmanager
import fcntl
import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED_PYTHONS = ('3.11', '3.12')
# Disk for .venv and for what pip downloads, keeps and unpacks on the way. PyPI's torch comes with
# CUDA: 2.8 GB of downloads that become 5.2 GB, where the CPU's are 0.2 GB and 0.7 GB.
NEEDED_GB = {'cpu': 4, 'cuda': 12}
SCRIPTS = {'fg2': 'fg2_ros.commands', 'fg2_node': 'fg2_ros.ros.node'}  # name: module with main()
# Variables of a sourced ROS installation or another environment, which must not leak in.
FOREIGN_VARIABLES = (
    'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'COLCON_PREFIX_PATH', 'LD_LIBRARY_PATH',
    'PYTHONHOME', 'PYTHONPATH', 'VIRTUAL_ENV', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')
PROBE = (
    'import sys, sysconfig; '
    'print("%d.%d" % sys.version_info[:2], sysconfig.get_path("include"))')
NO_NETWORK = ('NewConnectionError', 'Temporary failure in name', 'ReadTimeoutError')


class SetupError(Exception):
    """A sentence that says what is missing, and the command that mends it."""


class Environment:
    """The virtual environment, and the file that tells what it was made from."""

    def __init__(self, root: Path) -> None:
        """Describe the environment of a project without touching it."""
        self.root = root
        self.folder = root / '.venv'
        self.python = self.folder / 'bin' / 'python'
        self.log = self.folder / 'setup.log'
        self._stamps = self.folder / 'setup.json'

    @property
    def site_packages(self) -> Path:
        """Return the folder that Python imports installed packages from."""
        return next((self.folder / 'lib').glob('python3.*')) / 'site-packages'

    def is_current(self, step: str, inputs: str) -> bool:
        """Return whether a step was completed with these inputs."""
        return self._read_stamps().get(step) == inputs

    def complete(self, step: str, inputs: str) -> None:
        """Remember that a step was completed with these inputs."""
        stamps = json.dumps({**self._read_stamps(), step: inputs})
        draft = self._stamps.with_suffix('.draft')
        draft.write_text(stamps)
        draft.replace(self._stamps)  # at once, so that an interruption leaves no half file

    def _read_stamps(self) -> dict[str, str]:
        try:
            return json.loads(self._stamps.read_text())
        except (OSError, ValueError):
            return {}


def main() -> int:
    """Set up; return the exit code."""
    started_s = time.monotonic()
    try:
        with one_at_a_time():
            changed = set_up(Environment(ROOT))
    except SetupError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    if changed:
        print(f'setup: ready after {time.monotonic() - started_s:.0f} s')
    return 0


def set_up(environment: Environment) -> bool:
    """Carry out the steps whose inputs have changed; return whether there was any."""
    packages = fingerprint(
        str(environment.root), *sorted(environment.root.glob('requirements/*.txt')))
    messages = fingerprint(
        packages, *(file for package in message_packages(environment.root)
                    for file in files_below(package)))
    links = fingerprint(packages, Path(__file__), *overlay_packages(environment.root))
    changed = False
    for step, inputs, carry_out in (
            ('packages', packages, install_packages), ('messages', messages, build_messages),
            ('links', links, link_sources)):
        if not environment.is_current(step, inputs):
            carry_out(environment)
            environment.complete(step, inputs)
            changed = True
    return changed


def install_packages(environment: Environment) -> None:
    """Make the environment from scratch and install the pinned packages."""
    python = find_python()
    check_machine(python)
    print('setup: installing ROS 2 and the Python packages in .venv (a minute or two) ...')
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.folder.mkdir()
    run(environment, [python, '-m', 'venv', environment.folder])
    check_disk(environment)
    pip_install(environment, '-r', environment.root / 'requirements' / 'development.txt')


def pip_install(environment: Environment, *arguments: str | Path) -> None:
    """Run `pip install` in the environment, with the pinned versions."""
    run(environment, [
        environment.python, '-m', 'pip', 'install', '--no-input', '--progress-bar', 'off',
        '--disable-pip-version-check', *arguments,
        '-c', environment.root / 'requirements' / 'constraints.txt'])


def build_messages(environment: Environment) -> None:
    """Build and install the message packages that are not on PyPI."""
    for package in message_packages(environment.root):
        print(f'setup: building {package.name} ...')
        build = environment.folder / 'build' / package.name
        shutil.rmtree(build, ignore_errors=True)
        cmake = environment.folder / 'bin' / 'cmake'
        run(environment, [
            cmake, '-S', package, '-B', build, '-DCMAKE_BUILD_TYPE=Release',
            '-DBUILD_TESTING=OFF', f'-DCMAKE_INSTALL_PREFIX={environment.folder}',
            f'-DCMAKE_PREFIX_PATH={environment.folder}',
            f'-DPython3_EXECUTABLE={environment.python}',
            f'-DCMAKE_PROJECT_INCLUDE={package.parent / "wheel_targets.cmake"}'])
        run(environment, [cmake, '--build', build, '--parallel', '2'])
        run(environment, [cmake, '--install', build])
    shutil.rmtree(environment.folder / 'build')


def link_sources(environment: Environment) -> None:
    """Make the project and the overlay importable in place, and write the commands."""
    root = environment.root
    for package in (root / 'fg2_ros', *overlay_packages(root)):
        link(environment.site_packages / package.name, package)
    share = environment.folder / 'share'
    for name in ('config', 'launch', 'package.xml'):
        link(share / 'fg2_ros' / name, root / name)
    link(share / 'ament_index/resource_index/packages/fg2_ros', root / 'resource' / 'fg2_ros')
    for name, module in SCRIPTS.items():
        write_script(environment, name, module)


def find_python() -> str:
    """
    Return a Python that the environment can be made with.

    :raises SetupError: if there is none.
    """
    for candidate in (sys.executable, *(f'python{version}' for version in SUPPORTED_PYTHONS)):
        if probe(candidate)[:1] and probe(candidate)[0] in SUPPORTED_PYTHONS:
            return candidate
    found = '.'.join(map(str, sys.version_info[:2]))
    raise SetupError(
        f'Python 3.11 or 3.12 is needed, but found only {found}: sudo apt-get install python3.12 '
        'python3.12-venv python3.12-dev (or make PYTHON=/path/to/python3.12).')


def check_machine(python: str) -> None:
    """
    Check what pip cannot bring, before minutes are spent on what it can.

    :raises SetupError: if something is missing.
    """
    version, headers = probe(python)
    if subprocess.run([python, '-c', 'import ensurepip'], capture_output=True).returncode:
        raise SetupError(
            f'the venv module of Python {version} is missing: sudo apt-get install '
            f'python{version}-venv.')
    if not Path(headers, 'Python.h').exists():
        raise SetupError(
            f'the headers of Python {version} are missing: sudo apt-get install '
            f'python{version}-dev.')
    if not shutil.which(os.environ.get('CXX', 'c++')) or not shutil.which('make'):
        raise SetupError('a C++ compiler is missing: sudo apt-get install g++ make.')


def check_disk(environment: Environment) -> None:
    """
    Check that there is room for the build of torch that pip finds.

    :raises SetupError: if there is not, or if pip finds none.
    """
    needed_gb = NEEDED_GB[torch_build(environment)]
    free_gb = shutil.disk_usage(environment.root).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(
            f'{needed_gb} GB of disk are needed ({NEEDED_GB["cpu"]} with the CPU build of torch: '
            f'see "Installation" in the README), but only {free_gb:.1f} are free in '
            f'{environment.root}: remove something (df -h {environment.root}).')


def torch_build(environment: Environment) -> str:
    """Return 'cuda' if pip would install CUDA with torch, else 'cpu'; nothing is installed."""
    report = environment.folder / 'torch.json'
    pip_install(environment, '--dry-run', '--quiet', '--report', report, 'torch')
    packages = json.loads(report.read_text())['install']
    with_cuda = any(package['metadata']['name'].startswith('nvidia') for package in packages)
    return 'cuda' if with_cuda else 'cpu'


def probe(python: str) -> list[str]:
    """Return (version, folder of the headers) of a Python; nothing if it does not run."""
    try:
        answer = subprocess.run(
            [python, '-c', PROBE], capture_output=True, text=True, env=own_variables())
    except OSError:
        return []
    return answer.stdout.strip().split(' ', 1) if answer.returncode == 0 else []


def run(environment: Environment, command: list) -> None:
    """
    Run a command, its output in the log.

    :raises SetupError: if it fails.
    """
    variables = own_variables()
    variables['PATH'] = f'{environment.folder / "bin"}{os.pathsep}{variables.get("PATH", "")}'
    variables['AMENT_PREFIX_PATH'] = str(environment.folder)
    with environment.log.open('a') as log:
        print('\n$', *command, file=log, flush=True)
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables)
    if status.returncode:
        raise SetupError(explain(environment.log))


def explain(log: Path) -> str:
    """Return a sentence on why the last command of a log failed."""
    text = log.read_text(errors='replace').rpartition('\n$ ')[2]
    if 'No space left on device' in text:
        return f'the disk is full: free some space (df -h {log.parent}), then run make again.'
    if any(sign in text for sign in NO_NETWORK):
        return 'no package registry can be reached: check the network, then run make again.'
    complaints = [line.strip() for line in text.splitlines() if 'error' in line.lower()]
    return f'{(complaints or ["a command failed"])[-1]}; see {log}, then run make again.'


def own_variables() -> dict[str, str]:
    """Return the environment's variables without those of other Python or ROS installations."""
    return {
        name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}


def link(place: Path, target: Path) -> None:
    """Make ``place`` a symbolic link to ``target``, whatever was there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    place.symlink_to(os.path.relpath(target, place.parent))


def write_script(environment: Environment, name: str, module: str) -> None:
    """Write a command that runs a module's ``main``."""
    script = environment.folder / 'bin' / name
    # By way of the shell, since the system reads neither spaces nor long paths after '#!'.
    script.write_text(
        '#!/bin/sh\n'
        f"'''exec' \"{environment.python}\" \"$0\" \"$@\"\n"
        "' '''\n"
        'import sys\n'
        f'from {module} import main\n'
        "if __name__ == '__main__':\n"  # worker processes import the script
        '    sys.exit(main())\n')
    script.chmod(0o755)


def message_packages(root: Path) -> list[Path]:
    """Return the message packages that PyPI lacks of ROS 2."""
    return sorted(path.parent for path in root.glob('ros_overlay/*/CMakeLists.txt'))


def overlay_packages(root: Path) -> list[Path]:
    """Return the Python packages that stand in for what PyPI lacks of ROS 2."""
    return sorted(path.parent for path in root.glob('ros_overlay/python/*/__init__.py'))


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder and those below it."""
    return sorted(path for path in folder.rglob('*') if path.is_file())


def fingerprint(*inputs: str | Path) -> str:
    """Return a hash of strings, of the contents of files, and of the names of folders."""
    digest = hashlib.sha256()
    for item in inputs:
        content = item.read_bytes() if isinstance(item, Path) and item.is_file() else b''
        digest.update(f'{item}\0{len(content)}\0'.encode() + content)
    return digest.hexdigest()


@contextmanager
def one_at_a_time():
    """Wait for another set-up of this project to end."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == '__main__':
    sys.exit(main())

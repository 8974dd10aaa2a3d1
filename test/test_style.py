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

"""The linters of ROS 2, unmodified, as every package of ROS runs them."""

import logging
import multiprocessing
from pathlib import Path
import re
import shutil
from test.helpers.paths import ROOT

from catkin_pkg.package import parse_package
import pytest

SOURCES = [
    str(ROOT / name) for name in (
        'examples', 'fg2_ros', 'launch', 'ros_overlay', 'setup.py', 'test', 'tools')]
NOT_FETCHED = 'Failed to locate the main schema resource'  # of ROS, on the web


@pytest.mark.linter
@pytest.mark.flake8
def test_flake8(monkeypatch):
    linter = pytest.importorskip('ament_flake8.main')
    # In one process: where other tests have left threads, a fork may wait for ever.
    monkeypatch.setattr(multiprocessing, 'cpu_count', lambda: 1)
    code, errors = linter.main_with_errors(argv=SOURCES)
    assert code == 0, '\n'.join(errors)


@pytest.mark.linter
@pytest.mark.pep257
def test_pep257(capsys, caplog):
    linter = pytest.importorskip('ament_pep257.main')
    caplog.set_level(logging.WARNING, logger='pydocstyle.utils')
    assert linter.main(argv=SOURCES) == 0, capsys.readouterr().err


@pytest.mark.linter
@pytest.mark.copyright
def test_copyright(capsys):
    linter = pytest.importorskip('ament_copyright.main')
    rules = [str(ROOT / name) for name in ('LICENSE', 'CONTRIBUTING.md')]
    assert linter.main(argv=[*SOURCES, *rules]) == 0, capsys.readouterr().err


@pytest.mark.linter
@pytest.mark.copyright
def test_all_sources_begin_with_the_same_header():
    header = (ROOT / 'setup.py').read_text().partition('\n\n')[0].partition('\n')[2]
    assert 'Licensed under the Apache License, Version 2.0' in header
    start = re.compile(r'# Copyright \d{4} fg2_ros maintainers\n' + re.escape(header) + r'\n')
    sources = [file for source in map(Path, SOURCES) for file in (
        source.rglob('*.py') if source.is_dir() else [source])]
    assert not [
        str(file) for file in sources
        if file.read_text().strip() and not start.match(file.read_text())]


@pytest.mark.linter
@pytest.mark.xmllint
def test_xmllint(capsys):
    linter = pytest.importorskip('ament_xmllint.main')
    if not shutil.which('xmllint'):
        pytest.skip('the program xmllint is not installed')
    files = ('package.xml', 'config/fastdds.xml', 'ros_overlay/tf2_msgs/package.xml')
    code = linter.main(argv=[str(ROOT / name) for name in files])
    errors = capsys.readouterr().err
    if NOT_FETCHED in errors:
        pytest.skip('the schema of package.xml cannot be fetched')
    assert code == 0, errors


@pytest.mark.linter
def test_package_xml_has_no_warnings():
    """An invalid one would silently turn the package into plain Python for colcon."""
    warnings = []
    package = parse_package(str(ROOT / 'package.xml'), warnings=warnings)
    package.validate(warnings=warnings)
    assert not warnings
    assert package.get_build_type() == 'ament_python'

"""The linters of ROS 2, unmodified, as every package of ROS runs them."""

import logging
from test.helpers.paths import ROOT

from catkin_pkg.package import parse_package
import pytest

SOURCES = [
    str(ROOT / name) for name in ('fg2_ros', 'launch', 'ros_overlay', 'setup.py', 'test', 'tools')]


@pytest.mark.linter
@pytest.mark.flake8
def test_flake8():
    linter = pytest.importorskip('ament_flake8.main')
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
def test_copyright():
    """Only the licence of the whole is checked: the files carry no headers of their own."""
    linter = pytest.importorskip('ament_copyright.main')
    assert linter.main(argv=[str(ROOT / 'LICENSE'), str(ROOT / 'CONTRIBUTING.md')]) == 0


@pytest.mark.linter
@pytest.mark.xmllint
def test_xmllint():
    linter = pytest.importorskip('ament_xmllint.main')
    assert linter.main(argv=[str(ROOT / 'package.xml')]) == 0


@pytest.mark.linter
def test_package_xml_has_no_warnings():
    """An invalid one would silently turn the package into plain Python for colcon."""
    warnings = []
    package = parse_package(str(ROOT / 'package.xml'), warnings=warnings)
    package.validate(warnings=warnings)
    assert not warnings
    assert package.get_build_type() == 'ament_python'

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

"""The documentation: links and sections exist, and so do the commands, parameters and files."""

import re
import shlex
from test.helpers.paths import ROOT
from test.test_package import imported_modules, PACKAGE

from fg2_ros.commands import make_parser
import pytest
import yaml

PAGES = sorted([
    *ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('.github/**/*.md'),
    *ROOT.glob('fg2_ros/weights/*.md')])
SPEAKERS = sorted([
    *ROOT.glob('fg2_ros/**/*.py'), *ROOT.glob('tools/*.py'), *ROOT.glob('requirements/*.txt'),
    *ROOT.glob('config/*')])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r'^( *)```\w*\n(.*?)^\1```', re.DOTALL | re.MULTILINE)
FOLDERS = 'config|docs|examples|fg2_ros|launch|requirements|ros_overlay|test|tools'


def prose(page):
    """Return the text of a page without its blocks of code."""
    return FENCED.sub('', page.read_text())


def sections(page):
    """Return the titles of the sections of a page."""
    return re.findall(r'^#+ (.*)', prose(page), re.MULTILINE)


def anchor(title):
    """Return what links call a section."""
    return re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target, fragment in re.findall(r'\]\((?!\w+:)([^)#]*)#?([^)]*)\)', prose(page)):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if fragment:
            assert fragment in map(anchor, sections(file)), f'{target}#{fragment}'


def commands_of(page):
    """Return the lines of a page's code that call fg2."""
    code = ''.join(block for _, block in FENCED.findall(page.read_text())).replace('\\\n', ' ')
    return [line.strip() for line in code.splitlines() if line.strip().startswith('fg2 ')]


@pytest.mark.parametrize('command', [each for page in PAGES for each in commands_of(page)])
def test_commands_exist(command):
    arguments = shlex.split(command, comments=True)[1:]
    assert make_parser().parse_args(arguments).command == arguments[0]


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_parameters_exist(page):
    manual = yaml.safe_load((ROOT / 'config' / 'fg2.yaml').read_text())['/**']['ros__parameters']
    groups = '|'.join(name for name, value in manual.items() if isinstance(value, dict))
    for name in re.findall(rf'`((?:{groups})\.[a-z_.]+)(?:: [^`]*)?`', prose(page)):
        value = manual
        for part in name.split('.'):
            assert part in value, name
            value = value[part]


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_files_exist(page):
    text = prose(page)
    for path in re.findall(rf'`((?:{FOLDERS})/[\w./-]*)`', text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r'`([a-z_]+/[\w/]+\.py)`', text):
        assert (ROOT / path).exists() or (ROOT / 'fg2_ros' / path).exists(), path


def test_sections_that_messages_point_to_exist():
    named = {
        (section, 'README.md' if page == 'the README' else page)
        for speaker in SPEAKERS
        for section, page in re.findall(
            r'"([^"\n]+)"\s+in\s+(?:#\s+)?(the README|docs/\w+\.md)', speaker.read_text())}
    assert named
    for section, page in named:
        assert section in sections(ROOT / page), f'{page} has no section {section!r}'


def test_the_house_is_as_drawn():
    """Each folder and file of the package has a floor, and imports from lower ones only."""
    figure = re.search(
        r'## The house.*?```mermaid\n(.*?)```', (ROOT / 'docs/architecture.md').read_text(), re.S)
    drawn = re.findall(r'subgraph.*?\n(.*?)\n +end', figure[1])
    floor = {part: -row for row, parts in enumerate(drawn) for part in parts.split(' ~~~ ')}
    floor = {part.strip(): height for part, height in floor.items()}
    sources = [file for file in PACKAGE.rglob('*.py') if file != PACKAGE / '__init__.py']
    assert {part_of(file) for file in sources} == set(floor)
    upwards = {
        f'{file.relative_to(ROOT)}: fg2_ros.{part}' for file in sources
        for part in (imported_parts(file) & set(floor)) - {part_of(file)}
        if floor[part] >= floor[part_of(file)]}
    assert not upwards


def part_of(file):
    """Return the folder, or else the file, of the package that a file is in."""
    return file.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imported_parts(file):
    """Return the parts of the package that a file of it imports from."""
    return {module.split('.')[1] for module in imported_modules(file)
            if module.startswith('fg2_ros.')}

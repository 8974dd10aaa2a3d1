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
Raise the version everywhere: `python3 tools/release.py 0.2.0`.

The package.xml, setup.py, fg2_ros/version.py and CITATION.cff get the version, the last one
today's date, too; the section "Forthcoming" of CHANGELOG.rst becomes the version's.  Nothing is
written unless all of it can be.  What remains is to commit and to tag.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
import re
import sys

ROOT = Path(__file__).resolve().parent.parent
NUMBER = r'\d+\.\d+\.\d+'


class ReleaseError(Exception):
    """A sentence that says why the version cannot be raised."""


def main(argv: list[str] | None = None) -> int:
    """Raise the version of this project; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().partition('\n')[0])
    parser.add_argument('version', help='the new one, such as 0.2.0')
    version = parser.parse_args(argv).version
    try:
        raise_version(ROOT, version, datetime.date.today())
    except ReleaseError as error:
        print(f'release: {error}', file=sys.stderr)
        return 1
    print(f'release: {version}; now commit, and tag the commit {version}')
    return 0


def raise_version(root: Path, version: str, date: datetime.date) -> None:
    """
    Write a version into all files that name it.

    :param root: folder of the project.
    :raises ReleaseError: if it is no version, not newer, or a file has no place for it; then no
        file is changed.
    """
    current = current_version(root)
    if not re.fullmatch(NUMBER, version) or as_numbers(version) <= as_numbers(current):
        raise ReleaseError(f'{version} must be three numbers and newer than {current}')
    texts = {
        root / name: replaced(root / name, pattern, replacement)
        for name, pattern, replacement in (
            ('package.xml', f'<version>{NUMBER}', f'<version>{version}'),
            ('setup.py', f" version='{NUMBER}'", f" version='{version}'"),
            ('fg2_ros/version.py', f"__version__ = '{NUMBER}'", f"__version__ = '{version}'"),
            ('CITATION.cff', f'\nversion: {NUMBER}\ndate-released: [0-9-]+',
             f'\nversion: {version}\ndate-released: {date}'),
            ('CHANGELOG.rst', '\nForthcoming\n-+', f'\n{heading(version, date)}'))}
    for path, text in texts.items():
        path.write_text(text, encoding='utf-8')


def current_version(root: Path) -> str:
    """Return the version that package.xml names."""
    found = re.search(f'<version>({NUMBER})</version>', (root / 'package.xml').read_text())
    if not found:
        raise ReleaseError(f'{root / "package.xml"} names no version')
    return found[1]


def as_numbers(version: str) -> tuple[int, ...]:
    """Return a version such that a newer one is greater."""
    return tuple(map(int, version.split('.')))


def replaced(path: Path, pattern: str, replacement: str) -> str:
    """
    Return the text of a file with its only match of a pattern replaced.

    :raises ReleaseError: if there is no match or another one.
    """
    text, count = re.subn(pattern, replacement, path.read_text(encoding='utf-8'))
    if count != 1:
        raise ReleaseError(f'{path} must have one place for the version, but has {count}')
    return text


def heading(version: str, date: datetime.date) -> str:
    """Return the title of a version's section in the change log, underlined."""
    title = f'{version} ({date})'
    return f'{title}\n{"-" * len(title)}'


if __name__ == '__main__':
    sys.exit(main())

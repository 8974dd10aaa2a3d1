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

"""Options of the sub-commands, declared from settings dataclasses; YAML files may give them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, Field, fields, MISSING, replace
import json
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

from fg2_ros.settings import (
    checked, explanation, read_yaml, setting, SHIPPED_WEIGHTS, type_of)


def add_options(parser: argparse.ArgumentParser, run: Callable[..., int], *parts: Any,
                without: Iterable[str] = ()) -> None:
    """
    Declare ``--config FILE`` and an option for each setting of some dataclasses.

    The command line wins over the file, and the file over the defaults. What is wrong with the
    options ends the program with a sentence and code 2, as argparse does it.

    :param run: called by `fg2_ros.commands.main` with an instance of each part; returns the exit
        code.
    :param parts: settings dataclasses, or instances of such with other defaults; their fields
        have different names.
    :param without: names of settings that the command does not have.
    """
    known = {name: declared for part in parts for name, declared in _fields(part).items()
             if name not in without}
    defaults = {name: value for part in parts for name, value in _defaults(part).items()}
    required = [name for part in parts if isinstance(part, type)
                for name, declared in _fields(part).items() if declared.default is MISSING]
    parser.add_argument(
        '--config', type=Path, metavar='FILE',
        help='YAML file with these options under their names; the command line wins')
    groups: dict[str, Any] = {}
    for name, declared in known.items():
        group = declared.metadata['option'].get('group')
        if group and group not in groups:
            groups[group] = parser.add_mutually_exclusive_group()
        _add_option(groups.get(group, parser), name, declared, defaults.get(name))

    def run_with_options(args: argparse.Namespace) -> int:
        try:
            values = _values(args, known, required)
        except ValueError as error:
            parser.error(str(error))
        return run(*(_made(part, values) for part in parts))

    parser.set_defaults(run=run_with_options)


def _fields(part: Any) -> dict[str, Field]:
    """Return the settings of a part by the names that users write."""
    return {declared.metadata['option'].get('name', declared.name): declared
            for declared in fields(part) if 'option' in declared.metadata}


def _defaults(part: Any) -> dict[str, Any]:
    """Return the defaults of a part that are worth telling."""
    told = {name: getattr(part, declared.name, declared.default)
            for name, declared in _fields(part).items()}
    return {name: value for name, value in told.items()
            if value not in (MISSING, None, '', ()) and value is not False}


def _add_option(parser: Any, name: str, declared: Field, default: Any) -> None:
    """Declare an option; what is given stays as it is written, for `checked` to convert."""
    about, wanted = declared.metadata['option'], type_of(declared)
    flag = '--' + name.replace('_', '-')
    how: dict[str, Any] = {
        'default': argparse.SUPPRESS, 'help': _help(declared, default).replace('%', '%%')}
    is_list = wanted is tuple and not declared.metadata['parse']
    if about.get('positional'):
        parser.add_argument(name, nargs='*' if is_list else '?',
                            metavar=about.get('metavar', name.upper()), **how)
        return
    if wanted is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **how)
        return
    if is_list and declared.metadata['of'] in (str, Path):
        how |= {'action': 'append'}
    elif is_list:
        how |= {'nargs': len(default) if default else '+'}
    elif 'const' in about:
        how |= {'nargs': '?', 'const': about['const']}
    parser.add_argument(flag, metavar=_metavar(declared), **how)


def _metavar(declared: Field) -> Any:
    choices = declared.metadata['choices']
    if choices:
        return f'{{{",".join(map(str, choices))}}}'
    usual = {int: 'N', float: 'X', Path: 'FILE'}.get(type_of(declared), declared.name.upper())
    return declared.metadata['option'].get('metavar', usual)


def _help(declared: Field, default: Any) -> str:
    text = explanation(declared)
    if declared.default is MISSING and default is None:
        return f'{text} (required)'
    if default in (SHIPPED_WEIGHTS, (SHIPPED_WEIGHTS,)):
        return f"{text} (default: the package's own)"
    if declared.metadata['parse'] and isinstance(default, tuple):
        default = '-'.join(map(str, default))
    return text if default is None else f'{text} ({default})'


def _values(args: argparse.Namespace, known: Mapping[str, Field],
            required: Iterable[str]) -> dict[str, Any]:
    """
    Return the values that the file and the command line give.

    :raises ValueError: if one cannot be used, or one that is needed is missing.
    """
    given = {name: value for name, value in vars(args).items() if name in known}
    values = _filed(args.config, known) if args.config else {}
    chosen = {_group(known[name]) for name in given} - {None}
    values = {name: value for name, value in values.items() if _group(known[name]) not in chosen}
    values |= checked(given, known, lambda name: f'--{name.replace("_", "-")}')
    missing = [name for name in required if name not in values]
    if missing:
        raise ValueError('these are required: ' + ', '.join(
            name if known[name].metadata['option'].get('positional') else
            f'--{name.replace("_", "-")}' for name in missing))
    return values


def read_options(path: Path, *parts: Any) -> list[Any]:
    """
    Return settings of other options than the command's own, as ``--config`` takes them.

    :param path: a YAML file.
    :param parts: settings dataclasses, or instances of such with other defaults.
    :raises ValueError: if the file cannot be used.
    """
    values = _filed(path, {name: declared for part in parts
                           for name, declared in _fields(part).items()})
    return [_made(part, values) for part in parts]


def _filed(path: Path, known: Mapping[str, Field]) -> dict[str, Any]:
    content = {name.replace('-', '_'): value for name, value in read_yaml(path).items()}
    return checked(content, known, lambda name: f'{path}: {name}')


def _group(declared: Field) -> str | None:
    return declared.metadata['option'].get('group')


def _made(part: Any, values: Mapping[str, Any]) -> Any:
    own = {declared.name: values[name] for name, declared in _fields(part).items()
           if name in values}
    return part(**own) if isinstance(part, type) else replace(part, **own)


@dataclass(frozen=True)
class Output:
    """Where the figures go."""

    json: Path | None = setting(None, 'Write the figures there.', of=Path)

    def write(self, figures: dict) -> None:
        """Write figures to the file, if one is wanted; its folder is made."""
        if self.json is not None:
            self.json.parent.mkdir(parents=True, exist_ok=True)
            self.json.write_text(json.dumps(figures, indent=2) + '\n')


@dataclass(frozen=True)
class NetworkOptions:
    """Which weights run where."""

    weights: Path = setting(
        SHIPPED_WEIGHTS, 'File that `fg2 train` or `fg2 convert` made.')
    device: str = setting('auto', 'Torch device.')
    precision: str = setting(
        'fp32', 'auto: bf16 on a CPU with instructions for it, else fp32.',
        choices=('auto', 'fp32', 'fp16', 'bf16'))

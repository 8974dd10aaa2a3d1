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
The command `fg2`: one module of this package per sub-command.

A sub-command's module has ``add_arguments(parser)``, which hands the parser to `add_options`; the
first line of its docstring is its help.  A module without it is a helper of the others; of one
that would have the name of a keyword, a last underscore is not part of the command's.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import pkgutil
import sys
from types import ModuleType
from typing import Sequence

from fg2_ros.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a sub-command.

    :param argv: its name and arguments; those of the process if None.
    :return: the exit code: 0 success, 1 a problem, told in one sentence, 130 interrupted; wrong
        options end the process with 2.
    """
    args = make_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO, format='%(levelname)s: %(message)s')
    try:
        return args.run(args)
    except (ModuleNotFoundError, OSError, ValueError) as error:
        if args.verbose:
            raise
        print(f'fg2 {args.command}: {sentence_of(error)}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def sentence_of(error: Exception) -> str:
    """Return the message for an error; for a missing package, how to install it."""
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).partition('.')[0]
        return f'{package} is not installed: see "Installation" in the README'
    return str(error)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `fg2` with all its sub-commands."""
    parser = argparse.ArgumentParser(
        prog='fg2', description='Localize ground panoramas in aerial imagery.')
    parser.add_argument('--version', action='version', version=__version__)
    parser.add_argument(
        '--verbose', action='store_true', help='log details, and show where an error came from')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, module in command_modules().items():
        add_command(commands, name, module)
    return parser


def command_modules() -> dict[str, ModuleType]:
    """Return the modules that implement a sub-command, by its name."""
    modules = {
        info.name.rstrip('_'): importlib.import_module(f'{__name__}.{info.name}')
        for info in pkgutil.iter_modules(__path__)}
    return {name: module for name, module in modules.items() if hasattr(module, 'add_arguments')}


def add_command(
        commands: argparse._SubParsersAction, name: str, module: ModuleType) -> None:
    """Add the sub-command that a module implements."""
    summary = (module.__doc__ or name).strip().partition('\n')[0]
    parser = commands.add_parser(
        name, help=summary, description=(module.__doc__ or name).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)

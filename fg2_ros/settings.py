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
Settings: dataclass fields with unit, range and explanation, and values for them from outside.

ROS parameters, YAML files, the catalogue of imagery and the options of the commands are all
declared from such dataclasses, and converted and checked here.
"""

from __future__ import annotations

from dataclasses import Field, field, fields, is_dataclass, MISSING, replace
import math
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

import yaml

MAINTAINERS = 'maintainers@fg2-ros.org'  # tile servers are told, unless a user is to be asked
SHIPPED_WEIGHTS = Path(__file__).parent / 'weights' / 'fg2_sim.safetensors'
_TYPE_NAMES = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text',
               Path: 'a path'}
_MOST_NODES = 1_000_000  # of a YAML file
_MOST_SHOWN = 80  # characters of a value
_PLURALS = {int: 'whole numbers', float: 'numbers', str: 'texts', Path: 'paths'}


def setting(default: Any, text: str, *, unit: str = '', between: tuple | None = None,
            choices: tuple = (), of: type = float, parse: Callable[[Any], Any] | None = None,
            read_only: bool = False, secret: bool = False, option: Mapping | None = None) -> Any:
    """
    Return a dataclass field that carries what a user needs to know to change it.

    :param default: the default value; its type is the setting's type. MISSING: a value must be
        given. None: there need not be one.
    :param text: what it does, for the user.
    :param unit: of the value, as a manual writes it.
    :param between: smallest and largest value allowed, both included.
    :param choices: the values allowed, if they are few.
    :param of: the type of a tuple's items, or of the value where the default does not tell it.
    :param parse: makes the value out of what a user writes; raises ValueError with the reason.
    :param read_only: whether a running node cannot change it.
    :param secret: whether no message may show its value.
    :param option: how a command line writes it, where that does not follow from the above:
        ``name``, with underscores; ``metavar``; ``positional``; ``const``, the value of an option
        without one; ``group``, of which only one may be given.
    """
    return field(default=default, repr=not secret, metadata={
        'help': text, 'unit': unit, 'range': between, 'choices': choices, 'of': of,
        'parse': parse, 'read_only': read_only, 'secret': secret, 'option': dict(option or {})})


def type_of(declared: Field) -> type:
    """Return the type of a setting's values."""
    if declared.default is MISSING or declared.default is None:
        return declared.metadata['of']
    return Path if isinstance(declared.default, Path) else type(declared.default)


def explanation(declared: Field) -> str:
    """Return what a setting does, with its unit."""
    unit = declared.metadata.get('unit')
    return declared.metadata.get('help', '') + (f' [{unit}]' if unit else '')


def converted(what: str, value: Any, declared: Field, default: Any = None) -> Any:
    """
    Return a value as the type of its setting, or refuse it.

    An integer is a fine double, a list is a fine tuple, one text is fine for a list of texts, and
    None (`[]` in a ROS parameter file) is the default. A text is a fine number if it reads as
    one: command lines have nothing else, and YAML takes 1e-4 for text.

    :param what: what the sentence calls the setting.
    :raises ValueError: with the reason, naming the setting.
    """
    if value is None:
        return default
    about, wanted = declared.metadata, type_of(declared)
    if about.get('parse'):
        try:
            return about['parse'](value)
        except ValueError as error:
            raise ValueError(f'{what}: {_short(str(error), 4 * _MOST_SHOWN)}') from None
    if wanted is tuple:
        value = _items(what, value, declared)
    else:
        value = _scalar(what, value, wanted, declared)
    _require_allowed(what, value, declared)
    return value


def checked(values: Mapping[str, Any], known: Mapping[str, Field],
            label: Callable[[str], str] = str) -> dict[str, Any]:
    """
    Return values as the types of their settings; those that are None are left out.

    :param values: by name.
    :param known: all settings, by name.
    :param label: what sentences call a setting of some name.
    :raises ValueError: naming what is unknown, of the wrong type or out of range.
    """
    unknown = [_short(name) for name in sorted(map(str, set(values) - set(known)))]
    if unknown:
        names = _short(', '.join(unknown), 10 * _MOST_SHOWN)
        raise ValueError(f'{label("")}unknown setting{"s" * (len(unknown) > 1)} {names}; there '
                         f'are {", ".join(known)}')
    return {name: converted(label(name), value, known[name])
            for name, value in values.items() if value is not None}


def settings_of(settings: Any, prefix: str = '') -> dict[str, tuple[Field, Any]]:
    """
    Return {dotted name: (field, value)} of a settings dataclass and those nested in it.

    :param settings: an instance; its own values are returned beside the fields.
    """
    named: dict[str, tuple[Field, Any]] = {}
    for declared in fields(settings):
        value = getattr(settings, declared.name)
        if is_dataclass(value):
            named |= settings_of(value, f'{prefix}{declared.name}.')
        else:
            named[prefix + declared.name] = (declared, value)
    return named


def with_values(settings: Any, values: Mapping[str, Any], prefix: str = '') -> Any:
    """Return a settings dataclass with other values, by the dotted names of `settings_of`."""
    changes = {}
    for declared in fields(settings):
        value, name = getattr(settings, declared.name), prefix + declared.name
        if is_dataclass(value):
            changes[declared.name] = with_values(value, values, name + '.')
        elif name in values:
            changes[declared.name] = values[name]
    return replace(settings, **changes)


def read_yaml(path: Path) -> dict[str, Any]:
    """
    Return the mapping in a YAML file.

    :raises ValueError: if it cannot be read, or does not hold one.
    """
    try:
        content = yaml_content(path.read_text('utf-8-sig'))
    except (OSError, ValueError) as error:
        raise ValueError(f'cannot read {path}: {error}') from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError(f'{path} holds no settings: expected are lines as "epochs: 25"')
    return content


def yaml_content(text: str) -> Any:
    """
    Return what a YAML text says; like `yaml.safe_load`, but it comes to an end.

    A few hundred bytes of aliases may stand for gigabytes, and values of the right form for no
    date or number.

    :raises ValueError: with the line, if it is not YAML or stands for too much.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _require_small(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f', line {mark.line + 1}' if mark else ''
        raise ValueError(f'it is not YAML{where}: {error.problem}') from None
    except yaml.YAMLError as error:
        raise ValueError(f'it is not YAML: {" ".join(str(error).split())}') from None
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(f'it holds a value that is none ({error})') from None


def _require_small(root: yaml.Node) -> None:
    """Raise a ValueError if a tree of nodes, with all that its aliases stand for, is too large."""
    sizes: dict[int, int] = {}

    def size_of(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_NODES  # an alias of what it is in has no end
            inside = node.value if isinstance(node, yaml.CollectionNode) else ()
            sizes[id(node)] = 1 + sum(
                sum(map(size_of, each)) if isinstance(each, tuple) else size_of(each)
                for each in inside)
        return sizes[id(node)]

    if size_of(root) >= _MOST_NODES:
        raise yaml.constructor.ConstructorError(
            None, None, 'its aliases stand for too much', root.start_mark)


def _items(what: str, value: Any, declared: Field) -> tuple:
    of = declared.metadata.get('of', float)
    if isinstance(value, (str, Path)) and of in (str, Path):
        value = (value,)
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _wrong(what, value, declared, 'a list')
    value = list(value)
    try:
        return tuple(_scalar(what, item, of, declared) for item in value)
    except ValueError:
        raise _wrong(what, value, declared, f'a list of {_PLURALS[of]}') from None


def _scalar(what: str, value: Any, wanted: type, declared: Field) -> Any:
    if type(value) is wanted or wanted is Path and isinstance(value, Path):
        return value
    if wanted is Path and isinstance(value, str):
        return Path(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        if wanted is float and is_number or wanted in (int, float) and isinstance(value, str):
            return wanted(value)
    except (ValueError, OverflowError):
        pass
    raise _wrong(what, value, declared, _TYPE_NAMES[wanted])


def _wrong(what: str, value: Any, declared: Field, wanted: str) -> ValueError:
    shown = '' if declared.metadata.get('secret') else f' = {_shown(value)}'
    return ValueError(f'{what}{shown} is not {wanted}')


def _shown(value: Any) -> str:
    """Return a value as people read it, in short."""
    try:
        text = repr(value)
    except ValueError:  # a number with thousands of digits
        return 'a number of thousands of digits'
    return _short(text)


def _short(text: str, most: int = _MOST_SHOWN) -> str:
    return text if len(text) <= most else f'{text[:most]}...'


def _require_allowed(what: str, value: Any, declared: Field) -> None:
    limits, choices = declared.metadata.get('range'), declared.metadata.get('choices')
    if limits and not limits[0] <= value <= limits[1]:
        raise ValueError(
            f'{what} = {_shown(value)} is not between {limits[0]} and {limits[1]}')
    if choices and value not in choices:
        raise ValueError(
            f'{what} = {_shown(value)} is not one of {", ".join(map(repr, choices))}')
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'{what} = {value} is not finite')

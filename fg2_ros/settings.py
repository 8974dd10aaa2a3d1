"""Settings: dataclass fields with unit, range and explanation; values for them from outside."""

from __future__ import annotations

from dataclasses import Field, field, fields, is_dataclass
import math
from pathlib import Path
from typing import Any

import yaml

MAINTAINERS = 'maintainers@fg2-ros.org'  # tile servers are told, unless a user is to be asked
SHIPPED_WEIGHTS = Path(__file__).parent / 'weights' / 'fg2_sim.safetensors'


def setting(default: Any, text: str, *, unit: str = '', between: tuple | None = None,
            choices: tuple = (), of: type = float, read_only: bool = False,
            secret: bool = False) -> Any:
    """
    Return a dataclass field that carries what a user needs to know to change it.

    :param default: the default value; its type is the setting's type.
    :param text: what it does, for the user.
    :param unit: of the value, as a manual writes it.
    :param between: smallest and largest value allowed, both included.
    :param choices: the values allowed, if they are few.
    :param of: what the items of a tuple are: float or str.
    :param read_only: whether a running node cannot change it.
    :param secret: whether no message may show its value.
    """
    return field(default=default, metadata={
        'help': text, 'unit': unit, 'range': between, 'choices': choices, 'of': of,
        'read_only': read_only, 'secret': secret})


def converted(name: str, value: Any, declared: Field, default: Any = None) -> Any:
    """
    Return a value as the type of its setting, or refuse it.

    An integer is a fine double, a list is a fine tuple, one text is fine for a list of texts, and
    None (`[]` in YAML) is the default.

    :raises ValueError: with the reason, naming the setting.
    """
    if value is None:
        return default
    wanted = type(declared.default)
    if wanted is tuple:
        value = _items(name, value, declared)
    elif wanted is float:
        value = _number(name, value, declared)
    elif type(value) is not wanted:
        raise _wrong(name, value, declared, f'a {_TYPE_NAMES.get(wanted, wanted.__name__)}')
    _require_allowed(name, value, declared)
    return value


def settings_of(settings: Any, prefix: str = '') -> dict[str, tuple[Field, Any]]:
    """
    Return {dotted name: (field, value)} of a settings dataclass and those nested in it.

    :param settings: an instance; its own values are returned beside the fields.
    """
    found = {}
    for declared in fields(settings):
        value = getattr(settings, declared.name)
        if is_dataclass(value):
            found |= settings_of(value, f'{prefix}{declared.name}.')
        else:
            found[prefix + declared.name] = (declared, value)
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """
    Return the mapping in a YAML file.

    :raises ValueError: if it cannot be read, or is none.
    """
    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f'cannot read {path}: {error}') from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError(f'{path} holds no settings: expected are lines as "epochs: 25"')
    return content


_TYPE_NAMES = {bool: 'boolean', int: 'whole number', str: 'text'}


def _items(name: str, value: Any, declared: Field) -> tuple:
    if isinstance(value, (bool, int, float)):
        raise _wrong(name, value, declared, 'a list')
    if declared.metadata.get('of', float) is float:
        return tuple(_number(name, item, declared) for item in value)
    value = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(item, str) for item in value):
        raise _wrong(name, list(value), declared, 'a list of texts')
    return value


def _number(name: str, value: Any, declared: Field) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(name, value, declared, 'a number')
    return float(value)


def _wrong(name: str, value: Any, declared: Field, wanted: str) -> ValueError:
    shown = '' if declared.metadata.get('secret') else f' = {value!r}'
    return ValueError(f'parameter {name}{shown} is not {wanted}')


def _require_allowed(name: str, value: Any, declared: Field) -> None:
    limits, choices = declared.metadata.get('range'), declared.metadata.get('choices')
    if limits and not limits[0] <= value <= limits[1]:
        raise ValueError(
            f'parameter {name} = {value} is not between {limits[0]} and {limits[1]}')
    if choices and value not in choices:
        raise ValueError(
            f'parameter {name} = {value!r} is none of {", ".join(map(repr, choices))}')
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'parameter {name} = {value} is not finite')

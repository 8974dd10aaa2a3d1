"""Values from outside for settings dataclasses: by dotted name, converted and checked."""

from __future__ import annotations

from dataclasses import Field, fields, is_dataclass
import math
from typing import Any


def converted(name: str, value: Any, declared: Field, default: Any = None) -> Any:
    """
    Return a value as the type of its setting, or refuse it.

    An integer is a fine double, a list is a fine tuple, and None (`[]` in YAML) is the default.

    :raises ValueError: with the reason, naming the setting.
    """
    if value is None:
        return default
    wanted = type(declared.default)
    if wanted is tuple:
        value = tuple(_number(name, item) for item in value)
    elif wanted is float:
        value = _number(name, value)
    elif type(value) is not wanted:
        raise ValueError(
            f'parameter {name} = {value!r} is not a {_TYPE_NAMES.get(wanted, wanted.__name__)}')
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


_TYPE_NAMES = {bool: 'boolean', int: 'whole number', str: 'text'}


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'parameter {name} = {value!r} is not a number')
    return float(value)


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

"""How settings describe themselves: dataclass fields with unit, range and explanation."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def setting(default: Any, text: str, *, unit: str = '', between: tuple | None = None,
            choices: tuple = (), read_only: bool = False) -> Any:
    """
    Return a dataclass field that carries what a user needs to know to change it.

    :param default: the default value; its type is the setting's type.
    :param text: what it does, for the user.
    :param unit: of the value, as a manual writes it.
    :param between: smallest and largest value allowed, both included.
    :param choices: the values allowed, if they are few.
    :param read_only: whether a running node cannot change it.
    """
    return field(default=default, metadata={
        'help': text, 'unit': unit, 'range': between, 'choices': choices,
        'read_only': read_only})

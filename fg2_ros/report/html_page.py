"""Self-contained HTML pages from the templates beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

NO_BREAK = '\u00a0'  # a space at which no line ends


def write_page(path: Path, template: str, **values: object) -> None:
    """
    Write a page.

    :param path: the HTML file; replaced if it exists.
    :param template: its name.
    :param values: what it shows; all but `Markup` is escaped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(template, **values), 'utf-8')


def render(template: str, **values: object) -> Markup:
    """
    Return a template with its values put in, for a page or as a part of one.

    :param template: its name.
    :param values: all but `Markup` is escaped.
    """
    return Markup(_environment().get_template(template).render(values))


def quantity(value: object, unit: str = '', digits: int | None = None) -> str:
    """
    Return a number with its unit as text, a dash for None.

    :param digits: after the point; as many as the number has if it is not given.
    """
    if value is None:
        return '–'
    text = str(value) if digits is None else f'{value:,.{digits}f}'
    return f'{text}{"" if unit in "°" else NO_BREAK}{unit}'


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader('fg2_ros.report'), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters['quantity'] = quantity
    return environment

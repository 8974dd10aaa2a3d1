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

"""Self-contained HTML pages from the templates beside this file."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape, Markup
import numpy as np

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


def breakable(name: str) -> Markup:
    """Return a name in which lines may end after underscores, for heads of narrow columns."""
    return escape(name).replace('_', Markup('_<wbr>'))


def jpeg_uri(image: np.ndarray, quality: int = 85) -> str:
    """Return a data URI of a (H, W, 3) uint8 RGB image."""
    _, jpeg = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data_uri(jpeg.tobytes())


def data_uri(data: bytes, kind: str = 'jpeg') -> str:
    """Return a data URI of an encoded picture."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader('fg2_ros.report'), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters.update(quantity=quantity, breakable=breakable)
    return environment

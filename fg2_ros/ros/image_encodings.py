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
Raw images of any encoding as RGB, by cv_bridge.

What cv_bridge leaves to its callers is done here: sizes are checked, rows are packed and numbers
put into the machine's order of bytes, names that mean the same are translated, and the planes of
NV images, which it does not know, are converted by OpenCV.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Callable, Mapping, Union

import cv2
from cv_bridge import CvBridge
from fg2_ros.ros.serialized_image import ImageView
import numpy as np
from sensor_msgs.msg import Image


@dataclass(frozen=True)
class Encoding:
    """
    How pixels lie in memory.

    :param name: what cv_bridge calls it.
    :param channels: numbers of a pixel in a row; of planes those of the first one.
    :param bits: of a number; 16 are scaled to 8 by their full range.
    :param block: columns and rows that share their colour; sizes are multiples of it.
    """

    name: str
    channels: int
    bits: int = 8
    block: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Planes:
    """
    Images whose brightness comes first, and then their colours in pairs.

    :param rows: in memory, for each row of the image.
    :param convert: makes (h, w, 3) RGB of (rows, w).
    """

    rows: float
    convert: Callable[[np.ndarray], np.ndarray]
    channels: int = 1
    bits: int = 8
    block: tuple[int, int] = (2, 2)


def _rgb_of_nv24(planes: np.ndarray) -> np.ndarray:
    """Return RGB; the colours are halved in size, as OpenCV knows them."""
    height, width = len(planes) // 3, planes.shape[1]
    colours = planes[height:].reshape(height, width, 2)
    halved = cv2.resize(colours, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    planes = np.concatenate([planes[:height], halved.reshape(height // 2, width)])
    return cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12)


_COLOURS = {'mono': 1, 'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4}
_GENERIC = {'C1': 'mono', 'C3': 'bgr', 'C4': 'bgra'}  # OpenCV has blue first
_BAYER = ('bayer_rggb', 'bayer_bggr', 'bayer_gbrg', 'bayer_grbg')
_UYVY, _YUYV = (Encoding(name, 2, block=(2, 1)) for name in ('yuv422', 'yuv422_yuy2'))
ENCODINGS: Mapping[str, Encoding | Planes] = {
    **{f'{name}{bits}': Encoding(f'{name}{bits}', channels, bits)
       for name, channels in _COLOURS.items() for bits in (8, 16)},
    **{f'{bits}U{name}': Encoding(f'{same}{bits}', _COLOURS[same], bits)
       for name, same in _GENERIC.items() for bits in (8, 16)},
    **{f'{name}{bits}': Encoding(f'{name}{bits}', 1, bits, (2, 2))
       for name in _BAYER for bits in (8, 16)},
    'yuv422': _UYVY, 'uyvy': _UYVY, 'yuv422_yuy2': _YUYV, 'yuyv': _YUYV,
    'nv12': Planes(1.5, lambda planes: cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12)),
    'nv21': Planes(1.5, lambda planes: cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV21)),
    'nv24': Planes(3.0, _rgb_of_nv24)}

_bridge = CvBridge()
AnyRaw = Union[Image, ImageView]  # which have the same fields


def rgb_of(message: AnyRaw) -> np.ndarray:
    """
    Return the (H, W, 3) uint8 RGB array of a raw image.

    :raises ValueError: if the encoding is not one of `ENCODINGS`, the data are too few, or the
        size cannot be.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ValueError(f'image encoding {message.encoding!r} is not supported: use one of '
                         f'{", ".join(ENCODINGS)}')
    _require_size(message, encoding)
    if isinstance(encoding, Planes):
        return encoding.convert(_rows(message, encoding))
    try:
        return _bridge.imgmsg_to_cv2(_packed(message, encoding), 'rgb8')
    except TypeError as error:  # which its own errors are
        raise ValueError(
            f'cv_bridge cannot convert {message.encoding} to rgb8: {error}') from error


def _row_bytes(message: AnyRaw, encoding: Encoding | Planes) -> int:
    return message.width * encoding.channels * encoding.bits // 8


def _row_count(message: AnyRaw, encoding: Encoding | Planes) -> int:
    return round(message.height * encoding.rows) if isinstance(encoding, Planes) \
        else message.height


def _require_size(message: AnyRaw, encoding: Encoding | Planes) -> None:
    size = f'{message.width} x {message.height} pixels'
    if message.width == 0 or message.height == 0:
        raise ValueError(f'the image is empty: {size}')
    columns, rows = encoding.block
    if message.width % columns or message.height % rows:
        raise ValueError(f'an image of {size} cannot be {message.encoding}, whose pixels come in '
                         f'blocks of {columns} x {rows}')
    row_bytes = _row_bytes(message, encoding)
    if message.step < row_bytes:
        raise ValueError(f'the image has {message.step} bytes a row (step), '
                         f'{message.width} {message.encoding} pixels need {row_bytes}')
    wanted = message.step * _row_count(message, encoding)
    if len(message.data) < wanted:
        raise ValueError(
            f'the image is truncated: {len(message.data)} bytes instead of {wanted}')


def _rows(message: AnyRaw, encoding: Encoding | Planes) -> np.ndarray:
    """Return the (rows, bytes) of an image, without padding."""
    count = _row_count(message, encoding)
    rows = np.frombuffer(message.data, np.uint8, message.step * count)
    return np.ascontiguousarray(rows.reshape(count, -1)[:, :_row_bytes(message, encoding)])


def _packed(message: AnyRaw, encoding: Encoding) -> AnyRaw:
    """Return a message as cv_bridge takes it: rows packed, the low byte of numbers first."""
    row_bytes = _row_bytes(message, encoding)
    is_swapped = bool(message.is_bigendian) and encoding.bits > 8
    if (message.step, message.encoding, is_swapped) == (row_bytes, encoding.name, False):
        return message
    data = message.data
    if message.step != row_bytes or is_swapped:
        rows = _rows(message, encoding)
        data = array('B', (rows.view(np.uint16).byteswap() if is_swapped else rows).tobytes())
    packed = Image(header=message.header, height=message.height, width=message.width,
                   encoding=encoding.name, step=row_bytes)
    packed.data = data
    return packed

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
Raw pixels of any encoding as RGB.

The names are those of ROS (`sensor_msgs/image_encodings.hpp`), the results those of cv_bridge: 16
bits are scaled to 8 by their full range, Bayer patterns are interpolated, and what only says its
type and channels (OpenCV's 8UC3) has its channels in the order of OpenCV, blue first. YUV is that
of video (BT.601, 16 to 235).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Callable, Mapping

import cv2
import numpy as np

Convert = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RawPixels:
    """
    Pixels as a camera driver sends them.

    :param data: bytes; rows follow each other in steps of ``step_bytes``.
    :param is_bigendian: whether numbers of 16 bits begin with the high byte.
    """

    data: bytes | bytearray | memoryview | array[int]
    width: int
    height: int
    step_bytes: int
    encoding: str
    is_bigendian: bool = False


@dataclass(frozen=True)
class Encoding:
    """
    How pixels of a name lie in memory.

    :param channels: numbers of a pixel in a row; of planar YUV those of the first plane.
    :param convert: makes (h, w, 3) RGB of (rows, w, channels) uint8 numbers.
    :param bits: of a number; 16 are scaled to 8 before.
    :param rows: rows in memory for each row of the picture.
    :param block: columns and rows that share their colour; sizes are multiples of it.
    """

    channels: int
    convert: Convert
    bits: int = 8
    rows: float = 1.0
    block: tuple[int, int] = (1, 1)


def _by(code: int) -> Convert:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _rgb_of_nv24(planes: np.ndarray) -> np.ndarray:
    """Return RGB of a luma plane and one of colour pairs, which are halved in size for OpenCV."""
    height, width = len(planes) // 3, planes.shape[1]
    colours = planes[height:].reshape(height, width, 2)
    halved = cv2.resize(colours, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    planes = np.concatenate([planes[:height, :, 0], halved.reshape(height // 2, width)])
    return cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12)


_COLOURS: Mapping[str, tuple[int, Convert]] = {
    'mono': (1, _by(cv2.COLOR_GRAY2RGB)), 'rgb': (3, lambda pixels: pixels),
    'bgr': (3, _by(cv2.COLOR_BGR2RGB)), 'rgba': (4, _by(cv2.COLOR_RGBA2RGB)),
    'bgra': (4, _by(cv2.COLOR_BGRA2RGB))}
_GENERIC = {'C1': 'mono', 'C3': 'bgr', 'C4': 'bgra'}
_BAYER = {  # OpenCV names a pattern by its second row
    'bayer_rggb': cv2.COLOR_BayerBG2RGB, 'bayer_bggr': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGR2RGB, 'bayer_grbg': cv2.COLOR_BayerGB2RGB}
_UYVY = Encoding(2, _by(cv2.COLOR_YUV2RGB_UYVY), block=(2, 1))
_YUYV = Encoding(2, _by(cv2.COLOR_YUV2RGB_YUY2), block=(2, 1))
ENCODINGS: Mapping[str, Encoding] = {
    **{f'{name}{bits}': Encoding(*how, bits) for name, how in _COLOURS.items()
       for bits in (8, 16)},
    **{f'{bits}U{name}': Encoding(*_COLOURS[colours], bits) for name, colours in _GENERIC.items()
       for bits in (8, 16)},
    **{f'{name}{bits}': Encoding(1, _by(code), bits, block=(2, 2)) for name, code in _BAYER.items()
       for bits in (8, 16)},
    'yuv422': _UYVY, 'uyvy': _UYVY, 'yuv422_yuy2': _YUYV, 'yuyv': _YUYV,
    'nv12': Encoding(1, _by(cv2.COLOR_YUV2RGB_NV12), rows=1.5, block=(2, 2)),
    'nv21': Encoding(1, _by(cv2.COLOR_YUV2RGB_NV21), rows=1.5, block=(2, 2)),
    'nv24': Encoding(1, _rgb_of_nv24, rows=3.0, block=(2, 2))}


def rgb_of(raw: RawPixels) -> np.ndarray:
    """
    Return the (H, W, 3) uint8 RGB array of raw pixels.

    It may share their memory if they are RGB already.

    :raises ValueError: if the encoding is not one of `ENCODINGS`, the data are too few, or the
        size cannot be.
    """
    encoding = ENCODINGS.get(raw.encoding)
    if encoding is None:
        raise ValueError(f'image encoding {raw.encoding!r} is not supported: use one of '
                         f'{", ".join(ENCODINGS)}')
    _require_size(raw, encoding)
    return encoding.convert(_numbers(raw, encoding))


def _require_size(raw: RawPixels, encoding: Encoding) -> None:
    if raw.width == 0 or raw.height == 0:
        raise ValueError(f'the image is empty: {raw.width} x {raw.height} pixels')
    columns, rows = encoding.block
    if raw.width % columns or raw.height % rows:
        raise ValueError(f'an image of {raw.width} x {raw.height} pixels cannot be '
                         f'{raw.encoding}, whose pixels come in blocks of {columns} x {rows}')
    row_bytes = raw.width * encoding.channels * encoding.bits // 8
    if raw.step_bytes < row_bytes:
        raise ValueError(f'the image has {raw.step_bytes} bytes a row (step), '
                         f'{raw.width} {raw.encoding} pixels need {row_bytes}')
    wanted = raw.step_bytes * round(raw.height * encoding.rows)
    if len(raw.data) < wanted:
        raise ValueError(
            f'the image is truncated: {len(raw.data)} bytes instead of {wanted}')


def _numbers(raw: RawPixels, encoding: Encoding) -> np.ndarray:
    """Return (rows, w, channels) uint8 numbers without padding."""
    dtype = np.dtype(f'{">" if raw.is_bigendian else "<"}u{encoding.bits // 8}')
    shape = round(raw.height * encoding.rows), raw.width, encoding.channels
    strides = raw.step_bytes, dtype.itemsize * encoding.channels, dtype.itemsize
    numbers = np.ndarray(shape, dtype, np.frombuffer(raw.data, np.uint8), strides=strides)
    numbers = np.ascontiguousarray(numbers, dtype.newbyteorder('='))
    if encoding.bits == 8:
        return numbers
    return cv2.convertScaleAbs(numbers, alpha=255 / 65535).reshape(shape)

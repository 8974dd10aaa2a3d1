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

"""The encodings of image messages, and the conversions between them."""

from __future__ import annotations

import re

import cv2
import numpy as np

COLOUR = {  # encoding: colour, bits of a channel
    'mono8': ('GRAY', 8), 'mono16': ('GRAY', 16),
    'rgb8': ('RGB', 8), 'rgb16': ('RGB', 16), 'bgr8': ('BGR', 8), 'bgr16': ('BGR', 16),
    'rgba8': ('RGBA', 8), 'rgba16': ('RGBA', 16), 'bgra8': ('BGRA', 8), 'bgra16': ('BGRA', 16),
    'bayer_rggb8': ('BayerBG', 8), 'bayer_bggr8': ('BayerRG', 8),
    'bayer_gbrg8': ('BayerGR', 8), 'bayer_grbg8': ('BayerGB', 8),
    'bayer_rggb16': ('BayerBG', 16), 'bayer_bggr16': ('BayerRG', 16),
    'bayer_gbrg16': ('BayerGR', 16), 'bayer_grbg16': ('BayerGB', 16),
    'yuv422': ('YUV_UYVY', 8), 'yuv422_yuy2': ('YUV_YUY2', 8),
}
CHANNELS = {'RGB': 3, 'BGR': 3, 'RGBA': 4, 'BGRA': 4, 'YUV_UYVY': 2, 'YUV_YUY2': 2}
DTYPE_OF_DEPTH = {
    '8U': 'uint8', '8S': 'int8', '16U': 'uint16', '16S': 'int16', '32S': 'int32',
    '32F': 'float32', '64F': 'float64'}
GENERIC = re.compile('(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?')
SCALE = {(8, 16): 65535 / 255, (16, 8): 255 / 65535}


class CvBridgeError(TypeError):
    """An image cannot be converted."""


def layout_of(encoding: str) -> tuple[str, int]:
    """
    Return the NumPy type and the number of channels of an encoding.

    :raises CvBridgeError: if there is no such encoding.
    """
    if encoding in COLOUR:
        colour, bits = COLOUR[encoding]
        return f'uint{bits}', CHANNELS.get(colour, 1)
    generic = GENERIC.fullmatch(encoding)
    if not generic:
        raise CvBridgeError(f'Unrecognized image encoding [{encoding}]')
    return DTYPE_OF_DEPTH[generic[1]], int(generic[2] or 1)


def convert(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """
    Return an image converted from one encoding to another, never sharing memory with it.

    :raises CvBridgeError: if there is no such conversion.
    """
    if source == target:
        return image.copy()
    check_kinds(source, target)
    if source in COLOUR and target in COLOUR:
        image = recolour(image, source, target)
    return rescale(image, source, target)


def check_kinds(source: str, target: str) -> None:
    """Raise `CvBridgeError` unless both have colours or equally many channels."""
    if source not in COLOUR and target in COLOUR:
        raise CvBridgeError(
            f'[{source}] is not a color format. but [{target}] is. The conversion does not make '
            'sense')
    both_colour = source in COLOUR and target in COLOUR
    if not both_colour and layout_of(source)[1] != layout_of(target)[1]:
        raise CvBridgeError(f'[{source}] and [{target}] do not have the same number of channel')


def recolour(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """Return an image in the order of channels of another encoding, its depth as it was."""
    from_colour, to_colour = COLOUR[source][0], COLOUR[target][0]
    if from_colour == to_colour:
        return image
    family, _, order = from_colour.partition('_')
    name = f'COLOR_{family}2{to_colour}' + (f'_{order}' if order else '')
    code = getattr(cv2, name, None)
    if code is None:
        raise CvBridgeError(f'Unsupported conversion from [{source}] to [{target}]')
    try:
        return cv2.cvtColor(image, code)
    except cv2.error as error:  # such as an image without pixels
        raise CvBridgeError(error) from error


def rescale(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """Return an image in the depth of another encoding; 8 and 16 bits keep their full range."""
    dtype = np.dtype(layout_of(target)[0])
    bits = tuple(8 * np.dtype(layout_of(name)[0]).itemsize for name in (source, target))
    if (image.dtype, dtype) == (np.uint16, np.uint8):
        return cv2.convertScaleAbs(image, alpha=SCALE[bits])
    scaled = image * SCALE[bits] if bits in SCALE else image
    if np.issubdtype(dtype, np.integer) and scaled.dtype != dtype:
        limits = np.iinfo(dtype)
        scaled = np.clip(np.rint(scaled), limits.min, limits.max)
    return scaled.astype(dtype)

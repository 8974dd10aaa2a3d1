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

"""Decoding tiles from servers and caches, none of which is trusted."""

from __future__ import annotations

from collections.abc import Collection
import hashlib
import io

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

_SIZES = {(256, 256), (512, 512), (1024, 1024)}
_FORMATS = {'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp', 'GIF': 'gif'}
_SPECK_PX = 8  # no tile is as small; a picture that is stands for "nothing"
_LARGEST_EMPTY_PX = 1024  # a transparent picture of any size up to this does as well
_UNIFORM_LEVELS = 2  # of 255 between the pixels of a tile of one colour
_BLACK, _LIGHT, _GREY_LEVELS = 8, 192, 16  # nothing is drawn in black, or light grey to white


class TileProblem(Exception):
    """
    A tile cannot be had; the message goes on after the name of the source: 'answered 503'.

    :param what: the message.
    :param absent: the source works and says that it has nothing there.
    :param refused: the source works and gives it to nobody, or to us not: as long as other tiles
        come, it has nothing there.
    :param retry_after_s: when the server wants to be asked again, None if it does not say.
    :param believe_s: how long that it is absent is to be believed, None if nobody says.
    """

    def __init__(self, what: str, absent: bool = False, refused: bool = False,
                 retry_after_s: float | None = None, believe_s: float | None = None):
        super().__init__(what)
        self.absent = absent
        self.refused = refused
        self.retry_after_s = retry_after_s
        self.believe_s = believe_s


def decode_tile(data: bytes, tile_px: int | None = None,
                placeholders: Collection[str] = ()) -> np.ndarray:
    """
    Return the (tile_px, tile_px, 3) uint8 RGB image of an encoded tile.

    Where a part of it is fully transparent there is a fourth channel, 0 there and 255 elsewhere.

    :param tile_px: side of the image; None for its own.
    :param placeholders: SHA-256 in hexadecimals of files that mean that there is no imagery.
    :raises TileProblem: if the bytes are not a whole JPEG, PNG, WebP or GIF image of 256, 512 or
        1024 pixels, or show nothing: full transparency, nothing but black, white or light grey, a
        placeholder, a picture of a few pixels.
    """
    if placeholders and hashlib.sha256(data).hexdigest() in placeholders:
        raise _empty()
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
            if image.size not in _SIZES:  # known from the header: a bomb is never unpacked
                raise _of_strange_size(image)
            pixels = _pixels(image)
    except UnidentifiedImageError:
        raise TileProblem(_what_it_is(data)) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise TileProblem('sent a damaged image') from None
    if _shows_nothing(pixels):
        raise _empty()
    return pixels if tile_px is None else scaled_tile(pixels, tile_px)


def scaled_tile(pixels: np.ndarray, tile_px: int) -> np.ndarray:
    """Return the image of a tile with another number of pixels along its sides."""
    if len(pixels) == tile_px:
        return pixels
    return cv2.resize(pixels, (tile_px, tile_px), interpolation=(
        cv2.INTER_AREA if len(pixels) > tile_px else cv2.INTER_LINEAR))


def tile_format(data: bytes) -> str:
    """Return 'jpg', 'png' or 'webp' (the names MBTiles uses) of a tile that decodes."""
    with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
        return _FORMATS[image.format or '']


def _pixels(image: Image.Image) -> np.ndarray:
    """Return RGB, or RGBA with an opacity of 0 or 255 where some of it is fully transparent."""
    if not _may_be_transparent(image):
        return np.array(image.convert('RGB'))
    pixels = np.array(image.convert('RGBA'))
    # Veiled imagery is imagery, and scaling must not turn the border of nothing into some.
    pixels[..., 3] = np.where(pixels[..., 3] > 0, 255, 0)
    return pixels if pixels[..., 3].min() < 255 else np.ascontiguousarray(pixels[..., :3])


def _may_be_transparent(image: Image.Image) -> bool:
    return image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info


def _of_strange_size(image: Image.Image) -> TileProblem:
    """Return what a picture means that is not as large as tiles are."""
    if max(image.size) <= _SPECK_PX:
        return _empty()
    if max(image.size) <= _LARGEST_EMPTY_PX and _may_be_transparent(image) and not np.array(
            image.convert('RGBA').getchannel('A')).any():
        return _empty()
    return TileProblem(f'sent a tile of {image.width} x {image.height} pixels')


def _shows_nothing(pixels: np.ndarray) -> bool:
    if pixels.shape[2] == 4 and not pixels[..., 3].any():
        return True
    if np.ptp(pixels[::17, ::19], axis=(0, 1)).max() > _UNIFORM_LEVELS:  # nearly all end here
        return False
    if np.ptp(pixels, axis=(0, 1)).max() > _UNIFORM_LEVELS:
        return False
    colour = pixels[0, 0, :3].astype(int)
    return colour.max() <= _BLACK or (colour.min() >= _LIGHT and np.ptp(colour) <= _GREY_LEVELS)


def _empty() -> TileProblem:
    return TileProblem('has only an empty tile there', absent=True)


def _what_it_is(data: bytes) -> str:
    if not data:
        return 'sent nothing'
    if data.lstrip()[:1] == b'<':
        return 'sent HTML instead of an image'
    return 'sent something that is not an image'

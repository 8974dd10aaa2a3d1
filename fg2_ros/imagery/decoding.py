"""Turning what a server or a cache calls a tile into pixels, trusting nothing."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

_SIZES = {(256, 256), (512, 512)}
_FORMATS = {'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp'}


class TileProblem(Exception):
    """
    A tile cannot be had; the message goes on after the name of the source: 'answered 503'.

    :param what: the message.
    :param absent: the source works and says that it has nothing there.
    :param retry_after_s: when the server wants to be asked again, None if it does not say.
    """

    def __init__(self, what: str, absent: bool = False, retry_after_s: float | None = None):
        """Keep the facts beside the message."""
        super().__init__(what)
        self.absent = absent
        self.retry_after_s = retry_after_s


def decode_tile(data: bytes, tile_px: int) -> np.ndarray:
    """
    Return the (tile_px, tile_px, 3) uint8 RGB image of an encoded tile.

    A tile of the other usual size covers the same ground, so it is scaled.

    :raises TileProblem: if the bytes are not a whole JPEG, PNG or WebP image of 256 or 512 pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
            if image.size not in _SIZES:  # known from the header: a bomb is never unpacked
                raise TileProblem(f'sent a tile of {image.width} x {image.height} pixels')
            pixels = _rgb(image)
    except UnidentifiedImageError:
        raise TileProblem(_what_it_is(data)) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise TileProblem('sent a damaged image') from None
    if len(pixels) != tile_px:
        pixels = cv2.resize(pixels, (tile_px, tile_px), interpolation=(
            cv2.INTER_AREA if len(pixels) > tile_px else cv2.INTER_LINEAR))
    return pixels


def tile_format(data: bytes) -> str:
    """Return 'jpg', 'png' or 'webp' (the names MBTiles uses) of a tile that decodes."""
    with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
        return _FORMATS[image.format]


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ('RGBA', 'LA') and image.getchannel('A').getextrema()[1] == 0:
        raise TileProblem('has only an empty tile there', absent=True)
    return np.array(image.convert('RGB'))


def _what_it_is(data: bytes) -> str:
    if not data:
        return 'sent nothing'
    if data.lstrip()[:1] == b'<':
        return 'sent HTML instead of an image'
    return 'sent something that is not an image'

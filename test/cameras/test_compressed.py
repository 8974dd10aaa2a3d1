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

"""JPEG and PNG become RGB pictures; what is damaged, or would need gigabytes, does not."""

import struct
import tracemalloc
import zlib

import cv2
from fg2_ros.cameras.compressed import decoded, size_of
import numpy as np
import pytest

RGB = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 8, 3), np.uint8), (64, 32))


def encoded(ending, rgb=RGB, options=()):
    """Return a file of an RGB picture."""
    return cv2.imencode(ending, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))[1].tobytes()


def test_png_keeps_its_values():
    np.testing.assert_array_equal(decoded(encoded('.png')), RGB)


@pytest.mark.parametrize('options', [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_jpeg_is_nearly_the_picture(options):
    data = encoded('.jpg', options=(cv2.IMWRITE_JPEG_QUALITY, 98, *options))
    assert size_of(data) == (64, 32)
    assert np.abs(decoded(data).astype(int) - RGB).mean() < 4


def test_grey_deep_and_transparent_pictures_become_rgb():
    grey = cv2.imencode('.png', RGB[..., 0].astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decoded(grey), RGB[..., :1].repeat(3, -1))
    clear = np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 9, np.uint8)])
    np.testing.assert_array_equal(decoded(cv2.imencode('.png', clear)[1].tobytes()), RGB)


def test_a_note_how_the_camera_was_held_turns_no_picture():
    note = b'Exif\0\0' + struct.pack('<2sHIHHHIHHI', b'II', 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    data = encoded('.jpg')
    segment = b'\xff\xe1' + struct.pack('>H', len(note) + 2) + note
    assert decoded(data[:2] + segment + data[2:]).shape == RGB.shape


def png_claiming(width, height):
    """Return a small PNG file that says it is large."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = b'IDAT' + zlib.compress(bytes(100_000))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk))
        for chunk in (header, data, b'IEND'))


def jpeg_claiming(width, height):
    """Return a small JPEG file that says it is large."""
    data = encoded('.jpg')
    at = data.index(b'\xff\xc0') + 5
    return data[:at] + struct.pack('>HH', height, width) + data[at + 4:]


@pytest.mark.parametrize('data', [
    png_claiming(50_000, 40_000), png_claiming(2 ** 31 - 1, 2 ** 31 - 1),
    jpeg_claiming(65_500, 65_500)])
def test_a_bomb_is_refused_before_it_is_unpacked(data):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r'\d+ x \d+ pixels is not decoded'):
        decoded(data)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize('data, words', [
    (b'', 'neither JPEG nor PNG'), (b'\0\0\0\1gibberish', 'neither JPEG nor PNG'),
    (b'\xff\xd8\xff', 'no size'), (b'\x89PNG\r\n\x1a\n', 'neither JPEG nor PNG'),
    (b'\xff\xd8' + b'\xff' * 50, 'no size'), (encoded('.jpg')[:-200], 'truncated'),
    (encoded('.png')[:-200], 'truncated'),
    (encoded('.png')[:40] + encoded('.png')[60:], 'damaged')])
def test_what_is_damaged_is_refused_with_a_sentence(data, words):
    with pytest.raises(ValueError, match=words):
        decoded(data)


def test_the_sentence_names_the_format():
    with pytest.raises(ValueError, match="'h264'"):
        decoded(b'\0\0\0\1gibberish', 'h264')

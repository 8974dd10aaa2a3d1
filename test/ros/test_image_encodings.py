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

"""Raw pixels of any encoding become the same RGB picture, whatever their padding and order."""

from array import array
from test.helpers.vehicle import at, FRAME, image, odometry

from fg2_ros.ros.image_encodings import ENCODINGS, rgb_of
import numpy as np
import pytest
from sensor_msgs.msg import Image

HEIGHT, WIDTH = 6, 8
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
COLOUR = np.array([200, 90, 40], np.uint8)
FLAT = np.full((HEIGHT, WIDTH, 3), COLOUR)
SIZES = {'mono': 1, 'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4}
EXACT = {f'{name}8': name for name in SIZES} | {'8UC1': 'mono', '8UC3': 'bgr', '8UC4': 'bgra'}
DEEP = {f'{name}16': name for name in SIZES} | {'16UC1': 'mono', '16UC3': 'bgr', '16UC4': 'bgra'}
# What shows where in a block of 2 x 2 pixels of a Bayer pattern.
PATTERNS = {'bayer_rggb': 'rggb', 'bayer_bggr': 'bggr', 'bayer_gbrg': 'gbrg', 'bayer_grbg': 'grbg'}
VIDEO = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21', 'nv24')


def channels_of(rgb, name):
    """Return the channels of an RGB picture in the order of a name, opacity 7."""
    if name == 'mono':
        return rgb[..., :1]
    planes = {'r': rgb[..., 0], 'g': rgb[..., 1], 'b': rgb[..., 2],
              'a': np.full(rgb.shape[:2], 7, rgb.dtype)}
    return np.stack([planes[letter] for letter in name], -1)


def message(data, **fields):
    """Return an image message."""
    result = Image(**fields)
    result.data = array('B', data)
    return result


def raw(rows, encoding, padding=0, is_bigendian=False):
    """Return the message of a (rows, bytes) array with some bytes between its rows."""
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    padded = np.concatenate([rows, np.full((len(rows), padding), 200, np.uint8)], 1)
    return message(padded.tobytes(), width=WIDTH, height=HEIGHT, step=padded.shape[1],
                   encoding=encoding, is_bigendian=is_bigendian)


@pytest.mark.parametrize('padding', [0, 1, 13])
@pytest.mark.parametrize('encoding', EXACT)
def test_bytes_keep_their_values(encoding, padding):
    pixels = channels_of(NOISE, EXACT[encoding])
    expected = NOISE[..., :1].repeat(3, -1) if EXACT[encoding] == 'mono' else NOISE
    np.testing.assert_array_equal(rgb_of(raw(pixels, encoding, padding)), expected)


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('encoding', DEEP)
def test_16_bits_are_scaled_by_their_range(encoding, is_bigendian):
    pixels = channels_of(NOISE.astype(np.uint16) * 257, DEEP[encoding])
    pixels = pixels.astype('>u2' if is_bigendian else '<u2')
    expected = NOISE[..., :1].repeat(3, -1) if DEEP[encoding] == 'mono' else NOISE
    result = rgb_of(raw(pixels, encoding, 3, is_bigendian=is_bigendian))
    np.testing.assert_array_equal(result, expected)


def bayer_rows(pattern, bits):
    """Return the (rows, columns) of a picture of one colour through a Bayer pattern."""
    block = [COLOUR['rgb'.index(letter)] for letter in PATTERNS[pattern]]
    block = np.array(block, f'<u{bits // 8}').reshape(2, 2) * (1 if bits == 8 else 257)
    return np.tile(block, (HEIGHT // 2, WIDTH // 2))


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', PATTERNS)
def test_bayer_patterns_of_one_colour_are_of_that_colour(pattern, bits):
    np.testing.assert_array_equal(rgb_of(raw(bayer_rows(pattern, bits), f'{pattern}{bits}')), FLAT)


def yuv_of(rgb):
    """Return y, u, v of a colour by BT.601 with the range of video."""
    red, green, blue = rgb / 255.0
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return [round(16 + 219 * luma), round(128 + 112 * (blue - luma) / 0.886),
            round(128 + 112 * (red - luma) / 0.701)]


def video_rows(encoding):
    """Return the (rows, bytes) of a video picture of one colour."""
    y, u, v = yuv_of(COLOUR)
    luma = np.full((HEIGHT, WIDTH), y)
    rows = {
        'yuv422': np.tile([u, y, v, y], (HEIGHT, WIDTH // 2)),
        'yuyv': np.tile([y, u, y, v], (HEIGHT, WIDTH // 2)),
        'nv12': np.vstack([luma, np.tile([u, v], (HEIGHT // 2, WIDTH // 2))]),
        'nv21': np.vstack([luma, np.tile([v, u], (HEIGHT // 2, WIDTH // 2))]),
        'nv24': np.vstack([luma, np.tile([u, v], (2 * HEIGHT, WIDTH // 2))]),
    }
    rows |= {'uyvy': rows['yuv422'], 'yuv422_yuy2': rows['yuyv']}
    return rows[encoding].astype(np.uint8)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', VIDEO)
def test_video_of_one_colour_is_of_that_colour(encoding, padding):
    result = rgb_of(raw(video_rows(encoding), encoding, padding))
    assert result.shape == FLAT.shape
    assert np.abs(result.astype(int) - FLAT).max() <= 2


def test_colours_of_video_stay_at_their_place():
    left, right = yuv_of(np.array([255, 0, 0])), yuv_of(np.array([0, 0, 255]))
    halves = [np.tile([y, u, y, v], WIDTH // 4) for y, u, v in (left, right)]
    result = rgb_of(raw(np.tile(np.concatenate(halves), (HEIGHT, 1)).astype(np.uint8), 'yuyv'))
    assert result[:, :WIDTH // 2 - 2, 0].min() > 250 and result[:, WIDTH // 2 + 2:, 2].min() > 250


@pytest.mark.parametrize('change, words', [
    ({'encoding': '32FC1'}, "encoding '32FC1' is not supported: use one of mono8"),
    ({'encoding': ''}, "encoding '' is not supported"),
    ({'width': 0}, 'the image is empty: 0 x 6'),
    ({'step': 23}, '23 bytes a row'),
    ({'data': bytes(143)}, 'truncated: 143 bytes instead of 144'),
    ({'height': 2 ** 31}, 'truncated: 144 bytes'),
    ({'encoding': 'nv12', 'step': 16, 'height': 6, 'data': bytes(143)},
     'truncated: 143 bytes instead of 144'),
    ({'encoding': 'yuyv', 'width': 7}, 'blocks of 2 x 1'),
    ({'encoding': 'nv21', 'height': 5}, 'blocks of 2 x 2')])
def test_what_cannot_be_is_refused_with_a_sentence(change, words):
    values = {'data': bytes(144), 'width': WIDTH, 'height': HEIGHT, 'step': 24,
              'encoding': 'rgb8'} | change
    with pytest.raises(ValueError, match=words):
        rgb_of(message(values.pop('data'), **values))


def flat_rows(encoding):
    """Return the rows of a picture of one colour, in any encoding there is."""
    if encoding in VIDEO:
        return video_rows(encoding)
    if encoding in EXACT:
        return channels_of(FLAT, EXACT[encoding])
    if encoding in DEEP:
        return channels_of(FLAT.astype('<u2') * 257, DEEP[encoding])
    return bayer_rows(encoding.rstrip('0123456789'), int(encoding.removeprefix('bayer_')[4:]))


def test_every_encoding_reaches_the_localizer(vehicle):
    """Over DDS, one after the other."""
    vehicle.start(datum=list(FRAME.datum), camera__vertical_fov_deg=[135.0])
    for index, encoding in enumerate(ENCODINGS):
        stamp = at(1.0 + 0.1 * index)
        if index % 20 == 0:
            vehicle.send_mount()
            vehicle.send_prior(stamp)
        vehicle.send(odometry(stamp))
        vehicle.send_odometry_tf(stamp)
        vehicle.until(lambda: vehicle.is_ready(stamp), 'the prior has arrived')
        picture = raw(flat_rows(encoding), encoding)
        picture.header = image(stamp).header
        vehicle.send(picture)
        vehicle.until(lambda: len(vehicle.localizer.panoramas) == index + 1, 'it is looked at')
        expected = COLOUR[:1].repeat(3) if 'mono' in encoding or 'UC1' in encoding else COLOUR
        found = vehicle.localizer.panoramas[-1].reshape(-1, 3).astype(int)
        assert np.abs(np.median(found, 0) - expected).max() <= 2, encoding


def test_one_sentence_names_all_encodings():
    with pytest.raises(ValueError) as error:
        rgb_of(message(b'', encoding='h264'))
    assert all(name in str(error.value) for name in ENCODINGS)

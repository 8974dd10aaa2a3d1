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

"""Images come out of messages as cv_bridge returns them."""

import sys

from cv_bridge import CvBridge, CvBridgeError
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

RED = (200, 100, 50)  # red, green, blue
GREY = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
PIXELS = {
    'rgb8': RED, 'bgr8': RED[::-1], 'rgba8': (*RED, 255), 'bgra8': (*RED[::-1], 255),
    'mono8': (GREY,)}


@pytest.fixture
def bridge():
    """Return a bridge."""
    return CvBridge()


def image_of(encoding, height=3, width=5, dtype=np.uint8):
    """Return an image of one colour in an encoding."""
    image = np.full((height, width, len(PIXELS[encoding])), PIXELS[encoding], dtype)
    return image[:, :, 0] if image.shape[2] == 1 else image


def message_of(encoding, rows, width, step, is_bigendian=False):
    """Return a message of rows of bytes."""
    return Image(
        height=len(rows), width=width, step=step, encoding=encoding, is_bigendian=is_bigendian,
        data=b''.join(rows))


@pytest.mark.parametrize('source', PIXELS)
@pytest.mark.parametrize('target', PIXELS)
def test_colours(bridge, source, target):
    message = bridge.cv2_to_imgmsg(image_of(source), source)
    result = bridge.imgmsg_to_cv2(message, target)
    grey = source == 'mono8' and target != 'mono8'
    colours = len(PIXELS[target]) - len(PIXELS[target]) // 4
    expected = [GREY] * colours + [255] * (len(PIXELS[target]) - colours)
    expected = expected if grey else PIXELS[target]
    assert result.shape[:2] == (3, 5)
    assert np.all(np.atleast_3d(result) == np.array(expected))
    assert result.flags.c_contiguous and result.flags.writeable


@pytest.mark.parametrize('padding', [0, 1, 2, 3, 7])
@pytest.mark.parametrize('encoding', PIXELS)
def test_rows_may_be_padded_by_any_number_of_bytes(bridge, encoding, padding):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, len(PIXELS[encoding])), np.uint8)
    rows = [row.tobytes() + b'\xaa' * padding for row in pixels]
    message = message_of(encoding, rows, 5, len(rows[0]))
    assert np.array_equal(np.atleast_3d(bridge.imgmsg_to_cv2(message)), pixels)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_sixteen_bits_of_either_byte_order(bridge, encoding, is_bigendian):
    values = np.array([[1, 256, 65535]], '>u2' if is_bigendian else '<u2')
    message = message_of(encoding, [values.tobytes()], 3, 6, is_bigendian)
    result = bridge.imgmsg_to_cv2(message)
    assert result.tolist() == [[1, 256, 65535]]
    assert result.dtype == np.uint16 and result.dtype.isnative


def test_mono16_becomes_mono8_by_scaling(bridge):
    message = bridge.cv2_to_imgmsg(np.array([[0, 257, 65535]], np.uint16), 'mono16')
    assert bridge.imgmsg_to_cv2(message, 'mono8').tolist() == [[0, 1, 255]]
    assert bridge.imgmsg_to_cv2(message, 'rgb8').tolist() == [[[v] * 3 for v in (0, 1, 255)]]


@pytest.mark.parametrize('encoding, order', [
    ('yuv422', [1, 0, 3, 0]), ('yuv422_yuy2', [0, 1, 0, 3])])
@pytest.mark.parametrize('target', PIXELS)
def test_video_becomes_colours(bridge, encoding, order, target):
    """Of BT.601 and the range of video; grey is the brightness as it is."""
    values = [round(16 + 219 * GREY / 255), 91, None, 175]
    rows = [bytes(values[index] for index in order) * 3] * 4
    result = bridge.imgmsg_to_cv2(message_of(encoding, rows, 6, 12), target)
    expected = PIXELS[target] if target != 'mono8' else values[:1]
    assert np.abs(np.atleast_3d(result).astype(int) - np.array(expected)).max() <= 3


@pytest.mark.parametrize(('encoding', 'channels'), [('8UC1', 1), ('8UC3', 3), ('8UC4', 4)])
def test_generic_encodings_pass_through(bridge, encoding, channels):
    pixels = np.arange(2 * 3 * channels, dtype=np.uint8).reshape(2, 3, channels)
    pixels = pixels[:, :, 0] if channels == 1 else pixels
    message = bridge.cv2_to_imgmsg(pixels)
    assert message.encoding == encoding
    assert np.array_equal(bridge.imgmsg_to_cv2(message), pixels)
    with pytest.raises(CvBridgeError, match='not a color format'):
        bridge.imgmsg_to_cv2(message, 'rgb8')


def test_messages_are_filled_in(bridge):
    message = bridge.cv2_to_imgmsg(image_of('bgr8', 4, 6), 'bgr8')
    assert (message.height, message.width, message.step) == (4, 6, 18)
    assert message.encoding == 'bgr8'
    assert message.is_bigendian == (sys.byteorder == 'big')
    assert message.data.typecode == 'B' and len(message.data) == 72


def test_what_cannot_be_converted(bridge):
    with pytest.raises(CvBridgeError, match=r'Unrecognized image encoding \[heat\]'):
        bridge.imgmsg_to_cv2(message_of('heat', [b'\0\0\0'], 1, 3))
    with pytest.raises(CvBridgeError, match='incompatible type 8UC3'):
        bridge.cv2_to_imgmsg(image_of('rgb8'), 'mono8')
    with pytest.raises(TypeError, match='not a numpy array'):
        bridge.cv2_to_imgmsg([[1, 2]])
    with pytest.raises(CvBridgeError):
        bridge.imgmsg_to_cv2(message_of('rgb8', [], 0, 0), 'bgr8')


def test_truncated_data_is_a_type_error(bridge):
    message = bridge.cv2_to_imgmsg(image_of('rgb8'), 'rgb8')
    message.data = message.data[:-1]
    with pytest.raises(TypeError, match='too small'):
        bridge.imgmsg_to_cv2(message, 'rgb8')


def test_compressed_images_are_bgr(bridge):
    message = bridge.cv2_to_compressed_imgmsg(image_of('bgr8', 16, 16), 'png')
    assert message.format == 'png'
    assert np.array_equal(bridge.compressed_imgmsg_to_cv2(message), image_of('bgr8', 16, 16))
    assert np.array_equal(
        bridge.compressed_imgmsg_to_cv2(message, 'rgb8'), image_of('rgb8', 16, 16))


def test_compressed_images_that_are_none(bridge):
    garbage = CompressedImage(format='jpg', data=b'not a picture')
    assert bridge.compressed_imgmsg_to_cv2(garbage) is None
    with pytest.raises(CvBridgeError):
        bridge.compressed_imgmsg_to_cv2(garbage, 'bgr8')
    with pytest.raises(CvBridgeError):
        bridge.compressed_imgmsg_to_cv2(CompressedImage(), 'bgr8')

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

"""Image messages of any encoding and row step become the same RGB array, and back."""

from array import array

from fg2_ros.ros.conversions import CHANNELS, image_from_rgb, rgb_from_image
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
ALPHA = np.full((4, 6, 1), 7, np.uint8)
GREY = RGB[..., :1]
PIXELS = {
    'rgb8': RGB, 'bgr8': RGB[..., ::-1], 'mono8': GREY,
    'rgba8': np.concatenate([RGB, ALPHA], -1),
    'bgra8': np.concatenate([RGB[..., ::-1], ALPHA], -1)}


@pytest.mark.parametrize('padding', [0, 1, 13])
@pytest.mark.parametrize('encoding', CHANNELS)
def test_pixels_survive_encoding_and_padding(encoding, padding):
    rows = PIXELS[encoding].reshape(4, -1)
    padded = np.concatenate([rows, np.full((4, padding), 200, np.uint8)], 1)
    message = Image(width=6, height=4, encoding=encoding, step=padded.shape[1])
    message.data = array('B', padded.tobytes())
    expected = GREY.repeat(3, -1) if encoding == 'mono8' else RGB
    np.testing.assert_array_equal(rgb_from_image(message), expected)


def test_array_becomes_a_message_and_an_array_again():
    message = image_from_rgb(RGB, Header(frame_id='camera'))
    assert (message.encoding, message.step, message.header.frame_id) == ('rgb8', 18, 'camera')
    np.testing.assert_array_equal(rgb_from_image(message), RGB)

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

"""Image messages become RGB arrays, and back."""

from array import array

import cv2
from fg2_ros.ros.conversions import image_from_rgb, rgb_from_image
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def test_all_that_a_message_says_of_its_pixels_is_heeded():
    """Step, encoding and byte order."""
    rows = (RGB.astype('>u2') * 257)[..., ::-1].astype('>u2').tobytes()
    padded = b''.join(rows[at:at + 36] + b'pad' for at in range(0, len(rows), 36))
    message = Image(width=6, height=4, encoding='bgr16', step=39, is_bigendian=1)
    message.data = array('B', padded)
    np.testing.assert_array_equal(rgb_from_image(message), RGB)


def compressed(bgr, label):
    """Return a compressed image."""
    message = CompressedImage(format=label)
    message.data = array('B', cv2.imencode('.png', bgr)[1].tobytes())
    return message


@pytest.mark.parametrize('label', [
    '', 'png', 'rgb8; png compressed bgr8', 'bgr8; png compressed '])
def test_compressed_images_are_decoded(label):
    np.testing.assert_array_equal(rgb_from_image(compressed(RGB[..., ::-1], label)), RGB)


def test_red_and_blue_that_were_taken_for_each_other():
    message = compressed(RGB, 'rgb8; png compressed rgb8')
    np.testing.assert_array_equal(rgb_from_image(message), RGB)


def test_compressed_bayer_patterns_are_interpolated():
    pattern = np.tile(np.array([[200, 90], [90, 40]], np.uint8), (16, 32))
    message = compressed(pattern, 'bayer_rggb8; png compressed bayer_rggb8')
    np.testing.assert_array_equal(
        rgb_from_image(message), np.full((32, 64, 3), [200, 90, 40]))


def test_array_becomes_a_message_and_an_array_again():
    message = image_from_rgb(RGB, Header(frame_id='camera'))
    assert (message.encoding, message.step, message.header.frame_id) == ('rgb8', 18, 'camera')
    np.testing.assert_array_equal(rgb_from_image(message), RGB)

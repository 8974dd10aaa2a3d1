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

"""Images whose header is read before they are unpacked."""

from test.helpers.vehicle import at, image

from fg2_ros.ros.serialized_image import header_of, SerializedImage
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image


@pytest.mark.parametrize('frame', ['', 'camera', 'Kamera über dem Dach'])
@pytest.mark.parametrize('kind', [Image, CompressedImage])
def test_header_is_that_of_the_message(kind, frame):
    """Bit by bit, and so is the rest once it is asked for."""
    message = image(at(1.25), frame=frame)
    if kind is CompressedImage:
        message = CompressedImage(header=message.header, format='jpeg', data=b'abc')
    found = SerializedImage(kind, serialize_message(message))
    assert found.header == message.header
    unpacked = found.message()
    assert bytes(unpacked.data) == bytes(message.data)
    for field in {*message.get_fields_and_field_types()} - {'data'}:
        assert getattr(unpacked, field) == getattr(message, field), field


def test_header_of_a_big_endian_machine():
    """The other order of bytes is said before the message."""
    data = bytes((0, 0, 0, 0)) + (7).to_bytes(4, 'big') + (8).to_bytes(4, 'big') + (
        (4).to_bytes(4, 'big') + b'map\0')
    header = header_of(data)
    assert (header.stamp.sec, header.stamp.nanosec, header.frame_id) == (7, 8, 'map')


@pytest.mark.parametrize('encoding', ['rgb8', 'bayer_rggb8', 'yuv422_yuy2'])
def test_pixels_are_read_where_they_arrived(encoding):
    """To copy 8 megapixels takes longer than all else that the node does with them."""
    message = image(at(1.0), frame='camera')
    message.encoding, message.is_bigendian = encoding, 1
    data = serialize_message(message)
    unpacked = SerializedImage(Image, data).message()
    assert unpacked.data.obj is data and (unpacked.encoding, unpacked.is_bigendian) == (
        encoding, 1)


@pytest.mark.parametrize('length', [0, 1, 4, 15, 18])
def test_what_is_cut_off_is_refused(length):
    """With a sentence, as anything that is no image."""
    data = bytes(serialize_message(image(at(1.0))))[:length]
    with pytest.raises(ValueError, match='an image has no header'):
        SerializedImage(Image, data)


def test_damage_behind_the_header_is_told_when_it_is_unpacked():
    """The worker rejects such an image."""
    whole = bytes(serialize_message(image(at(1.0))))
    for data in (whole[:40], whole[:-1]):
        with pytest.raises(ValueError, match='the image is damaged'):
            SerializedImage(Image, data).message()

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
The conversions between image messages and arrays.

As in the ROS package: a message whose data is too short raises `TypeError`, everything else
that cannot be converted raises `CvBridgeError` (a `TypeError` too).  Unlike there, rows may be
padded by any number of bytes, and NumPy 2 and OpenCV 5 do.
"""

from __future__ import annotations

import sys

import cv2
from cv_bridge.formats import convert, CvBridgeError, layout_of
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

CV_TYPE_OF_DTYPE = {
    'uint8': '8U', 'int8': '8S', 'uint16': '16U', 'int16': '16S', 'int32': '32S',
    'float32': '32F', 'float64': '64F'}


class CvBridge:
    """Converts between image messages and arrays of OpenCV."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = 'passthrough') -> np.ndarray:
        """
        Return a message's image, (height, width) or (height, width, channels).

        :param desired_encoding: 'passthrough' for the message's own (the array may then share the
            message's memory), or the one to convert to.
        :raises CvBridgeError: if an encoding is unknown or cannot be converted.
        :raises TypeError: if the data is shorter than height and step say.
        """
        image = unpadded(img_msg, *layout_of(img_msg.encoding))
        if desired_encoding == 'passthrough':
            return image
        return convert(image, img_msg.encoding, desired_encoding)

    def compressed_imgmsg_to_cv2(
            self, cmprs_img_msg: CompressedImage,
            desired_encoding: str = 'passthrough') -> np.ndarray | None:
        """
        Return a compressed message's image, in OpenCV's order (BGR) if passed through.

        :return: None, if what is to be passed through cannot be decoded.
        :raises CvBridgeError: if it cannot be converted, be it for being undecodable.
        """
        data = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if desired_encoding == 'passthrough':
            return image
        if image is None:
            raise CvBridgeError('the compressed image cannot be decoded')
        return convert(image, 'bgr8', desired_encoding)

    def cv2_to_imgmsg(
            self, cvim: np.ndarray, encoding: str = 'passthrough',
            header: Header | None = None) -> Image:
        """
        Return an array as a message.

        :param encoding: 'passthrough' for that of the array's type (such as '8UC3').
        :raises CvBridgeError: if the encoding is of another type than the array.
        """
        own_encoding = encoding_of(cvim)
        if encoding == 'passthrough':
            encoding = own_encoding
        elif layout_of(encoding) != layout_of(own_encoding):
            raise CvBridgeError(
                f'encoding specified as {encoding}, but image has incompatible type '
                f'{own_encoding}')
        message = Image(
            height=cvim.shape[0], width=cvim.shape[1], encoding=encoding,
            is_bigendian=is_bigendian(cvim.dtype), header=header or Header())
        message.data.frombytes(cvim.tobytes())
        message.step = len(message.data) // max(message.height, 1)
        return message

    def cv2_to_compressed_imgmsg(
            self, cvim: np.ndarray, dst_format: str = 'jpg') -> CompressedImage:
        """
        Return an array (grey or BGR) as a compressed message.

        :param dst_format: the ending of an image file's name.
        :raises CvBridgeError: if OpenCV cannot encode the array in that format.
        """
        encoding_of(cvim)
        message = CompressedImage(format=dst_format)
        try:
            message.data.frombytes(cv2.imencode(f'.{dst_format}', cvim)[1].tobytes())
        except cv2.error as error:
            raise CvBridgeError(error) from error
        return message

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return the NumPy type and the number of channels of an encoding."""
        return layout_of(encoding)

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype, n_channels: int) -> str:
        """Return OpenCV's name (such as '8UC3') of a type and a number of channels."""
        return f'{CV_TYPE_OF_DTYPE[dtype.name]}C{n_channels}'


def unpadded(message: Image, dtype_name: str, channels: int) -> np.ndarray:
    """Return the pixels of a message in native byte order, contiguous."""
    dtype = np.dtype(dtype_name).newbyteorder('>' if message.is_bigendian else '<')
    if len(message.data) < message.height * message.step:
        raise TypeError('buffer is too small for requested array')
    data = bytes(message.data) if isinstance(message.data, list) else message.data
    width = min(message.width, message.step // (dtype.itemsize * channels))
    pixels = np.ndarray(
        (message.height, width, channels), dtype, data,
        strides=(message.step, dtype.itemsize * channels, dtype.itemsize))
    pixels = pixels[:, :, 0] if channels == 1 else pixels
    return np.ascontiguousarray(pixels, dtype=dtype.newbyteorder('='))


def encoding_of(image: np.ndarray) -> str:
    """Return the encoding that an array's type stands for, such as '8UC3'."""
    if not isinstance(image, (np.ndarray, np.generic)):
        raise TypeError('Your input type is not a numpy array')
    channels = 1 if image.ndim < 3 else image.shape[2]
    return f'{CV_TYPE_OF_DTYPE[image.dtype.name]}C{channels}'


def is_bigendian(dtype: np.dtype) -> bool:
    """Return whether an array's numbers begin with their highest byte."""
    return dtype.byteorder == '>' or (dtype.byteorder == '=' and sys.byteorder == 'big')

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

"""A pinhole camera's intrinsics, and how the node uses them."""

from test.helpers.vehicle import at, FakeImagery, FRAME, RELIABLE

from fg2_ros.ros.intrinsics import Intrinsics
from fg2_ros.ros.loading import Loaded
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

RAW = [300.0, 0.0, 160.0, 0.0, 310.0, 120.0, 0.0, 0.0, 1.0]
RECTIFIED = [200.0, 0.0, 150.0, 0.0, 0.0, 210.0, 110.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def calibration(p=RECTIFIED, k=RAW, width=320, height=240, roi=(0, 0, 0, 0)):
    """Return a camera_info."""
    info = CameraInfo(width=width, height=height, p=p, k=k)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = roi
    return info


def heard(info, width=320, height=240):
    """Return fx, fy, cx, cy of an image after a calibration was heard."""
    intrinsics = Intrinsics()
    intrinsics.update(info)
    matrix = intrinsics.of(width, height).matrix
    assert matrix[2].tolist() == [0, 0, 1] and matrix[0, 1] == matrix[1, 0] == 0
    return [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]]


def test_rectified_images_have_the_projection_matrix():
    """A driver that gives none has nothing to rectify."""
    assert heard(calibration()) == [200, 210, 150, 110]
    assert heard(calibration(p=[0.0] * 12)) == [300, 310, 160, 120]


def test_intrinsics_follow_the_size_of_the_image():
    """Binning, decimation and resizing are all the same."""
    assert heard(calibration(), 160, 120) == [100, 105, 75, 55]
    assert heard(calibration(), 640, 240) == [400, 210, 300, 110]


def test_intrinsics_follow_the_crop():
    """And the scale of what was cropped."""
    cropped = calibration(roi=(100, 40, 200, 120))
    assert heard(cropped, 200, 120) == [200, 210, 50, 70]
    assert heard(cropped, 100, 60) == [100, 105, 25, 35]


@pytest.mark.parametrize('broken', [
    calibration(p=[0.0] * 12, k=[0.0] * 9), calibration(width=0),
    calibration(p=[float('nan')] * 12), calibration(p=[-1.0, *RECTIFIED[1:]])])
def test_no_calibration(broken):
    """What an uncalibrated camera sends is refused, and an earlier calibration stays."""
    intrinsics = Intrinsics()
    intrinsics.update(calibration())
    with pytest.raises(ValueError, match='not that of a calibrated camera'):
        intrinsics.update(broken)
    assert intrinsics.of(320, 240).matrix[0, 0] == 200
    with pytest.raises(ValueError, match='there was no camera_info yet'):
        Intrinsics().of(320, 240)


def test_the_node_gives_the_localizer_the_intrinsics(vehicle):
    """Without a camera_info there is no pose, and the topic is named."""
    publisher = vehicle.node.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    node = vehicle.start(
        lambda settings: Loaded(vehicle.localizer, FakeImagery(), needs_intrinsics=True),
        datum=list(FRAME.datum))
    vehicle.until(lambda: publisher.get_subscription_count() > 0, 'the node hears camera_info')
    vehicle.send_all(at(1.0))
    vehicle.until_logged('there was no camera_info yet')
    publisher.publish(calibration(p=[0.0] * 12, k=[0.0] * 9))
    vehicle.until_logged('not that of a calibrated camera')
    publisher.publish(calibration(width=128, height=64))
    intrinsics = node.parts.pipeline.cameras.intrinsics[0]
    vehicle.until(lambda: intrinsics._newest is not None, 'the calibration has arrived')
    vehicle.send_all(at(2.0))
    vehicle.pose_at(at(2.0))
    matrix, = vehicle.localizer.intrinsics
    np.testing.assert_allclose(matrix[:2, 2], [75, 55])  # the image has half the size


def test_panoramas_need_no_intrinsics(vehicle):
    """The node does not even listen."""
    publisher = vehicle.node.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    vehicle.start(datum=list(FRAME.datum))
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    assert publisher.get_subscription_count() == 0

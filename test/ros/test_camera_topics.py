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

"""Images over real DDS: raw or compressed, whichever topic brings them."""

from array import array
from test.helpers.vehicle import at, FRAME, image, planar, RELIABLE, transform, TRUTH

import cv2
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros.conversions import image_from_rgb
from fg2_ros.ros.image_inputs import topic_of
import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

DATUM = list(FRAME.datum)
RGB = np.random.default_rng(2).integers(0, 255, (32, 64, 3), np.uint8)


def compressed(stamp, ending='png'):
    """Return a compressed panorama."""
    message = CompressedImage(header=image(stamp).header, format=f'bgr8; {ending} compressed bgr8')
    message.data = array('B', cv2.imencode(f'.{ending}', RGB[..., ::-1])[1].tobytes())
    return message


def get_ready(vehicle, stamp):
    """Send everything but the image."""
    vehicle.send_mount()
    vehicle.send_odometry_tf(stamp)
    vehicle.send_prior(stamp)
    vehicle.until(lambda: vehicle.is_ready(stamp), 'the prior has arrived')


@pytest.mark.parametrize('ending', ['png', 'jpg'])
def test_compressed_images_give_poses(vehicle, ending):
    vehicle.start(datum=DATUM)
    get_ready(vehicle, at(1.0))
    vehicle.send(compressed(at(1.0), ending))
    pose = vehicle.pose_at(at(1.0)).pose.pose
    np.testing.assert_allclose(planar(pose.position, pose.orientation), TRUTH, atol=0.05)
    if ending == 'png':
        np.testing.assert_array_equal(vehicle.localizer.panoramas[0], RGB)


def test_an_image_on_both_topics_is_worked_on_once(vehicle):
    vehicle.start(datum=DATUM)
    get_ready(vehicle, at(1.0))
    vehicle.send(image(at(1.0)))
    vehicle.pose_at(at(1.0))
    vehicle.send(compressed(at(1.0)))
    get_ready(vehicle, at(2.0))
    vehicle.send(compressed(at(2.0)))
    vehicle.pose_at(at(2.0))
    assert len(vehicle.localizer.panoramas) == 2
    assert len(vehicle.heard['fg2/pose']) == 2


def test_a_damaged_image_is_told_and_the_next_one_taken(vehicle):
    vehicle.start(datum=DATUM)
    get_ready(vehicle, at(1.0))
    broken = compressed(at(1.0))
    broken.data = broken.data[:40]
    vehicle.send(broken)
    vehicle.until_logged('truncated')
    vehicle.send(compressed(at(1.0)))
    vehicle.pose_at(at(1.0))


@pytest.mark.parametrize('remaps, expected', [
    ([], '/car/image/compressed'), (['image:=/front/image_raw'], '/front/image_raw/compressed'),
    (['image:=/front/image_raw', 'image/compressed:=/thin'], '/thin'),
    (['image/compressed:=thin'], '/car/thin')])
def test_compressed_images_are_remapped_with_the_raw_ones(ros, remaps, expected):
    arguments = ['--ros-args'] + [word for remap in remaps for word in ('-r', remap)]
    node = Node('remapped', namespace='/car', cli_args=arguments)
    try:
        subscription = node.create_subscription(
            CompressedImage, topic_of(node, 'image', 'compressed'), lambda _: None, 1)
        assert subscription.topic_name == expected
    finally:
        node.destroy_node()


def face(index, stamp):
    """Return the image of one of four cameras that look around, and its calibration."""
    header = Header(stamp=stamp, frame_id=f'camera{index}')
    rgb = np.full((40, 40, 3), 60 * (index + 1), np.uint8)
    info = CameraInfo(header=header, width=40, height=40,
                      k=[20.0, 0.0, 19.5, 0.0, 20.0, 19.5, 0.0, 0.0, 1.0])
    return image_from_rgb(rgb, header), info


def test_a_ring_of_cameras_is_one_panorama(vehicle):
    """One of them is compressed; what they do not see is masked."""
    names = [f'camera{index}' for index in range(4)]
    node = vehicle.start(active=False, datum=DATUM, camera__layout='ring',
                         camera__topics=[f'{name}/image_raw' for name in names])
    assert vehicle.change(node, 'configure') and vehicle.change(node, 'activate')
    publishers = [(vehicle.node.create_publisher(Image, f'{name}/image_raw', RELIABLE),
                   vehicle.node.create_publisher(CameraInfo, f'{name}/camera_info', RELIABLE))
                  for name in names]
    squeezed = vehicle.node.create_publisher(
        CompressedImage, f'{names[2]}/image_raw/compressed', RELIABLE)
    get_ready(vehicle, at(1.0))
    vehicle.send_transforms([
        transform('base_link', name, at(0.0), Pose2(1.0, 2.0, 0.0), optical_deg=90.0 * index)
        for index, name in enumerate(names)])
    vehicle.until(lambda: all(
        each.get_subscription_count() for pair in publishers for each in (*pair, squeezed)),
        'the node hears the cameras')
    vehicle.until(lambda: all(
        _is_known(node, name) for name in names), 'the mounts have arrived')
    for index, (images, infos) in enumerate(publishers):
        image_, info = face(index, at(1.0))
        infos.publish(info)
        cameras = node.parts.pipeline.cameras
        vehicle.until(lambda: cameras.intrinsics[index]._newest is not None, 'it is calibrated')
        if index == 2:
            data = cv2.imencode('.png', np.frombuffer(image_.data, np.uint8).reshape(40, 40, 3))[1]
            squeezed.publish(CompressedImage(
                header=image_.header, format='png', data=array('B', data.tobytes())))
        else:
            images.publish(image_)
    vehicle.pose_at(at(1.0))
    panorama, = vehicle.localizer.panoramas
    mask, = vehicle.localizer.masks
    height, width = panorama.shape[:2]
    ahead_left_behind_right = [panorama[height // 2, column * width // 4 % width, 0]
                               for column in (2, 1, 0, 3)]
    assert ahead_left_behind_right == [60, 120, 180, 240]
    assert mask[height // 2].all() and not mask[:height // 8].any()


def _is_known(node, frame):
    try:
        node.parts.transforms.mount('base_link', frame)
    except ValueError:
        return False
    return True

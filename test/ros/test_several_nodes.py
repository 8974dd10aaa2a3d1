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

"""Several nodes: two vehicles in one domain, two cameras on a vehicle, one cache for two."""

from test.helpers.vehicle import at, FakeLocalizer, FRAME, image, RELIABLE, Vehicle

from fg2_ros.imagery import RasterImagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.ros.loading import load_imagery, Loaded
from fg2_ros.simulation.tile_server import Faults, TileServer
from geometry_msgs.msg import PoseWithCovarianceStamped
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

DATUM = list(FRAME.datum)
PATCH = PatchView(FRAME, (0.0, 0.0), 56.0, 256)
OWN_TF = ('-r', '/tf:=tf', '-r', '/tf_static:=tf_static')
STATIC = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def with_own_tf() -> Vehicle:
    """Return a vehicle whose transforms are in its namespace."""
    vehicle = Vehicle()
    vehicle.tf = vehicle.node.create_publisher(TFMessage, 'tf', RELIABLE)
    vehicle.tf_static = vehicle.node.create_publisher(TFMessage, 'tf_static', STATIC)
    vehicle.hear(TFMessage, 'tf')
    return vehicle


def map_from_odom(vehicle: Vehicle, topic: str) -> list:
    """Return what was heard of map -> odom."""
    return [item for message in vehicle.heard[topic] for item in message.transforms
            if item.header.frame_id == 'map']


def test_two_vehicles_with_the_same_frames(ros):
    """In two namespaces with remapped /tf neither hears what is the other's (N4)."""
    vehicles = [with_own_tf(), with_own_tf()]
    try:
        for number, vehicle in enumerate(vehicles, 1):
            vehicle.start(datum=DATUM, arguments=OWN_TF)
            vehicle.send_all(at(number))
            vehicle.pose_at(at(number))
            vehicle.until(lambda: map_from_odom(vehicle, 'tf'), 'map -> odom comes')
        assert [len(vehicle.heard['fg2/pose']) for vehicle in vehicles] == [1, 1]
        assert not any(map_from_odom(vehicle, '/tf') for vehicle in vehicles)
    finally:
        for vehicle in vehicles:
            vehicle.close()


def test_two_cameras_on_a_vehicle(vehicle):
    """Two nodes with names of their own share all other inputs; one of them broadcasts."""
    vehicle.start(datum=DATUM)
    rear = vehicle.start(datum=DATUM, publish_tf=False, active=False, arguments=(
        '-r', '__node:=fg2_rear', '-r', 'image:=rear/image'))
    vehicle.hear(PoseWithCovarianceStamped, 'fg2_rear/pose')
    sender = vehicle.node.create_publisher(Image, 'rear/image', RELIABLE)
    assert vehicle.change(rear, 'configure') and vehicle.change(rear, 'activate')
    vehicle.until(lambda: sender.get_subscription_count() > 0
                  and rear.parts.outputs.pose.get_subscription_count() > 0, 'they have met')
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    sender.publish(image(at(1.05)))
    poses = vehicle.until(lambda: vehicle.heard['fg2_rear/pose'], 'a pose of the other camera')
    assert [pose.header.stamp for pose in poses] == [at(1.05)]
    assert [pose.header.stamp for pose in vehicle.heard['fg2/pose']] == [at(1.0)]
    reports = {f'{vehicle.namespace}/{name}: inputs' for name in ('fg2', 'fg2_rear')}
    vehicle.until(lambda: reports <= {
        status.name for array in vehicle.heard['/diagnostics'] for status in array.status},
        'both report')


class PatchingLocalizer(FakeLocalizer):
    """Tells the truth if there is imagery."""

    def __init__(self, imagery):
        """Draw on it."""
        super().__init__()
        self.imagery = imagery

    def observe(self, panorama, plan, base_from_camera, camera_k=None, seen=None):
        """Wait for a patch before anything is said."""
        self.imagery.patch(PATCH, wait_s=20.0)
        return super().observe(panorama, plan, base_from_camera)


def load_patching(settings) -> Loaded:
    """Return a fake localizer on real imagery."""
    imagery = load_imagery(settings.imagery)
    return Loaded(PatchingLocalizer(imagery), imagery)


def test_two_nodes_share_a_cache(vehicle, tmp_path):
    """What one has downloaded serves the other, though the server fails meanwhile."""
    grey = np.full((400, 400, 3), 80, np.uint8)
    with TileServer(RasterImagery(grey, FRAME, (0.0, 0.0), 0.5).tile,
                    min_zoom=10, max_zoom=20) as tiles:
        for number in range(2):
            vehicle.start(
                load_patching, active=False, datum=DATUM, publish_tf=False,
                imagery__url=tiles.url_template, imagery__cache_path=str(tmp_path),
                arguments=('-r', f'__node:=fg2_{number}', '-r', f'image:=image_{number}'))
        for number, node in enumerate(vehicle.under_test):
            vehicle.hear(PoseWithCovarianceStamped, f'fg2_{number}/pose')
            assert vehicle.change(node, 'configure') and vehicle.change(node, 'activate')
        for number, node in enumerate(vehicle.under_test):
            sender = vehicle.node.create_publisher(Image, f'image_{number}', RELIABLE)
            vehicle.until(lambda: sender.get_subscription_count()
                          and node.parts.outputs.pose.get_subscription_count(), 'they have met')
            vehicle.send_mount()
            vehicle.send_odometry_tf(at(number))
            vehicle.send_prior(at(number))
            vehicle.until(lambda: vehicle.is_ready(at(number)), 'the prior has arrived')
            sender.publish(image(at(number)))
            vehicle.until(lambda: vehicle.heard[f'fg2_{number}/pose'], 'a pose comes')
            tiles.faults = Faults(status=503)
    first, second = (node.parts.loaded.imagery.status() for node in vehicle.under_test)
    assert first.downloads and second.disk_hits and not second.downloads

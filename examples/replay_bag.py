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
Localize the images of a recorded drive with the node's own code, without DDS.

python3 examples/replay_bag.py drive.mcap --source swissimage
"""

import argparse
from pathlib import Path

from fg2_ros.replay.run import replay_bag
from fg2_ros.replay.settings import ReplaySettings


def main() -> None:
    """Replay the bag and print a line for each image."""
    parser = argparse.ArgumentParser(description='Localize the images of a recorded drive.')
    parser.add_argument('bag', type=Path, help='rosbag2 folder, .mcap, .db3 or ROS 1 .bag')
    parser.add_argument('--source', action='append', required=True, metavar='NAME|URL|FILE',
                        help='imagery; again for where it has none')
    args = parser.parse_args()

    result = replay_bag(args.bag, ReplaySettings(source=tuple(args.source)))
    for image in result.images:
        if image.accepted:
            latitude_deg, longitude_deg = image.pose.place_deg
            print(f'{image.stamp_ns}: {latitude_deg:.7f}, {longitude_deg:.7f}, '
                  f'yaw {image.pose.base.yaw:.4f}')
        else:
            print(f'{image.stamp_ns}: rejected, {image.rejection}')


if __name__ == '__main__':
    main()

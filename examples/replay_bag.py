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
            latitude_deg, longitude_deg = image.place_deg
            print(f'{image.stamp_ns}: {latitude_deg:.7f}, {longitude_deg:.7f}, '
                  f'yaw {image.base.yaw:.4f}')
        else:
            print(f'{image.stamp_ns}: rejected, {image.rejection}')


if __name__ == '__main__':
    main()

"""
Localize the images of a recorded drive with the node's own code, without DDS.

python3 examples/replay_bag.py drive.mcap --source swissimage
"""

import argparse
from contextlib import closing
from pathlib import Path

from fg2_ros.localizer import LocalizerSettings, PatchSettings
from fg2_ros.replay.recording import choose_topics, Recording
from fg2_ros.replay.replay import Replay, StaticMounts
from fg2_ros.ros.loading import load_localizer
from fg2_ros.ros.node_settings import ImagerySettings, NodeSettings
from fg2_ros.ros.pipeline import Pipeline


def main() -> None:
    """Replay the bag and print a line for each image."""
    parser = argparse.ArgumentParser(description='Localize the images of a recorded drive.')
    parser.add_argument('bag', type=Path, help='rosbag2 folder, .mcap, .db3 or ROS 1 .bag')
    parser.add_argument('--source', action='append', required=True, metavar='NAME|URL|FILE',
                        help='imagery; again for where it has none')
    args = parser.parse_args()

    settings = NodeSettings(  # of a node that would do the same, and wait for its imagery
        imagery=ImagerySettings(sources=tuple(args.source)),
        localizer=LocalizerSettings(patch=PatchSettings(wait_s=60.0)))
    with closing(Recording(args.bag)) as recording, closing(load_localizer(settings)) as loaded:
        topics = choose_topics(recording, {})  # those that are the only ones of their type
        pipeline = Pipeline(settings, loaded, StaticMounts(recording))
        for image in Replay(recording, topics, pipeline).outcomes():
            if image.accepted:
                latitude_deg, longitude_deg = image.place_deg
                print(f'{image.stamp_ns}: {latitude_deg:.7f}, {longitude_deg:.7f}, '
                      f'yaw {image.base.yaw:.4f}')
            else:
                print(f'{image.stamp_ns}: rejected, {image.rejection}')


if __name__ == '__main__':
    main()

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
Follow a vehicle along a drive: sensors and images in, poses that can be trusted out; without ROS.

The drive is a simulated one, so that this runs as it stands; what is done with it is what is to be
done with any other:

python3 examples/follow_drive.py --city-seed 2100 --images 24
"""

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory

from fg2_ros import Localizer
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, stream_of
from fg2_ros.evaluation.drives.stream import Heading, SensorStream
from fg2_ros.tracker import Fix, Odometry, Rejection, TrackedPose


def main() -> None:
    """Drive through a city and print what is known after each image."""
    parser = argparse.ArgumentParser(description='Follow a vehicle along a simulated drive.')
    parser.add_argument('--city-seed', type=int, default=2100, metavar='N')
    parser.add_argument('--images', type=int, default=24, metavar='N', help='4 a second')
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        follow(stream_of(open_drive(
            DriveSpec(args.city_seed, frames=args.images), Path(folder))))


def follow(drive: SensorStream) -> None:
    """Tell a tracker what the sensors say, in the order of time, and show it the images."""
    localizer = Localizer.load(imagery=drive.imagery, map_frame=drive.map_frame)
    tracker = localizer.new_tracker()
    for stamp_ns, said in drive.events():
        if isinstance(said, Odometry):  # base_link in its own frame, velocity in base_link
            tracker.add_odometry(stamp_ns, said)
        elif isinstance(said, Fix):  # of the antenna, in the map, with its place on the vehicle
            tracker.add_fix(stamp_ns, said)
        elif isinstance(said, Heading):  # map yaw of base_link; it may be wrong, or missing
            tracker.add_heading(stamp_ns, said.yaw_rad, said.sigma_rad)
        else:
            answer = localizer.track(
                tracker, stamp_ns, said.image.pixels(), drive.base_from_camera)
            print(f'{said.time_s:5.2f} s: {in_words(answer)}')


def in_words(answer: TrackedPose | Rejection) -> str:
    """Return a pose with its one-sigma uncertainty, or why there is none."""
    if isinstance(answer, Rejection):
        return f'nothing is published: {answer.sentence}'
    (east_m, north_m, yaw_rad), variance = answer.base, answer.covariance.diagonal()
    return ' '.join([
        f'{east_m:.2f} m east +-{math.sqrt(variance[0]):.2f},',
        f'{north_m:.2f} m north +-{math.sqrt(variance[1]):.2f},',
        f'yaw {math.degrees(yaw_rad):.1f} degrees +-{math.degrees(math.sqrt(variance[2])):.1f}',
        *(f'({remark})' for remark in answer.remarks)])


if __name__ == '__main__':
    main()

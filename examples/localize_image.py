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
Localize one panorama in aerial imagery; no ROS is needed.

python3 examples/localize_image.py panorama.jpg 47.3769 8.5417 --heading 20 --source swissimage
"""

import argparse
from contextlib import closing
import math

from fg2_ros import Localizer, open_imagery, Prior
from fg2_ros.localizer import LocalizerSettings, PatchSettings
import numpy as np
from PIL import Image


def main() -> None:
    """Read the panorama, localize it and print where it was taken."""
    parser = argparse.ArgumentParser(description='Localize one panorama in aerial imagery.')
    parser.add_argument('panorama', help='image, twice as wide as high')
    parser.add_argument('latitude', type=float, help='of the prior, within 12 m')
    parser.add_argument('longitude', type=float, help='of the prior')
    parser.add_argument('--heading', type=float, required=True, metavar='DEG',
                        help='compass heading of the centre column, within 10 degrees')
    parser.add_argument('--source', action='append', required=True, metavar='NAME|URL|FILE',
                        help='imagery; again for where it has none')
    args = parser.parse_args()

    panorama = np.asarray(Image.open(args.panorama).convert('RGB'))
    prior = Prior(
        args.latitude, args.longitude, sigma_m=5.0,
        yaw_rad=math.radians(90.0 - args.heading),  # of the map: 0 is east, counter-clockwise
        yaw_sigma_rad=math.radians(5.0))
    waiting = LocalizerSettings(patch=PatchSettings(wait_s=60.0))  # for tiles; a node goes on
    with closing(open_imagery(args.source)) as imagery:
        estimate = Localizer.load(imagery=imagery, settings=waiting).estimate(panorama, prior)

    east_m, north_m, yaw_rad = np.sqrt(np.diag(estimate.covariance))
    print(f'{estimate.latitude_deg:.7f}, {estimate.longitude_deg:.7f}, '
          f'+-{east_m:.2f} m east and {north_m:.2f} m north')
    print(f'heading {(90.0 - math.degrees(estimate.yaw_rad)) % 360.0:.2f} degrees, '
          f'+-{math.degrees(yaw_rad):.2f}')
    print('accepted' if estimate.accepted else f'rejected: {estimate.rejection}')


if __name__ == '__main__':
    main()

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

"""Two fisheye lenses, back to back: their picture of the sphere, and their calibration."""

import math
from test.helpers.spheres import picture

from fg2_ros.cameras.lenses import optical_from_body
from fg2_ros.geometry.panorama import rotation3
import numpy as np
import yaml

LENSES = [{'centre_px': [100, 100], 'radius_px': 98, 'fov_deg': 200},
          {'centre_px': [300, 100], 'radius_px': 98, 'fov_deg': 200, 'rotation_deg': [0, 0, 180]}]


def fisheye_image(lenses=LENSES):
    """Return two circles, 200 x 400 pixels, of the sphere."""
    image = np.zeros((200, 400, 3), np.uint8)
    row, column = np.mgrid[0:200, 0:400] + 0.5
    for lens in lenses:
        x, y = column - lens['centre_px'][0], row - lens['centre_px'][1]
        angle = np.hypot(x, y) / lens['radius_px'] * math.radians(lens['fov_deg']) / 2
        around = np.arctan2(y, x)
        optical = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around),
                            np.cos(angle)], -1)
        turn = rotation3(*np.radians(lens.get('rotation_deg', (0, 0, 0)))) @ optical_from_body().T
        shown = np.hypot(x, y) <= lens['radius_px']
        image[shown] = picture(optical, turn)[shown]
    return image


def write_calibration(folder, lenses=LENSES, **others):
    """Write a calibration file and return its path."""
    path = folder / 'lenses.yaml'
    path.write_text(yaml.safe_dump({'width': 400, 'height': 200, 'lenses': lenses} | others))
    return str(path)

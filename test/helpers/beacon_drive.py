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

"""A recorded drive of beacons, whose truth can be seen in its images."""

from pathlib import Path
from test.helpers.beacon_scene import BeaconScene

import cv2
from fg2_ros.datasets.drives import (
    DriveFacts, GROUND, IMAGES, Keyframe, SensorReadings, write_drive)
from fg2_ros.datasets.ground_cells import CellLayout, write_cell
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.simulation.cameras import CameraPose

FRAME = MapFrame(47.4, 8.5)
POSE = CameraPose(23.456, -31.217, 2.0, 0.9)
BASE_FROM_CAMERA = Pose2(0.8, -0.3, 2.0)
LAYOUT = CellLayout(0.2, 100, 'a survey', '2024', 'the surveyors')
REACH_M = 62.0


def write_beacon_drive(folder: Path, splits: list[str], width: int = 1280) -> Path:
    """Write a drive whose keyframes, one for each split, are all at one place."""
    scene = BeaconScene(POSE)
    (folder / IMAGES).mkdir(parents=True)
    (folder / GROUND).mkdir()
    base = Pose2(POSE.east_m, POSE.north_m, POSE.yaw_rad).compose(BASE_FROM_CAMERA.inverse())
    panorama = cv2.cvtColor(scene.panorama(POSE, width, width // 2), cv2.COLOR_RGB2BGR)
    keyframes = [Keyframe(f'{index}.png', index, base, 0.02, 0.003, split)
                 for index, split in enumerate(splits)]
    for keyframe in keyframes:
        cv2.imwrite(str(folder / IMAGES / keyframe.image), panorama)
    orthophoto = scene.orthophoto()
    imagery = RasterImagery(
        orthophoto.image, FRAME, orthophoto.centre_m, orthophoto.resolution_m)
    for cell in LAYOUT.cells_within((POSE.east_m, POSE.north_m), REACH_M):
        patch = imagery.patch(LAYOUT.view_of(cell, FRAME))
        write_cell(folder / GROUND, cell, patch.image, patch.valid)
    write_drive(folder, DriveFacts(FRAME.datum, BASE_FROM_CAMERA, (0.0, 0.0), LAYOUT), keyframes,
                SensorReadings())
    return folder

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

"""A simulated drive written as a recorded one: the same images, sensors and ground."""

from __future__ import annotations

from fg2_ros.datasets.drives import (
    DriveFacts, GROUND, IMAGES, Keyframe, RecordedDrive, SensorReadings, write_drive)
from fg2_ros.datasets.ground_cells import CellLayout, write_cell
from fg2_ros.evaluation.drives.rendered import RESOLUTION_M, stream_of
from fg2_ros.geometry.se2 import wrap_angle
import numpy as np
from PIL import Image

BEGIN_NS = 1_700_000_000_123_456_789  # of the drive: a vehicle's clock
LAYOUT = CellLayout(RESOLUTION_M, 256, 'a simulated city')
REACH_M = 60.0  # of ground around the vehicle
SIGMA_M, SIGMA_RAD = 0.02, np.radians(0.2)


def record(rendered, folder, split_of=lambda index: 'test', change=lambda readings: readings):
    """
    Write a rendered drive into a folder of its own, and return it.

    :param split_of: of each image.
    :param change: of what sensors said.
    """
    stream = stream_of(rendered)
    frame = rendered.map_frame
    (folder / IMAGES).mkdir(parents=True)
    (folder / GROUND).mkdir()
    keyframes = []
    for index, shot in enumerate(stream.shots):
        name = f'{index:06d}.jpg'
        Image.fromarray(shot.image.pixels()).save(folder / IMAGES / name, quality=95)
        keyframes.append(Keyframe(
            name, stamp_ns(shot.time_s), shot.truth, SIGMA_M, SIGMA_RAD, split_of(index)))
    cells = {cell for shot in stream.shots
             for cell in LAYOUT.cells_within(shot.truth[:2], REACH_M)}
    for cell in sorted(cells):
        patch = stream.imagery.patch(LAYOUT.view_of(cell, frame))
        write_cell(folder / GROUND, cell, patch.image, patch.valid)
    camera = stream.base_from_camera
    write_drive(folder, DriveFacts(frame.datum, camera, stream.antenna_m, LAYOUT), keyframes,
                change(readings_of(stream)))
    return RecordedDrive(folder)


def readings_of(stream):
    """Return what the sensors of a stream say, as a data set keeps it."""
    known = np.isfinite(stream.gnss.position_m[:, 0])
    gnss = stream.gnss.kept(known)
    odometry, heading = stream.odometry, stream.heading
    return SensorReadings(
        stamps_ns(gnss.time_s), gnss.position_m, gnss.sigma_m, stamps_ns(odometry.time_s),
        np.stack([odometry.x_m, odometry.y_m, odometry.yaw_rad, odometry.speed_mps,
                  odometry.leftward_mps, odometry.yaw_rate_radps], axis=1),
        stamps_ns(heading.time_s),
        np.stack([wrap_angle(heading.yaw_rad), heading.sigma_rad], axis=1))


def stamp_ns(time_s):
    """Return the stamp of a time of the drive."""
    return BEGIN_NS + round(time_s * 1e9)


def stamps_ns(times_s):
    """Return the stamps of times of the drive."""
    return np.array([stamp_ns(time_s) for time_s in times_s.tolist()], np.int64)

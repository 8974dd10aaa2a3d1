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

"""Replays as tasks, with a stand-in for the network that knows where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from test.replay import test_replay
from typing import Any

from fg2_ros.imagery import RasterImagery
from fg2_ros.replay import run
from fg2_ros.replay.batch import replay_one, ReplayTask
from fg2_ros.ros import loading
from fg2_ros.ros.loading import Loaded
from fg2_ros.simulation.bag import write_drive
from fg2_ros.simulation.drive import Drive, DriveSettings, simulate_drive
from fg2_ros.tracker.settings import PublicationSettings
import numpy as np

SEEDS = {'first': 3, 'second': 4}


def write_bag(path: Path) -> None:
    """Write a bag of one of the names above, whose images tell their numbers."""
    write_drive(path, _drive(path.name), test_replay.FRAME,
                map(test_replay.panorama, range(test_replay.FRAMES)))


def _drive(name: str) -> Drive:
    camera = test_replay.CAMERA
    return simulate_drive(test_replay.StraightCity(), SEEDS[name], DriveSettings(
        frames=test_replay.FRAMES, camera_m=(camera.x, camera.y, 1.8)))


def replay_truthfully(task: ReplayTask) -> dict[str, Any]:
    """Replay a bag; the process is the task's own, so nothing has to be put back."""
    raster = RasterImagery(
        np.full((100, 100, 3), 60, np.uint8), test_replay.FRAME, (0.0, 0.0), 2.0)
    if task.bag.name in SEEDS:
        localizer = test_replay.TruthfulLocalizer(_drive(task.bag.name).frames)
        setattr(loading, 'load_localizer', lambda settings: Loaded(localizer, raster))
    as_told = run.node_settings
    setattr(run, 'node_settings', lambda settings: replace(
        as_told(settings), publication=PublicationSettings(min_distance_m=0.0, pose_every_m=0.0)))
    return replay_one(task)

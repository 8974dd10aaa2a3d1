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

"""Panoramas of a simulated city, rendered by several processes in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from fg2_ros.processes import begin_worker
from fg2_ros.simulation.cameras import CameraPose
from fg2_ros.simulation.scenes import Scene
import numpy as np

_scene: Scene | None = None  # one for each worker process: it takes a while to build


def render_panoramas(
        seed: int, difficulty: str, cameras: Sequence[CameraPose], width: int,
        workers: int) -> Iterator[np.ndarray]:
    """Yield the (width / 2, width, 3) uint8 RGB panoramas of cameras in a city, in order."""
    pool = ProcessPoolExecutor(
        workers, get_context('spawn'), initializer=_build_scene, initargs=(seed, difficulty))
    try:
        yield from pool.map(_render, range(len(cameras)), cameras, [width] * len(cameras))
    finally:
        pool.shutdown(cancel_futures=True)


def _build_scene(seed: int, difficulty: str) -> None:
    global _scene
    begin_worker()
    _scene = Scene(seed, difficulty)


def _render(frame: int, camera: CameraPose, width: int) -> np.ndarray:
    assert _scene is not None, 'the process was not begun with a scene'
    return _scene.panorama(camera, width, width // 2, frame)

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


def rendered(seed: int, difficulty: str, cameras: Sequence[CameraPose], width: int,
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
    return _scene.panorama(camera, width, width // 2, frame)

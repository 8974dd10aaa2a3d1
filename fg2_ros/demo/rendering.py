"""Panoramas of a simulated city, rendered by several processes in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import signal

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _scene = Scene(seed, difficulty)


def _render(frame: int, camera: CameraPose, width: int) -> np.ndarray:
    assert _scene is not None, 'the process was not begun with a scene'
    return _scene.panorama(camera, width, width // 2, frame)

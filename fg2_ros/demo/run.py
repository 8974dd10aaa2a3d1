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

"""A drive through a simulated city: rendered, driven over real DDS and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
import json
import os
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError
import cv2
from fg2_ros.demo.child_processes import Children
from fg2_ros.demo.interruption import Interruption
from fg2_ros.demo.recorder import Recorder
from fg2_ros.demo.rendering import render_panoramas
from fg2_ros.demo.settings import DemoSettings
from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.ros.qos import FAST_DDS_PROFILES
from fg2_ros.simulation.bag import write_drive
from fg2_ros.simulation.drive import Drive, DriveSettings, simulate_drive
from fg2_ros.simulation.scenes import Orthophoto, Scene
import rclpy
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

MAP_RESOLUTION_M = 0.15
NODE_MODULE = 'fg2_ros.ros.node'
OVERLAYS = 8
START_UP_S = 90.0
DRAIN_S = 2.0
PROGRESS_S = 5.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class DemoResult:
    """
    What came of the demo.

    :param record: of the drive.
    :param lookups: how well the transforms served, as `Lookups.figures` has it.
    :param orthophoto: of the city.
    """

    record: DriveRecord
    lookups: dict[str, float | int | None]
    orthophoto: Orthophoto

    def figures(self) -> dict[str, Any]:
        """
        Return how good the poses are, ready for JSON.

        :raises ValueError: if there are none.
        """
        figures = {**summary(self.record), **self.lookups}
        if not figures['published']:
            raise ValueError('no pose was published; the node says: '
                             f'{self.record.notes.get("last rejection", "nothing")}')
        return figures


def run_demo(settings: DemoSettings = DemoSettings(), tell: Tell = lambda line: None,
             interruption: Interruption | None = None) -> DemoResult:
    """
    Render a city, let a vehicle drive through it, and return what was recorded.

    :param tell: gets what happens, line by line.
    :param interruption: looked at all the time; None if nothing but exceptions interrupts.
    :raises OSError: if a child fails.
    :raises ValueError: for bad settings.
    """
    if settings.weights and not settings.weights.is_file():
        raise ValueError(f'there is no weights file {settings.weights}')
    interruption = interruption or Interruption()
    settings.output.mkdir(parents=True, exist_ok=True)
    drive, orthophoto = _render(settings, tell)
    interruption.check()
    os.environ.update(_ros_environment())
    with Children(settings.output, os.environ) as children:
        interruption.polled = True  # what is raised while a child is forked gets lost
        record, lookups = _Stage(settings, children, interruption, tell).drive(drive)
    interruption.polled = False
    interruption.check()
    return DemoResult(record, lookups, orthophoto)


def _render(settings: DemoSettings, tell: Tell) -> tuple[Drive, Orthophoto]:
    """Write the bag and the orthophoto; return the drive and the orthophoto."""
    seed, difficulty = settings.city_seed, settings.difficulty
    tell(f'city {seed} ({difficulty}): rendering its orthophoto ...')
    scene = Scene(seed, difficulty)
    orthophoto = scene.orthophoto(MAP_RESOLUTION_M)
    cv2.imwrite(str(settings.output / 'orthophoto.png'), orthophoto.image[..., ::-1])

    drive = simulate_drive(scene.city, seed, replace(
        DriveSettings.drawn(seed, difficulty), frames=settings.frames,
        frame_rate_hz=settings.rate_hz))
    shutil.rmtree(settings.output / 'drive', ignore_errors=True)
    images = render_panoramas(seed, difficulty, drive.cameras, settings.width, settings.workers)
    tell(f'rendering the drive: {settings.frames} panoramas ...')
    write_drive(settings.output / 'drive', drive, MapFrame(*settings.datum),
                _with_progress(images, settings.frames))
    return drive, orthophoto


def _with_progress(images: Iterable, count: int) -> Iterable:
    return tqdm(images, total=count, unit='image', disable=None, leave=False)


@dataclass(frozen=True)
class _Stage:
    """Tile server, node, player and recorder, until the drive is over."""

    settings: DemoSettings
    children: Children
    interruption: Interruption
    tell: Tell

    def drive(self, drive: Drive) -> tuple[DriveRecord, dict[str, float | int | None]]:
        """Start everybody, play the drive, and return the record and how transforms served."""
        self.tell('starting the tile server and the node ...')
        self._start_node()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        recorder = Recorder(overlay_every_s=drive.settings.duration_s / OVERLAYS)
        try:
            self._play(recorder, drive.settings.duration_s)
            record = recorder.record(drive.settings.sensors.gnss.antenna_m[:2])
            return record, recorder.lookup_figures()
        finally:
            recorder.destroy_node()
            rclpy.try_shutdown()

    def _start_node(self) -> None:
        settings, python = self.settings, sys.executable
        self.children.start('tile server', [
            python, '-m', 'fg2_ros.demo.tiles', str(settings.output / 'orthophoto.png'),
            '--resolution', str(MAP_RESOLUTION_M), '--datum', *map(str, settings.datum)],
            answers=True)
        parameters = _write_parameters(settings, self.children.answer('tile server'))
        self.children.start('node', [
            python, '-m', NODE_MODULE, '--ros-args', '--params-file', str(parameters)])

    def _play(self, recorder: Recorder, duration_s: float) -> None:
        self._until(recorder, recorder.node_state, START_UP_S, 'node')
        if recorder.node_state() != 'active':
            self.children.blame('node', f'is {recorder.node_state()}, not active')
        self.tell(f'driving for {duration_s:.0f} s ...')
        self.children.start('player', [
            sys.executable, '-m', 'fg2_ros.demo.player', str(self.settings.output / 'drive')])
        self._until(recorder, lambda: self.children.is_done('player'), duration_s + START_UP_S,
                    'player')
        self.children.check()
        self._until(recorder, lambda: recorder.is_up_to_date, DRAIN_S)

    def _until(self, recorder: Recorder, condition: Callable[[], object], timeout_s: float,
               name: str = '') -> None:
        """
        Record until a condition holds, and look after the children and the user meanwhile.

        :param name: the child to blame if it takes too long; '' where that is no failure.
        """
        begin_s = told_s = time.monotonic()
        while not condition() and time.monotonic() < begin_s + timeout_s:
            rclpy.spin_once(recorder, timeout_sec=0.05)
            self.interruption.check()
            self.children.check()
            if recorder.truth and time.monotonic() >= told_s + PROGRESS_S:
                told_s += PROGRESS_S
                self.tell(f'  {len(recorder.truth)} frames, {len(recorder.estimates)} poses')
        if name and not condition():
            self.children.blame(name, f'was not ready after {timeout_s:.0f} s')


def _write_parameters(settings: DemoSettings, tiles_url: str) -> Path:
    """Write the node's parameters; JSON is YAML, and quotes what needs it."""
    parameters = {
        'simulated_camera': True,
        'weights': str(settings.weights.resolve()) if settings.weights else '',
        'imagery': {'url': tiles_url, 'cache_path': ''},
    }
    path = settings.output / 'node.yaml'
    path.write_text(json.dumps({'/fg2': {'ros__parameters': parameters}}, indent=2) + '\n')
    return path


def _ros_environment() -> dict[str, str]:
    """Return variables that keep the demo's messages to itself and let large ones through."""
    environment = {
        'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        # Threads that wait for each other are slow where other processes need their cores.
        'OMP_NUM_THREADS': str(max(1, (os.cpu_count() or 1) // 2)),
    }
    profile = _share_folder() / 'config' / 'fastdds.xml'
    if profile.is_file():
        environment |= dict.fromkeys(FAST_DDS_PROFILES, str(profile))
    return environment


def _share_folder() -> Path:
    """Return where config/ is: installed, or in the source tree."""
    try:
        return Path(get_package_share_directory('fg2_ros'))
    except (PackageNotFoundError, OSError):  # OSError: there is no AMENT_PREFIX_PATH
        return Path(__file__).resolve().parents[2]

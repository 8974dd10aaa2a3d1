"""Let a vehicle localize itself in a simulated city, and write a report."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
import json
import os
from pathlib import Path
import shutil
import signal
import sys
import time

MAP_RESOLUTION_M = 0.15
NODE_MODULE = 'fg2_ros.ros.node'
OVERLAYS = 8
START_UP_S = 90.0
DRAIN_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument('--output', type=Path, default=Path('demo_out'),
                        help='folder of the report, the bag and the logs (default: demo_out)')
    parser.add_argument('--city-seed', type=int, default=2042,
                        help='city; those from 2000 on were not trained on (default: 2042)')
    parser.add_argument('--difficulty', choices=('standard', 'hard'), default='standard')
    parser.add_argument('--frames', type=int, default=120, help='panoramas (default: 120)')
    parser.add_argument('--rate', type=float, default=8.0,
                        help='panoramas a second (default: 8)')
    parser.add_argument('--width', type=int, default=1024,
                        help='of the panoramas, twice their height (default: 1024)')
    parser.add_argument('--datum', type=float, nargs=2, default=(47.5, 8.7),
                        metavar=('LATITUDE', 'LONGITUDE'),
                        help='where on Earth the city is, in degrees (default: 47.5 8.7)')
    parser.add_argument('--weights', type=Path,
                        help='weights file (default: the one of the package)')
    parser.add_argument('--workers', type=int, default=2,
                        help='processes that render (default: 2)')
    parser.add_argument('--json', type=Path, help='also write the figures to this file')


def run(args: argparse.Namespace) -> int:
    """
    Run the demo; return the exit code.

    :raises OSError: if a child fails.
    :raises ValueError: for bad options, or if no pose was published.
    """
    begin_s = time.monotonic()
    figures = _demo(args, _Interruption())
    print(f'{args.output / "report.html"} is ready after {time.monotonic() - begin_s:.0f} s')
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + '\n')
    print(f'RESULT {json.dumps(figures)}', flush=True)
    return 0


class _Interruption:
    """
    Ends the demo on Ctrl-C and SIGTERM, with all its children.

    An exception that is raised from a signal's handler gets lost where Python cannot pass it on,
    in a destructor for instance: `check` raises it again.
    """

    def __init__(self):
        """Handle the signals."""
        self._requested = False
        self.polled = False  # whether `check` is called all the time: then nothing is raised
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)
        sys.unraisablehook = self._lost

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was asked for."""
        if self._requested:
            raise KeyboardInterrupt

    @staticmethod
    def _lost(event) -> None:
        if not isinstance(event.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(event)

    def _request(self, *_) -> None:
        again, self._requested = self._requested, True
        if not (again or self.polled):
            raise KeyboardInterrupt


def _demo(args: argparse.Namespace, interruption: _Interruption) -> dict:
    """Render, drive, report; return the figures."""
    from fg2_ros.demo.children import Children
    from fg2_ros.evaluation.drive import summary
    from fg2_ros.report.drive import write_report

    if args.weights and not args.weights.is_file():
        raise ValueError(f'there is no weights file {args.weights}')
    args.output.mkdir(parents=True, exist_ok=True)
    drive, orthophoto = _render(args)
    interruption.check()
    os.environ.update(_ros_environment())
    with Children(args.output, os.environ) as children:
        interruption.polled = True  # what is raised while a child is forked gets lost
        record = _drive(args, children, drive, interruption)
    interruption.polled = False
    interruption.check()
    write_report(
        args.output / 'report.html', record, orthophoto, 'A drive through a simulated city',
        f'City {args.city_seed}, {args.difficulty}, {args.frames} panoramas at {args.rate:g} Hz, '
        f'weights {args.weights or "of the package"}')
    figures = summary(record)
    if not figures['published']:
        raise ValueError('no pose was published; the node says: '
                         f'{record.notes.get("last rejection", "nothing")}')
    return figures


def _render(args: argparse.Namespace):
    """Write the bag and the orthophoto; return the drive and the orthophoto."""
    import cv2

    from fg2_ros.demo.rendering import rendered
    from fg2_ros.geometry.frames import MapFrame
    from fg2_ros.simulation.bag import write_drive
    from fg2_ros.simulation.drive import DriveSettings, simulate_drive
    from fg2_ros.simulation.scenes import Scene

    print(f'city {args.city_seed} ({args.difficulty}): rendering its orthophoto ...', flush=True)
    scene = Scene(args.city_seed, args.difficulty)
    orthophoto = scene.orthophoto(MAP_RESOLUTION_M)
    cv2.imwrite(str(args.output / 'orthophoto.png'), orthophoto.image[..., ::-1])

    settings = replace(
        DriveSettings.drawn(args.city_seed, args.difficulty), frames=args.frames,
        frame_rate_hz=args.rate)
    drive = simulate_drive(scene.city, args.city_seed, settings)
    shutil.rmtree(args.output / 'drive', ignore_errors=True)
    images = rendered(
        args.city_seed, args.difficulty, drive.cameras, args.width, args.workers)
    write_drive(args.output / 'drive', drive, MapFrame(*args.datum),
                _with_progress(images, args.frames, 'rendering the drive'))
    return drive, orthophoto


def _with_progress(images: Iterable, count: int, what: str) -> Iterable:
    from tqdm import tqdm

    print(f'{what}: {count} panoramas ...', flush=True)
    return tqdm(images, total=count, unit='image', disable=None, leave=False)


def _drive(args: argparse.Namespace, children, drive, interruption: _Interruption):
    """Start everybody, play the drive, and return the record of it."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from fg2_ros.demo.recorder import Recorder

    python = sys.executable
    print('starting the tile server and the node ...', flush=True)
    children.start('tile server', [
        python, '-m', 'fg2_ros.demo.tiles', str(args.output / 'orthophoto.png'),
        '--resolution', str(MAP_RESOLUTION_M), '--datum', *map(str, args.datum)], answers=True)
    parameters = _write_parameters(args, children.answer('tile server'))
    children.start('node', [
        python, '-m', NODE_MODULE, '--ros-args', '--params-file', str(parameters)])

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(overlay_every_s=drive.settings.duration_s / OVERLAYS)
    watch = _Watch(recorder, children, interruption)
    try:
        watch.until(recorder.node_state, START_UP_S, 'node')
        if recorder.node_state() != 'active':
            children.blame('node', f'is {recorder.node_state()}, not active')
        print(f'driving for {drive.settings.duration_s:.0f} s ...', flush=True)
        children.start('player', [
            python, '-m', 'fg2_ros.demo.player', str(args.output / 'drive')])
        watch.until(lambda: children.is_done('player'), drive.settings.duration_s + START_UP_S,
                    'player', _Progress(recorder))
        children.check()
        watch.until(lambda: recorder.is_up_to_date, DRAIN_S)
        return recorder.record(drive.settings.sensors.gnss.antenna_m[:2])
    finally:
        recorder.destroy_node()
        rclpy.try_shutdown()


class _Watch:
    """Records, and looks after the children and the user, until something has happened."""

    def __init__(self, recorder, children, interruption: _Interruption):
        """Take note."""
        self._recorder, self._children, self._interruption = recorder, children, interruption

    def until(self, condition: Callable[[], object], timeout_s: float, name: str = '',
              tell: Callable[[], None] = lambda: None) -> None:
        """
        Record until a condition holds.

        :param name: the child to blame if it takes too long; '' where that is no failure.
        :param tell: called again and again meanwhile.
        """
        import rclpy

        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:
            rclpy.spin_once(self._recorder, timeout_sec=0.05)
            self._interruption.check()
            self._children.check()
            tell()
        if name and not condition():
            self._children.blame(name, f'was not ready after {timeout_s:.0f} s')


class _Progress:
    """Says every few seconds how far the drive is."""

    def __init__(self, recorder, every_s: float = 5.0):
        """Say nothing yet."""
        self._recorder, self._every_s = recorder, every_s
        self._next_s = time.monotonic() + every_s

    def __call__(self) -> None:
        """Say something if it is time."""
        if time.monotonic() >= self._next_s:
            self._next_s += self._every_s
            print(f'  {len(self._recorder.truth)} frames, '
                  f'{len(self._recorder.estimates)} poses', flush=True)


def _write_parameters(args: argparse.Namespace, tiles_url: str) -> Path:
    """Write the node's parameters; JSON is YAML, and quotes what needs it."""
    parameters = {
        'simulated_camera': True,
        'weights': str(args.weights.resolve()) if args.weights else '',
        'imagery': {'url': tiles_url, 'cache_path': ''},
    }
    path = args.output / 'node.yaml'
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
        environment['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(profile)
    return environment


def _share_folder() -> Path:
    """Return where config/ is: installed, or in the source tree."""
    from ament_index_python.packages import get_package_share_directory, PackageNotFoundError

    try:
        return Path(get_package_share_directory('fg2_ros'))
    except (PackageNotFoundError, OSError):  # OSError: there is no AMENT_PREFIX_PATH
        return Path(__file__).resolve().parents[2]

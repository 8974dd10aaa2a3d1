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

"""Transitions, parameters, names, and how the node ends."""

import gc
from itertools import count
import os
import runpy
import signal
import subprocess
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import join_all, lines_until, PATIENCE_S, running
from test.helpers.vehicle import at, FRAME, image, Vehicle
import threading
import time

from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.settings import settings_of
from fg2_ros.simulation.tile_server import Faults, TileServer
import pytest
import yaml

DATUM = list(FRAME.datum)
MANUAL = ROOT / 'config' / 'fg2.yaml'
QUIET = ['-p', 'autostart:=false']


def test_three_cycles_leave_nothing_behind(vehicle):
    """No thread, subscription, publisher or handler survives a clean-up (N2)."""
    node = vehicle.start(active=False, datum=DATUM)

    def owned():
        gc.collect()
        return (len(list(node.subscriptions)), len(list(node.publishers)),
                len(list(node.timers)))
    before, threads = owned(), set(threading.enumerate())  # those of other tests may end
    for cycle in range(3):
        assert vehicle.change(node, 'configure')
        assert vehicle.change(node, 'activate')
        vehicle.meet(node)
        vehicle.send_all(at(cycle))
        vehicle.pose_at(at(cycle))
        assert vehicle.change(node, 'deactivate')
        assert vehicle.change(node, 'cleanup')
        assert owned() == before and set(threading.enumerate()) <= threads


def test_what_was_loaded_is_never_searched_for_garbage(vehicle):
    """That would keep map -> odom from being broadcast for a fifth of a second."""
    node = vehicle.start(active=False, datum=DATUM)
    assert gc.get_freeze_count() == 0
    assert vehicle.change(node, 'configure')
    assert gc.get_freeze_count() > 0
    assert vehicle.change(node, 'cleanup')
    assert gc.get_freeze_count() == 0


def test_inactive_node_is_silent_and_wakes_up_again(vehicle):
    """Images of the inactive time are never processed."""
    node = vehicle.start(datum=DATUM)
    assert vehicle.change(node, 'deactivate')
    vehicle.send_all(at(1.0))
    assert vehicle.change(node, 'activate')
    vehicle.send_all(at(2.0))
    vehicle.pose_at(at(2.0))
    assert len(vehicle.heard['fg2/pose']) == 1


def test_failing_configure_says_why_and_can_be_repeated(vehicle):
    """An exception is logged, diagnosed, and ends in FAILURE, not in a dead node (N2)."""
    problem = ['weights.safetensors is corrupt']

    def load(settings):
        if problem:
            raise ValueError(problem[0])
        return vehicle.loaded()
    node = vehicle.start(load, active=False, datum=DATUM)
    assert not vehicle.change(node, 'configure')
    vehicle.until_logged('cannot configure: weights.safetensors is corrupt')
    vehicle.until_diagnosed(lambda found: problem[0] in found['message'], 'it is diagnosed')
    problem.clear()
    assert vehicle.change(node, 'configure')
    assert vehicle.change(node, 'activate')
    vehicle.meet(node)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))


def test_failing_activation_leaves_the_node_silent(vehicle, monkeypatch):
    """An inactive node publishes nothing, whatever made it inactive."""
    node = vehicle.start(active=False, datum=DATUM)
    assert vehicle.change(node, 'configure')

    def fail():
        raise OSError('no thread can be started')
    with monkeypatch.context() as patch:
        patch.setattr(node.localization, 'start', fail)
        assert not vehicle.change(node, 'activate')
    vehicle.until_logged('cannot activate: no thread can be started')
    assert not node.parts.outputs.pose.is_activated
    assert vehicle.change(node, 'activate')
    assert node.parts.outputs.pose.is_activated


def test_two_nodes_in_their_namespaces(ros):
    """Neither hears what is the other's (N4)."""
    first, second = Vehicle(), Vehicle()
    try:
        for vehicle in (first, second):
            vehicle.start(datum=DATUM)
        first.send_all(at(1.0))
        first.pose_at(at(1.0))
        second.send_all(at(2.0))
        second.pose_at(at(2.0))
        assert len(first.heard['fg2/pose']) == len(second.heard['fg2/pose']) == 1
    finally:
        first.close()
        second.close()


def test_whole_numbers_are_fine_doubles(vehicle):
    """An integer where a double is wanted is taken (N3)."""
    node = vehicle.start(datum=[47, 8], motion__drift_m=4)
    assert node.parts.settings.motion.drift_m == 4.0 and node.parts.settings.datum == (47.0, 8.0)


@pytest.mark.parametrize('name, value, words', [
    ('motion.drift_m', -1.0, 'motion.drift_m'),
    ('motion.drift_m', 'long', "motion.drift_m = 'long' is not a number"),
    ('publish_tf', 3, 'publish_tf = 3 is not true or false'),
    ('precision', 'fp8', "not one of 'auto', 'fp32', 'fp16', 'bf16'"),
    ('datum', [47.0], '[latitude, longitude]')])
def test_bad_parameters_keep_the_node_unconfigured(vehicle, name, value, words):
    """A bad value is refused with its reason (N3)."""
    node = vehicle.start(active=False, **{name.replace('.', '__'): value})
    assert not vehicle.change(node, 'configure')
    assert words in vehicle.until_logged('cannot configure').msg


def test_unknown_parameters_are_pointed_out(vehicle):
    """Rclpy ignores them silently (N3)."""
    vehicle.start(datum=DATUM, motion__drifts_m=2.0)
    vehicle.until_logged("no parameter 'motion.drifts_m'")


def test_manual_is_complete_and_true():
    """config/fg2.yaml holds every parameter with its default, and explains each."""
    text = MANUAL.read_text()
    written = dict(flat(yaml.safe_load(text)['/**']['ros__parameters']))
    declared = {name: list(value) if isinstance(value, tuple) else value
                for name, (_, value) in settings_of(NodeSettings()).items()}
    assert written == declared
    manual = runpy.run_path(str(ROOT / 'tools' / 'parameters.py'))['manual']
    assert manual(text) == text, 'write it anew: .venv/bin/python tools/parameters.py'


def flat(values: dict, prefix: str = ''):
    """Yield (dotted name, value)."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{name}.')
        else:
            yield prefix + name, value


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_process_cleanly(sent):
    """Ctrl-C, even twice: exit code 0 in less than two seconds, no traceback (N7)."""
    assert any(ends_quickly(sent) for _ in range(3)), 'and not only where the machine is busy'


def test_signal_ends_a_node_at_full_load(vehicle):
    """Ctrl-C while an image is worked on, others arrive, and tiles are fetched (N7)."""
    with TileServer(lambda zoom, x, y: None) as tiles:
        tiles.faults = Faults(silent=True)
        assert any(ends_quickly(signal.SIGINT, [
            '-r', f'__ns:={vehicle.namespace}', '-p', f'imagery.url:={tiles.url_template}',
            '-p', 'imagery.cache_path:=""', '-p', 'localizer.patch.wait_s:=600.0',
            '-p', 'publish_tf:=false'], lambda: until_loaded(vehicle)) for _ in range(3))
        assert tiles.requests


def until_loaded(vehicle: Vehicle) -> None:
    """Send all that an image needs, and images, until they come too fast for the node."""
    sent = count(1)

    def is_busy() -> bool:
        stamp = at(next(sent) / 100)
        vehicle.send_mount()
        vehicle.send_prior(stamp)
        vehicle.send(image(stamp))
        dropped = vehicle.diagnosed('inputs').get('images dropped for newer ones', '0')
        return int(dropped) > 5
    vehicle.heard['/diagnostics'].clear()
    vehicle.until(is_busy, 'images are dropped')


def ends_quickly(sent, more: list = QUIET, prepare=lambda: None) -> bool:
    """Return whether the node ends soon, for a machine as fast as its start shows."""
    started = time.monotonic()
    command = [
        sys.executable, '-m', 'fg2_ros.ros.node', '--ros-args', '-p', 'typing_error:=1',
        '--log-level', 'debug', *more]
    with running(command, stderr=subprocess.PIPE) as process:
        lines = lines_until('ready', process.stderr, process)
        rest_of_it = threading.Thread(target=lambda: lines.extend(process.stderr))
        rest_of_it.start()  # or else a full pipe would stop the node
        prepare()
        begin = time.monotonic()
        process.send_signal(sent)
        if sent == signal.SIGINT:
            process.send_signal(sent)
        join_all(rest_of_it)
        process.wait(PATIENCE_S)
    took_s = time.monotonic() - begin
    assert process.returncode == 0, lines
    assert 'Traceback' not in ''.join(lines)
    crowding = max(1.0, os.getloadavg()[0] / os.cpu_count())
    return took_s < max(2 * crowding, (begin - started) / 3)

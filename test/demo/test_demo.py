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

"""Check the demo's processes, and the demo itself with a fake node over real DDS and HTTP."""

import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import ended, lines_until, run_to_its_end

from fg2_ros.demo.child_processes import ChildError, Children
from fg2_ros.demo.rendering import render_panoramas
from fg2_ros.simulation.cameras import CameraPose
from fg2_ros.simulation.scenes import Scene
import pytest

FIGURES = [
    'frames', 'published', 'median_error_m', 'mean_error_m', 'p95_error_m',
    'median_yaw_error_deg', 'gnss_median_error_m', 'latency_p50_ms', 'latency_p95_ms', 'anees',
    'lookups', 'failed_lookups', 'lookup_median_error_m', 'lookup_p95_error_m']
DEMO = """
import fg2_ros.demo.run as demo
demo.NODE_MODULE, demo.MAP_RESOLUTION_M = 'test.helpers.fake_node', 1.0
demo.START_UP_S, demo.DRAIN_S = 300.0, 30.0
from fg2_ros.commands import main
raise SystemExit(main())
"""


def start_demo(output, behaviour='localize', *options):
    """Start a very short demo with the fake node; return the process."""
    return subprocess.Popen(
        [sys.executable, '-c', DEMO, 'demo', '--output', str(output), '--frames', '6',
         '--width', '64', '--workers', '1', *options],
        env={**os.environ, 'FAKE_NODE': behaviour, 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes_about(text):
    """Return the processes whose command line mentions a text."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            if str(text).encode() in (folder / 'cmdline').read_bytes():
                found.append(folder.name)
        except OSError:
            pass  # it has just ended
    return found


def has_ended(pid):
    """Return whether a process, of whatever parent, ends in time; the killed need a moment."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)


def test_the_demo_ends_with_its_figures_and_leaves_a_report(tmp_path):
    output, figures_file = tmp_path / 'out', tmp_path / 'figures.json'
    demo = start_demo(output, 'localize', '--json', str(figures_file))
    out, err = ended(demo)

    assert demo.returncode == 0, err
    word, figures = out.splitlines()[-1].split(' ', 1)
    figures = json.loads(figures)
    assert word == 'RESULT' and list(figures) == FIGURES
    assert figures == json.loads(figures_file.read_text())
    assert figures['frames'] == figures['published'] == 6
    assert figures['median_error_m'] == pytest.approx(0.5, abs=1e-3)
    assert figures['median_yaw_error_deg'] == pytest.approx(0, abs=1e-4)
    assert figures['anees'] == pytest.approx(2 / 3, abs=1e-2)
    assert figures['gnss_median_error_m'] > 0 and figures['latency_p95_ms'] > 0
    page = (output / 'report.html').read_text()
    assert page.count('<figcaption>') >= 1 and page.count('<ellipse') == 6
    assert processes_about(output) == []


def test_a_crash_of_the_node_ends_the_demo_with_a_sentence(tmp_path):
    demo = start_demo(tmp_path / 'out', 'crash')
    _, err = ended(demo)

    assert demo.returncode == 1, err
    assert 'the node ended with code 3' in err and 'has had enough' in err
    assert 'Traceback' not in err
    assert processes_about(tmp_path) == []


def test_a_node_that_does_not_become_active_ends_the_demo(tmp_path):
    demo = start_demo(tmp_path / 'out', 'refuse')
    _, err = ended(demo)

    assert demo.returncode == 1 and 'the node is unconfigured, not active' in err
    assert processes_about(tmp_path) == []


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nobody_behind(tmp_path, number):
    demo = start_demo(tmp_path / 'out')
    lines_until('driving', demo.stdout, demo)
    demo.send_signal(number)
    _, err = ended(demo)

    assert demo.returncode == 130, err
    assert 'Traceback' not in err
    assert processes_about(tmp_path) == []


def test_wrong_weights_are_noticed_before_anything_is_rendered(tmp_path):
    demo = start_demo(tmp_path / 'out', 'localize', '--weights', 'nowhere.safetensors')
    out, err = ended(demo)

    assert demo.returncode == 1 and 'there is no weights file nowhere.safetensors' in err
    assert 'rendering' not in out


def test_workers_render_what_the_scene_renders():
    cameras = [CameraPose(x, 2.0, 1.8, 0.3) for x in (0.0, 5.0, 10.0)]
    scene = Scene(5)

    images = list(render_panoramas(5, 'standard', cameras, 64, workers=2))
    assert len(images) == 3
    for frame, (camera, image) in enumerate(zip(cameras, images)):
        assert (image == scene.panorama(camera, 64, 32, frame)).all()


def python(program):
    return [sys.executable, '-c', program]


def test_a_failed_child_is_reported_with_its_last_words(tmp_path):
    with Children(tmp_path, os.environ) as children:
        children.start('bad child', python('import sys; sys.exit("no more")'), answers=True)
        with pytest.raises(ChildError, match='the bad child ended with code 1(.|\n)*no more'):
            children.answer('bad child')
        with pytest.raises(ChildError, match='code 1'):
            children.check()


def test_a_child_that_is_done_is_no_failure(tmp_path):
    with Children(tmp_path, os.environ) as children:
        children.start('player', python('print("hello")'), answers=True)
        assert children.answer('player') == 'hello'
        with pytest.raises(ChildError, match='code 0'):
            children.answer('player')  # nothing more comes
        children.check()
        assert children.is_done('player')


def test_stubborn_children_and_their_children_are_ended(tmp_path, monkeypatch):
    monkeypatch.setattr('fg2_ros.demo.child_processes.GRACE_S', 0.2)
    program = (
        'import signal, subprocess, sys\n'
        'signal.signal(signal.SIGINT, signal.SIG_IGN)\n'
        f'sleep = "import time; print(1, flush=True); time.sleep(99)  # {tmp_path}"\n'
        'child = subprocess.Popen([sys.executable, "-c", sleep])\n'
        'child.wait()\n')
    with Children(tmp_path, os.environ) as children:
        children.start('stubborn', python(program), answers=True)
        assert children.answer('stubborn') == '1'  # its child is up
        processes = processes_about(tmp_path)
        assert len(processes) == 2
    assert all(has_ended(int(process)) for process in processes)
    assert processes_about(tmp_path) == []


def test_children_end_with_a_parent_that_is_killed(tmp_path):
    program = (
        'import os, sys, pathlib\n'
        'from fg2_ros.demo.child_processes import Children\n'
        f'children = Children(pathlib.Path({str(tmp_path)!r}), os.environ)\n'
        'sleep = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"\n'
        'children.start("child", [sys.executable, "-c", sleep], answers=True)\n'
        'print(children.answer("child"), flush=True)\n'
        'os.kill(os.getpid(), 9)\n')
    done = run_to_its_end(python(program), cwd=ROOT)

    assert has_ended(int(done.stdout))

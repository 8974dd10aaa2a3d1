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

"""Timings of an image besides the network, along a drive and in a search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fg2_ros.bench.comparison import elapsed_ms, now_s
from fg2_ros.bench.synthetic import synthetic_scores
from fg2_ros.bench.timing import StageClock
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, stream_of
from fg2_ros.evaluation.drives.stream import CameraFrame, SensorStream, stamp_ns
from fg2_ros.evaluation.drives.vehicle import feed
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.localizer import Localizer
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.matching import dual_softmax
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow
from fg2_ros.tracker.belief import Belief
from fg2_ros.tracker.initial_search import grid_around
from fg2_ros.tracker.inputs import Fix
from fg2_ros.tracker.results import Rejection
from fg2_ros.tracker.search_plan import FINE_RAD, LEAST_REACH_CELLS, LEAST_REACH_RAD, plan_of
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

FRAMES, AT_START = 24, 8  # images of the drive; those of the search at its start do not count
SEARCH_SIGMA_M = 50.0  # of GNSS where a vehicle is searched over a lattice of aerial patches
LAUNCH_MS = 5e-3  # what a GPU's host needs for a kernel; so small ones take no longer


def measure_tracking(network: FG2Network, metadata: dict[str, Any], seed: int) -> dict[str, float]:
    """
    Return medians (ms) of the images of a simulated drive.

    ``network`` is the time in the network, ``posterior`` the rest of what an image says of the
    poses around the vehicle, ``belief`` the tracker's part.

    :param network: for panoramas, ready for inference, on its device.
    :param metadata: of its weights.
    :param seed: of the city and the drive.
    """
    clock = StageClock(network, next(network.parameters()).device)
    with TemporaryDirectory() as folder:
        stream = stream_of(open_drive(DriveSpec(seed, frames=FRAMES), Path(folder)))
        localizer = Localizer(network, stream.imagery, stream.map_frame, metadata=metadata)
        laps = list(laps_of(localizer, clock, stream))[AT_START:]
    return {name: float(np.median([lap[name] for lap in laps])) for name in laps[0]}


def laps_of(localizer: Localizer, clock: StageClock, stream: SensorStream
            ) -> Iterator[dict[str, float]]:
    """Yield the milliseconds of each image of a drive that a tracker can look for."""
    tracker = localizer.new_tracker()
    for event in stream.events():
        if not isinstance(event.content, CameraFrame):
            feed(tracker, event)
            continue
        panorama = event.content.image.pixels()
        clock.laps_ms.clear()
        times_s = [now_s(clock.device)]
        plan = tracker.search(event.stamp_ns, stream.base_from_camera)
        if isinstance(plan, Rejection):
            continue
        times_s.append(now_s(clock.device))
        observation = localizer.observe(panorama, plan, stream.base_from_camera)
        times_s.append(now_s(clock.device))
        tracker.update(event.stamp_ns, observation)
        times_s.append(now_s(clock.device))
        search, observe, update = np.diff(times_s).tolist()
        in_network = sum(clock.laps_ms.values())
        yield {'network': in_network, 'posterior': observe * 1e3 - in_network,
               'belief': (search + update) * 1e3}


def measure_search(network: FG2Network, seed: int) -> dict[str, float]:
    """
    Return what an image costs whose vehicle is searched around a vague position.

    Features of the aerial patches are known already.  Beside ``search_ms`` and the ``grids`` that
    are compared the ``kernels`` that a GPU would run, and what they take at LAUNCH_MS each,
    ``gpu_ms``.

    :param network: for panoramas, ready for inference, on its device.
    :param seed: of the city.
    """
    with TemporaryDirectory() as folder:
        stream = stream_of(open_drive(DriveSpec(seed, frames=1), Path(folder)))
        localizer, shot = Localizer(network, stream.imagery, stream.map_frame), stream.shots[0]
        tracker, now_ns = localizer.new_tracker(), stamp_ns(shot.time_s)
        tracker.add_fix(now_ns, Fix(np.array(shot.truth[:2]), SEARCH_SIGMA_M))
        tracker.add_heading(now_ns, shot.truth.yaw, 0.1)
        plan, panorama = tracker.search(now_ns, stream.base_from_camera), shot.image.pixels()
        assert not isinstance(plan, Rejection), 'there is a fix'

        def search() -> None:
            localizer.observe(panorama, plan, stream.base_from_camera)

        search()
        with KernelCounter() as counter:
            search()
        return {'grids': len(plan.grids),
                'search_ms': elapsed_ms(search, next(network.parameters()).device),
                'kernels': counter.kernels, 'gpu_ms': counter.kernels * LAUNCH_MS}


@torch.inference_mode()
def measure_posterior(config: FG2Config, device: torch.device, runs: int = 3) -> dict[str, float]:
    """
    Return how long the posterior of a vehicle that is well localized takes, without its network.

    Beside ``posterior_ms`` the ``kernels`` that a GPU would run, and what they take at LAUNCH_MS
    each, ``gpu_ms``.

    :param config: of the network that is thought to have matched.
    """
    grid, generator = BevGrid.of(config), torch.Generator().manual_seed(0)
    scores = synthetic_scores(
        grid, torch.zeros(2), torch.tensor(0.0), 0.5, generator).to(device)
    probabilities = dual_softmax(scores, torch.tensor(1.0, device=device))[0]
    grid, windows = BevGrid.of(config, device), steady_windows(config.cell_m, device)

    def evaluate() -> None:
        likelihood = DenseLikelihood(scores, probabilities, grid)
        for window in windows:
            likelihood.evaluate(window)

    with KernelCounter() as counter:
        evaluate()
    return {'posterior_ms': min(elapsed_ms(evaluate, device) for _ in range(runs)),
            'kernels': counter.kernels, 'gpu_ms': counter.kernels * LAUNCH_MS}


def steady_windows(cell_m: float, device: torch.device) -> list[PoseWindow]:
    """Return the poses that are evaluated for each image of a vehicle that is well localized."""
    fine = grid_around(Pose2(0.0, 0.0, 0.0), LEAST_REACH_CELLS * cell_m, LEAST_REACH_RAD,
                       cell_m / 2, FINE_RAD)
    plan = plan_of(Belief.over([fine]), Pose2(0.0, 0.0, 0.0), cell_m)
    middle = torch.zeros(1, 2, device=device), torch.zeros(1, device=device)
    return [PoseWindow(*middle, grid.shape[1] // 2, grid.shape[0] // 2,
                       round(cell_m / grid.step_m), grid.step_rad)
            for grid in plan.grids]


class KernelCounter(TorchDispatchMode):
    """Counts the operations of torch that run a kernel on a GPU; views do not."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:
        """Count an operation and carry it out."""
        self.kernels += not getattr(function, 'is_view', False)
        return function(*args, **(kwargs or {}))

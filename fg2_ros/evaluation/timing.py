"""Times of the stages of localization, on one frame of a simulated city."""

from __future__ import annotations

from pathlib import Path
import time

from fg2_ros.aerial_memory import PatchSettings
from fg2_ros.checkpoints import load_network
from fg2_ros.evaluation.simulated import city_frame
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.localizer import Localizer, LocalizerSettings, PRECISIONS, Prior, usable_device
from fg2_ros.network import FG2Network
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.matching import Matching
from fg2_ros.simulation.scenes import Scene
import numpy as np
import torch

MODULES = {
    'aerial_backbone': 'aerial_backbone', 'aerial_head': 'aerial_descriptors',
    'backbone': 'ground_backbone', 'lifting': 'lifting', 'ground_head': 'ground_descriptors'}


class StageClock:
    """
    Milliseconds that the stages of a network take, measured from outside.

    :param network: its modules get hooks, and its ``match`` is replaced by a timed one.
    """

    def __init__(self, network: FG2Network, device: torch.device):
        """Attach to a network."""
        self.laps_ms: dict[str, float] = {}
        self._device, self._match = device, network.match
        self._starts: dict[str, float] = {}
        for attribute, stage in MODULES.items():
            module = getattr(network, attribute)
            if module is not None:
                module.register_forward_pre_hook(lambda *_, stage=stage: self._begin(stage))
                module.register_forward_hook(lambda *_, stage=stage: self._end(stage))
        network.match = self._timed_match

    def _begin(self, stage: str) -> None:
        self._starts[stage] = self._now_ms()

    def _end(self, stage: str) -> None:
        self.laps_ms[stage] = self._now_ms() - self._starts[stage]

    def _timed_match(self, *arguments) -> Matching:
        self._begin('matching')
        matching = self._match(*arguments)
        matching.probabilities  # computed on first use: here, so that it counts as matching
        self._end('matching')
        return matching

    def _now_ms(self) -> float:
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)
        return time.perf_counter() * 1e3


class Bench:
    """
    One frame and the localizer; rendered and loaded once, before anything is timed.

    :raises ValueError: if the weights or the device cannot be used.
    """

    def __init__(self, weights: Path, device: str, precision: str, width: int, seed: int,
                 difficulty: str = 'standard'):
        """Render the frame and load the network."""
        self.device = usable_device(device)
        scene = Scene(seed, difficulty)
        orthophoto, frame = scene.orthophoto(), city_frame(seed)
        imagery = RasterImagery(
            orthophoto.image, frame, orthophoto.centre_m, orthophoto.resolution_m)
        network = optimise_for_inference(
            load_network(weights, self.device, PRECISIONS[precision]))
        self._clock = StageClock(network, self.device)
        self._localizer = Localizer(
            network, imagery, frame, LocalizerSettings(patch=PatchSettings(recentre_m=0.0)))
        pose, = scene.camera_poses(1, np.random.default_rng(seed))
        self._panorama = scene.panorama(pose, width, width // 2)
        self._priors = [
            Prior(*frame.geodetic_from_map(pose.east_m + east_m, pose.north_m - 2.0), 5.0,
                  pose.yaw_rad + 0.05, 0.1) for east_m in (-1.5, 1.5)]

    def run(self) -> dict[str, float]:
        """
        Return the milliseconds of each stage of an estimate on a new aerial patch.

        ``conversion`` is the panorama's resizing, roll and copy; ``solve`` what follows the
        matching; ``total`` the sum with everything between; ``total_same_patch`` is a second
        estimate, whose aerial features are known.
        """
        self._priors.reverse()  # another place: the patch is cut and described anew
        times = self._localizer.estimate(self._panorama, self._priors[0]).timings_ms
        stages = dict(self._clock.laps_ms)
        again = self._localizer.estimate(self._panorama, self._priors[0]).timings_ms
        inside = sum(stages[name] for name in (
            'ground_backbone', 'lifting', 'ground_descriptors'))
        return {
            'patch': times['patch'], 'conversion': times['ground'] - inside, **stages,
            'solve': times['solve'] - stages['matching'], 'total': times['total'],
            'total_same_patch': again['total']}

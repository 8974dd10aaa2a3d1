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

"""Times of the stages of localization."""

from __future__ import annotations

from typing import Any, Callable

from fg2_ros.bench.comparison import now_s
from fg2_ros.evaluation.simulated import city_frame
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import Imagery
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.localizer import Localizer, LocalizerSettings, PatchSettings, Prior
from fg2_ros.network import FG2Network
from fg2_ros.network.matching import Matching
from fg2_ros.simulation.scenes import Scene
import numpy as np
import torch

STAGES = {
    'aerial_tokens': 'aerial_backbone', 'aerial_descriptors': 'aerial_head',
    'ground_tokens': 'ground_backbone', 'ground_descriptors': 'ground_head', 'match': 'matching'}
EVERY_PATCH_ANEW = LocalizerSettings(
    second_look_deg=180.0, patch=PatchSettings(recentre_m=0.0))


class StageClock:
    """
    Milliseconds that the stages of a network take, measured from outside.

    :param network: the methods that are its stages are replaced by timed ones.
    """

    def __init__(self, network: FG2Network, device: torch.device):
        self.laps_ms: dict[str, float] = {}
        self.runs = True
        self.device = device
        for method, stage in STAGES.items():
            setattr(network, method, self._timed(getattr(network, method), stage))

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*inputs):
            if not self.runs:
                return function(*inputs)
            began_s = now_s(self.device)
            result = function(*inputs)
            if isinstance(result, Matching):
                result.probabilities  # computed on first use: here, so that it counts as matching
            self.laps_ms[stage] = (now_s(self.device) - began_s) * 1e3
            return result
        return timed


class Bench:
    """
    A localizer whose every stage is timed, and a frame for it that is there before.

    :param network: for panoramas, ready for inference, on its device.
    :param frame: of the imagery.
    :param pose: of the camera in it: east m, north m, yaw rad.
    :raises ValueError: if the network is for another camera.
    """

    def __init__(self, network: FG2Network, imagery: Imagery, frame: MapFrame,
                 panorama: np.ndarray, pose: Pose2, settings: LocalizerSettings):
        if network.config.camera != 'panorama':
            raise ValueError(
                f'weights for a {network.config.camera} camera cannot be timed on a panorama')
        self._clock = StageClock(network, next(network.parameters()).device)
        self._localizer = Localizer(network, imagery, frame, settings)
        self._panorama = panorama
        places = (frame.geodetic_from_map(pose.x + east_m, pose.y - 2.0) for east_m in (-1.5, 1.5))
        self._priors = [
            Prior(latitude_deg, longitude_deg, sigma_m=5.0, yaw_rad=pose.yaw + 0.05,
                  yaw_sigma_rad=0.1) for latitude_deg, longitude_deg in places]

    @classmethod
    def in_a_city(cls, network: FG2Network, width: int, seed: int) -> Bench:
        """Return the bench for a panorama of so many pixels, rendered in a simulated city."""
        scene = Scene(seed, 'standard')
        orthophoto, frame = scene.orthophoto(), city_frame(seed)
        imagery = RasterImagery(
            orthophoto.image, frame, orthophoto.centre_m, orthophoto.resolution_m)
        pose, = scene.camera_poses(1, np.random.default_rng(seed))
        return cls(
            network, imagery, frame, panorama=scene.panorama(pose, width, width // 2),
            pose=Pose2(pose.east_m, pose.north_m, pose.yaw_rad), settings=EVERY_PATCH_ANEW)

    def run(self) -> dict[str, float]:
        """
        Return the milliseconds of each stage of an estimate on a new aerial patch.

        ``conversion`` is the panorama's resizing, roll and upload; ``solve`` what follows the
        matching; ``total`` the sum with everything between.
        """
        self._priors.reverse()  # another place: the patch is cut and described anew
        times = self._localizer.estimate(self._panorama, self._priors[0]).timings_ms
        stages = self._clock.laps_ms
        return {
            'patch': times['patch'],
            'conversion': times['ground'] - stages['ground_backbone'] - stages['ground_head'],
            **stages, 'solve': times['solve'] - stages['matching'], 'total': times['total']}

    def run_again(self) -> dict[str, float]:
        """Return ``total_same_patch`` of the same estimate, whose aerial features are known."""
        self._clock.runs = False  # a GPU need not be waited for between the stages
        times = self._localizer.estimate(self._panorama, self._priors[0]).timings_ms
        self._clock.runs = True
        return {'total_same_patch': times['total']}

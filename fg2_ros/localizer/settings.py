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

"""Settings of the localizer."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting
from fg2_ros.solver.acceptance import AcceptanceSettings
from fg2_ros.solver.dense import DenseSettings


@dataclass(frozen=True)
class PatchSettings:
    """When the aerial patch is replaced."""

    recentre_m: float = setting(
        6.0, 'The patch stays while the prior is within this distance of its centre on both '
        'axes; its features are then computed once only.', unit='m', between=(0.0, 1000.0),
        read_only=True)
    kept: int = setting(
        240, 'Patches whose features are remembered: a search looks at many places.',
        between=(1, 10000), read_only=True)
    ring_m: float = setting(
        25.0, 'Imagery is fetched in the background this far around the patch, for turns and '
        'errors of GNSS.', unit='m', between=(0.0, 1000.0), read_only=True)
    ahead_s: float = setting(
        8.0, 'Imagery is fetched for where the vehicle will be within this time at its present '
        'speed and course. Longer where the network is slow; 0 for none.', unit='s',
        between=(0.0, 120.0), read_only=True)
    patience_m: float = setting(
        12.0, 'While imagery for a new patch is on its way the old one serves up to this '
        'distance.', unit='m', between=(0.0, 1000.0), read_only=True)
    retry_s: float = setting(
        2.0, 'A patch with gaps, or a coarse one, is asked for again after this time.', unit='s',
        between=(0.0, 3600.0), read_only=True)
    wait_s: float = setting(
        0.0, 'How long an estimate waits for imagery that is still being fetched.', unit='s',
        between=(0.0, 600.0), read_only=True)


@dataclass(frozen=True)
class LocalizerSettings:
    """Settings of the localizer; each field has its unit and an explanation."""

    seed: int = setting(
        0, 'Of the random draws: an image and a prior always give the same estimate.',
        between=(0, 2 ** 31 - 1), read_only=True)
    turn_deg: float = setting(
        3.0, 'A pinhole camera needs the aerial patch turned to its heading: to the multiple of '
        'this that is nearest.', unit='deg', between=(0.1, 10.0), read_only=True)
    found_heading_sigma_deg: float = setting(
        6.0, 'A heading that was found in the panorama, for want of one in the prior, is never '
        'called better than this.', unit='deg', between=(0.1, 60.0), read_only=True)
    second_look_deg: float = setting(
        5.0, 'A pose whose yaw is further than this from what was expected, or whose place is '
        'further than patch.recentre_m, is looked for once more with it in the middle, where '
        'networks see best: more accurate, and a second run. 180 switches it off.',
        unit='deg', between=(0.0, 180.0), read_only=True)
    patch: PatchSettings = PatchSettings()
    solver: DenseSettings = DenseSettings()
    acceptance: AcceptanceSettings = AcceptanceSettings()

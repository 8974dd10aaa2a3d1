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

"""Settings of the benchmark of the stages of a frame."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting


@dataclass(frozen=True)
class BenchSettings:
    """What is timed, and how often."""

    runs: int = setting(30, 'Timed runs.', between=(1, 10 ** 6))
    warm_up: int = setting(3, 'Runs before.', between=(0, 10 ** 6))
    threads: int | None = setting(
        None, 'Of torch, which otherwise makes its own choice.', of=int, between=(1, 1024))
    width: int = setting(1024, 'Of the panorama.', unit='px', between=(64, 16384))
    city_seed: int = setting(2000, 'Of the simulated city.', between=(0, 10 ** 6))
    compile: bool = setting(  # noqa: A003, as torch calls it
        False, 'Run the network through torch.compile.')
    slow_servers: bool = setting(
        False, 'Only drive along slow tile servers, and say how much of it had imagery (minutes).')
    node: bool = setting(
        False, 'Only measure what the node adds to the localizer, over DDS: time for each image '
        'and callback, and memory. Needs ROS 2.')
    node_images: int = setting(
        10_000, 'Images over which the memory of the node is watched.', between=(1, 10 ** 7))
    full: bool = setting(
        False, 'Also compare the full-size head, self-attention and published RANSAC with naive '
        'ones, and measure a full-size frame (minutes on a CPU).')

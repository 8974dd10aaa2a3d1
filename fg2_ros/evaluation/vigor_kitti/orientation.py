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

"""
Rotation of the panoramas before they are localized: none, random, or after a first run.

Unknown orientation takes two runs: the first one, on panoramas rolled at random, predicts the yaw
only; for the second one the true roll less the predicted one is left. A frame whose orientation
the first run did not find is rolled at random again.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Iterable, Sequence
import zlib

from fg2_ros.evaluation.vigor_kitti.results import CrossViewResult
from fg2_ros.files import replacing
import numpy as np

FIRST, AGAIN = 1, 2  # streams of random numbers


@dataclass(frozen=True)
class FirstRun:
    """
    What a first run found.

    :param rolled_deg: how the panoramas were rolled to the right, by the frame's name.
    :param predicted_deg: how they were thought to be; frames without a pose are missing.
    """

    rolled_deg: dict[str, float]
    predicted_deg: dict[str, float]

    @classmethod
    def of(cls, results: Iterable[CrossViewResult]) -> FirstRun:
        """Return what results say about the orientation."""
        results = list(results)
        return cls({result.name: result.true_yaw_deg for result in results},
                   {result.name: result.pose.yaw_deg for result in results if result.pose})

    @classmethod
    def read(cls, path: Path) -> FirstRun:
        """
        Return what `write` wrote.

        :raises ValueError: if the file does not hold it.
        """
        try:
            values = json.loads(path.read_text())
            return cls(*(
                {str(name): float(yaw) for name, yaw in values[key].items()}
                for key in ('rolled_deg', 'predicted_deg')))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'{path} holds no predictions of a first run: {error!r}') from error

    def write(self, path: Path) -> None:
        """Write the file; it appears complete or not at all."""
        with replacing(path) as partial:
            partial.write_text(json.dumps(
                {'rolled_deg': self.rolled_deg, 'predicted_deg': self.predicted_deg}, indent=1))

    def remaining_deg(self, names: Sequence[str], seed: int) -> list[float]:
        """Return the rolls of the second run."""
        return [
            self.rolled_deg[name] - self.predicted_deg[name]
            if name in self.predicted_deg and name in self.rolled_deg
            else _random_deg(name, seed, AGAIN) for name in names]


def random_rolls_deg(names: Sequence[str], seed: int) -> list[float]:
    """Return rolls within +-180 degrees which depend on the seed and the frames' names only."""
    return [_random_deg(name, seed, FIRST) for name in names]


def _random_deg(name: str, seed: int, stream: int) -> float:
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), stream))
    return float(rng.uniform(-180, 180))

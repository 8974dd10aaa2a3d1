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

"""What came of drives, made up, for the page that shows it."""

from fg2_ros.evaluation.drives.evaluate import Evaluation
from fg2_ros.evaluation.drives.figures import trust_metrics
from fg2_ros.evaluation.drives.moments import Moment
from fg2_ros.evaluation.drives.pictures import Ground, WorstFrame
from fg2_ros.evaluation.drives.results import Claim, DriveResult, FilterResult, ImageResult
from fg2_ros.geometry.se2 import Pose2
import numpy as np

SETTINGS = {'frames_per_drive': 20, 'weights': 'a.safetensors', 'difficulty': 'hard',
            'city_seeds': [5, 6], 'rate_hz': 4.0, 'fault': 'none', 'prior_offset_m': 0.0,
            'has_heading': True}
RECORDED = {'weights': 'a.safetensors', 'data_sets': ['mine'], 'split': 'test',
            'recorded_drives': 2, 'length_m': 1234.0, 'fault': 'none', 'prior_offset_m': 0.0,
            'has_heading': True}
TRUTH = Pose2(3.0, 4.0, 0.5)


def drive(name: int | str, published: bool = True) -> DriveResult:
    """Return a drive with Gaussian errors of 0.5 m."""
    rng = np.random.default_rng(len(str(name)))
    images = []
    for index in range(20):
        claims = [Claim(Pose2(*(rng.normal(0, (0.5, 0.5, 0.02)) + TRUTH)),
                        np.diag([0.25, 0.25, 4e-4])) for _ in range(3)]
        images.append(ImageResult(
            index / 4, TRUTH, *(claims if published else ()), mass=0.99,
            sentences=('is the <heading> right?',)))
    return DriveResult(name, tuple(images), None, FilterResult(0.4, 3.0, 1.1))


def moment(published) -> Moment:
    """Return a belief of one place."""
    density = np.zeros((24, 24))
    density[12, 12] = 1.0
    return Moment('drive 5, 1.0 s', 'is it <here>?', np.full((48, 48, 3), 99, np.uint8),
                  (-12.0, 12.0, -12.0, 12.0), density, TRUTH, published)


def evaluation(drives, settings=SETTINGS, name='a', **shown) -> Evaluation:
    """Return what came of drives."""
    return Evaluation(name, trust_metrics(drives) | settings, drives, **shown)


def shown(drives) -> dict:
    """Return a map of each drive and an image that was placed badly."""
    grey = np.full((48, 48, 3), 99, np.uint8)
    image = drives[0].images[3]
    return {'worst': [WorstFrame('drive <5>', grey, grey, (-9.0, 15.0, -8.0, 16.0), image)],
            'grounds': {each.name: Ground(grey, 2.0, (0.0, 0.0)) for each in drives}}

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

"""A drive on the aerial image, its published poses coloured by their errors."""

from __future__ import annotations

from fg2_ros.evaluation.drives.pictures import error_m, Ground
from fg2_ros.evaluation.drives.results import DriveResult, ImageResult
from fg2_ros.report.map import Map
from markupsafe import Markup
import numpy as np

STEPS_M = (0.5, 1.0, 2.0, 5.0)
LABELS = ('below 0.5 m', '0.5 to 1 m', '1 to 2 m', '2 to 5 m', 'over 5 m')
DOT_M = 0.7


def error_map(drive: DriveResult, ground: Ground) -> Markup:
    """Return a map of the truth, of the published poses by their errors, and of silence."""
    truth_m = np.array([image.truth[:2] for image in drive.images])
    shown = Map(ground.picture, ground.resolution_m, ground.centre_m, truth_m)
    shown.add_path('truth', 'true way', truth_m)
    for step, label in enumerate(LABELS):
        images = [image for image in drive.images
                  if image.track and np.searchsorted(STEPS_M, error_m(image), 'right') == step]
        if images:
            shown.add_dots(
                f'error-{step}', label,
                np.array([image.track.pose[:2] for image in images if image.track]),
                [title(image) for image in images], DOT_M)
    silent = [image for image in drive.images if not image.track]
    if silent:
        shown.add_dots(
            'silent', 'nothing published', np.array([image.truth[:2] for image in silent]),
            [title(image) for image in silent], DOT_M)
    return shown.html()


def title(image: ImageResult) -> str:
    """Return the tooltip of an image."""
    said = f'{error_m(image):.2f} m off' if image.track else 'nothing published'
    return '; '.join((f'{image.time_s:.1f} s: {said}', *image.sentences))

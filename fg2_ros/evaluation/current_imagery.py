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

"""Imagery that can be exchanged, so that one localizer serves many places."""

from __future__ import annotations

from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, PatchView
from fg2_ros.imagery.status import ImageryStatus


class CurrentImagery(Imagery):
    """The imagery of the city or drive that is evaluated at the moment."""

    def __init__(self) -> None:
        self.source: Imagery | None = None

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """Return a patch of the current place; see `Imagery.patch`."""
        if self.source is None:
            raise ImageryError('nothing is evaluated at the moment')
        return self.source.patch(view)

    def status(self) -> ImageryStatus:
        """Return how the current imagery does."""
        return self.source.status() if self.source else ImageryStatus('none yet')

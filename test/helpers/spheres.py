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

"""A sphere whose colours are known in closed form, and what cameras see of it."""

import numpy as np

TURNS = {  # roll, pitch, yaw in degrees
    'upright': (0, 0, 0), 'turned': (0, 0, 130), 'tilted': (12, -7, 0), 'steep': (0, 44, 30),
    'upside down': (180, 0, 0), 'on its side': (90, 0, 60), 'looking up': (0, -90, 0),
    'anyhow': (-160, 35, -75)}


def colour(directions):
    """Return (..., 3) uint8 colours of (..., 3) directions, smooth and nowhere the same."""
    x, y, z = np.moveaxis(directions / np.linalg.norm(directions, axis=-1, keepdims=True), -1, 0)
    waves = np.stack([
        0.6 * one + 0.3 * np.sin(5 * other) for one, other in ((x, y), (y, z), (z, x))])
    return np.moveaxis(np.rint(127.5 + 140 * waves).clip(0, 255), 0, -1).astype(np.uint8)


def picture(directions, sphere_from_camera):
    """Return what a camera with these directions of pixels sees, turned by (3, 3)."""
    return colour(directions @ np.asarray(sphere_from_camera).T)


def largest_difference(image, expected, seen=None):
    """Return the largest difference between colours, where they are seen."""
    difference = np.abs(image.astype(int) - expected.astype(int)).max(-1)
    return difference.max() if seen is None else difference[seen].max()

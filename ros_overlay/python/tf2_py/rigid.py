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

"""Rigid motions in space, and the interpolation between two of them."""

from __future__ import annotations

from math import acos, sin
from typing import NamedTuple

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w


class Rigid(NamedTuple):
    """A rotation followed by a translation in metres: it maps child to parent coordinates."""

    rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)
    translation: Vector = (0.0, 0.0, 0.0)

    def compose(self, inner: Rigid) -> Rigid:
        """Return ``self * inner``: ``inner`` is applied first."""
        return Rigid(
            multiply(self.rotation, inner.rotation),
            add(rotate(self.rotation, inner.translation), self.translation))

    def inverse(self) -> Rigid:
        """Return the motion that undoes this one."""
        x, y, z, w = self.rotation
        undone = (-x, -y, -z, w)
        ahead, left, up = self.translation
        return Rigid(undone, rotate(undone, (-ahead, -left, -up)))


def add(a: Vector, b: Vector) -> Vector:
    """Return the sum of two vectors."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation ``b`` followed by ``a``."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz)


def rotate(rotation: Quaternion, vector: Vector) -> Vector:
    """Return ``vector`` rotated by a unit quaternion."""
    x, y, z, w = rotation
    ahead, left, up, _ = multiply(multiply(rotation, (*vector, 0.0)), (-x, -y, -z, w))
    return ahead, left, up


def interpolate(first: Rigid, second: Rigid, ratio: float) -> Rigid:
    """Return the motion at ``ratio`` (0 first, 1 second): linear, and slerp the shorter way."""
    x, y, z = (a + (b - a) * ratio for a, b in zip(first.translation, second.translation))
    return Rigid(slerp(first.rotation, second.rotation, ratio), (x, y, z))


def slerp(first: Quaternion, second: Quaternion, ratio: float) -> Quaternion:
    """Return the rotation at ``ratio`` of the shorter arc between two unit quaternions."""
    cosine = sum(a * b for a, b in zip(first, second))
    sign = -1.0 if cosine < 0 else 1.0
    angle = acos(min(abs(cosine), 1.0))
    if angle == 0.0:
        return first
    weight_first = sin((1.0 - ratio) * angle) / sin(angle)
    weight_second = sign * sin(ratio * angle) / sin(angle)
    x, y, z, w = (weight_first * a + weight_second * b for a, b in zip(first, second))
    return x, y, z, w

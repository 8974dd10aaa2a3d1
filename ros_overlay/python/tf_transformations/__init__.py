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
Rotations and homogeneous matrices over `transforms3d` (subset of the ROS package).

Quaternions are (x, y, z, w), matrices (4, 4), angles radians; ``axes`` names one of the 24 orders
of Euler angles, 'sxyz' (roll, pitch, yaw about fixed axes) by default.
"""

from __future__ import annotations

from functools import reduce
from math import acos, pi, sin

import numpy as np
from numpy.typing import ArrayLike
import transforms3d

Quaternion = tuple[float, float, float, float]


def identity_matrix() -> np.ndarray:
    """Return the identity."""
    return np.identity(4)


def translation_matrix(direction: ArrayLike) -> np.ndarray:
    """Return the matrix that translates by a vector."""
    matrix = np.identity(4)
    matrix[:3, 3] = np.asarray(direction)[:3]
    return matrix


def translation_from_matrix(matrix: ArrayLike) -> np.ndarray:
    """Return the translation of a matrix."""
    return np.array(matrix, dtype=float)[:3, 3]


def rotation_matrix(
        angle: float, direction: ArrayLike, point: ArrayLike | None = None) -> np.ndarray:
    """Return the matrix that rotates about an axis through ``point`` (the origin if None)."""
    return transforms3d.axangles.axangle2aff(direction, angle, point=point)


def euler_matrix(ai: float, aj: float, ak: float, axes: str = 'sxyz') -> np.ndarray:
    """Return the matrix of Euler angles."""
    return homogeneous(transforms3d.euler.euler2mat(ai, aj, ak, axes=axes))


def euler_from_matrix(matrix: ArrayLike, axes: str = 'sxyz') -> tuple[float, float, float]:
    """Return the Euler angles of a matrix."""
    return transforms3d.euler.mat2euler(matrix, axes=axes)


def euler_from_quaternion(quaternion: ArrayLike, axes: str = 'sxyz') -> tuple[float, float, float]:
    """Return the Euler angles of a quaternion."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = 'sxyz') -> Quaternion:
    """Return the quaternion of Euler angles."""
    return w_last(transforms3d.euler.euler2quat(ai, aj, ak, axes=axes))


def quaternion_about_axis(angle: float, axis: ArrayLike) -> Quaternion:
    """Return the quaternion that rotates about an axis through the origin."""
    return w_last(transforms3d.quaternions.axangle2quat(axis, angle))


def quaternion_matrix(quaternion: ArrayLike) -> np.ndarray:
    """Return the matrix of a quaternion."""
    return homogeneous(transforms3d.quaternions.quat2mat(w_first(quaternion)))


def quaternion_from_matrix(matrix: ArrayLike) -> Quaternion:
    """Return the quaternion of a matrix's rotation."""
    return w_last(transforms3d.quaternions.mat2quat(np.asarray(matrix)[:3, :3]))


def quaternion_multiply(quaternion1: ArrayLike, quaternion0: ArrayLike) -> Quaternion:
    """Return the rotation ``quaternion0`` followed by ``quaternion1``."""
    return w_last(transforms3d.quaternions.qmult(w_first(quaternion1), w_first(quaternion0)))


def quaternion_conjugate(quaternion: ArrayLike) -> np.ndarray:
    """Return the quaternion with its vector part negated."""
    return np.asarray(quaternion, dtype=float) * (-1.0, -1.0, -1.0, 1.0)


def quaternion_inverse(quaternion: ArrayLike) -> np.ndarray:
    """Return the quaternion whose product with this one is the identity."""
    return quaternion_conjugate(quaternion) / np.dot(quaternion, quaternion)


def quaternion_slerp(
        quat0: ArrayLike, quat1: ArrayLike, fraction: float, spin: int = 0,
        shortestpath: bool = True) -> np.ndarray:
    """
    Return the rotation at ``fraction`` (0 first, 1 second) of the arc between two rotations.

    :param spin: additional half turns on the way.
    :param shortestpath: take the shorter of the two arcs.
    """
    first, second = unit_vector(quat0), unit_vector(quat1)
    if fraction in (0.0, 1.0):
        return second if fraction else first
    cosine = float(np.dot(first, second))
    if shortestpath and cosine < 0.0:
        first, cosine = -first, -cosine
    angle = acos(min(max(cosine, -1.0), 1.0)) + spin * pi
    if abs(sin(angle)) < np.finfo(float).eps * 4:
        return first
    return (sin((1.0 - fraction) * angle) * first + sin(fraction * angle) * second) / sin(angle)


def vector_norm(data: ArrayLike, axis: int | None = None) -> np.floating | np.ndarray:
    """Return the length of a vector, or those along an axis."""
    return np.linalg.norm(np.asarray(data, dtype=float), axis=axis)


def unit_vector(data: ArrayLike, axis: int | None = None) -> np.ndarray:
    """Return a vector scaled to length one, or those along an axis."""
    data = np.array(data, dtype=float)
    return data / np.linalg.norm(data, axis=axis, keepdims=axis is not None)


def inverse_matrix(matrix: ArrayLike) -> np.ndarray:
    """Return the inverse of a matrix."""
    return np.linalg.inv(np.asarray(matrix, dtype=float))


def concatenate_matrices(*matrices: ArrayLike) -> np.ndarray:
    """Return the product of matrices: the last one is applied first."""
    return reduce(np.dot, matrices, np.identity(4))


def is_same_transform(matrix0: ArrayLike, matrix1: ArrayLike) -> bool:
    """Return whether two matrices are the same transform, whatever their scale."""
    matrix0, matrix1 = np.array(matrix0, dtype=float), np.array(matrix1, dtype=float)
    return np.allclose(matrix0 / matrix0[3, 3], matrix1 / matrix1[3, 3])


def homogeneous(rotation: np.ndarray) -> np.ndarray:
    """Return a (3, 3) rotation as a (4, 4) matrix."""
    matrix = np.identity(4)
    matrix[:3, :3] = rotation
    return matrix


def w_first(quaternion: ArrayLike) -> Quaternion:
    """Return (w, x, y, z) of (x, y, z, w): the order of `transforms3d`."""
    x, y, z, w = np.asarray(quaternion, dtype=float)
    return w, x, y, z


def w_last(quaternion: ArrayLike) -> Quaternion:
    """Return (x, y, z, w) of (w, x, y, z): the order of ROS."""
    w, x, y, z = np.asarray(quaternion, dtype=float)
    return x, y, z, w

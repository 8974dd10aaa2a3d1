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

"""Pictures of matches: what is drawn lies where it belongs."""

from fg2_ros.drawing import (
    ELLIPSE_95, ellipse_axes, ellipse_points, HEIGHT_PX, MatchPicture, POSE_RGB)
import numpy as np
import pytest


def picture():
    """Return a picture of a black 2:1 panorama and a black patch of other sizes."""
    return MatchPicture(np.zeros((256, 512, 3), np.uint8), np.zeros((128, 128, 3), np.uint8))


def marked(image, channel):
    """Return the mean (column, row) of what is bright in a colour channel."""
    rows, columns = np.nonzero(image[..., channel] > 120)
    return columns.mean() + 0.5, rows.mean() + 0.5


def test_a_match_goes_from_one_image_to_the_other():
    drawn = picture()
    drawn.add_matches(
        np.array([[100.0, 50.0]]), np.array([[32.0, 96.0]]), np.ones(1), np.array([True]))
    rows, columns = np.nonzero(drawn.image[..., 1] > 100)
    assert drawn.image.shape == (HEIGHT_PX, 3 * HEIGHT_PX, 3)
    assert (columns.min(), rows.min()) == pytest.approx((200, 100), abs=2)
    assert (columns.max(), rows.max()) == pytest.approx((1024 + 128, 384), abs=2)


def test_only_the_strongest_matches_are_drawn_and_outliers_are_red():
    drawn = picture()
    count = 200
    ground, aerial = np.full((count, 2), 20.0), np.full((count, 2), 20.0)
    ground[0], aerial[0] = (20, 200), (20, 100)
    drawn.add_matches(ground, aerial, np.r_[0.1, np.ones(count - 1)], np.zeros(count, bool))
    assert not drawn.image[300:].any()
    assert drawn.image[..., 0].max() > drawn.image[..., 1].max()


def test_a_pose_points_where_it_looks():
    drawn = picture()
    drawn.add_pose(np.array([64.0, 32.0]), np.array([0.0, -1.0]), POSE_RGB)
    column, row = marked(drawn.image, 0)
    assert column == pytest.approx(1024 + 64 * 4, abs=1)
    assert 32 * 4 - 24 < row < 32 * 4


def test_an_outline_encloses_its_centre():
    drawn = picture()
    drawn.add_outline(np.array([64.0, 64.0]) + ellipse_points(np.diag([16.0, 4.0])), POSE_RGB)
    rows, columns = np.nonzero(drawn.image[..., 0] > 120)
    assert np.ptp(columns) == pytest.approx(2 * 4 * 4 * ELLIPSE_95, abs=5)
    assert np.ptp(rows) == pytest.approx(2 * 2 * 4 * ELLIPSE_95, abs=5)


def test_places_that_are_nowhere_do_no_harm():
    drawn = picture()
    drawn.add_matches(
        np.array([[np.nan, np.inf]]), np.array([[1e9, -1e9]]), np.ones(1), np.array([False]))
    drawn.add_caption('no pose')
    assert drawn.image.any()


def test_ellipse_points_have_the_covariance_s_mahalanobis_distance():
    root = np.array([[2.0, 0.3], [-0.5, 1.0]])
    covariance = root @ root.T
    points = ellipse_points(covariance)
    squares = np.einsum('ni,ij,nj->n', points, np.linalg.inv(covariance), points)
    assert squares == pytest.approx(np.full(len(points), ELLIPSE_95 ** 2))
    major, minor, _ = ellipse_axes(covariance)
    assert major > minor > 0

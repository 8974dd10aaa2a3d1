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

"""The page of drives: complete, self-contained, and whatever is said in it is escaped."""

from dataclasses import replace
import re
from test.helpers.trust_results import drive, evaluation, moment, RECORDED, shown, TRUTH

from fg2_ros.evaluation.drives.figures import trust_metrics
from fg2_ros.evaluation.drives.moments import place_density, reach_m
from fg2_ros.evaluation.drives.results import Claim
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.report.pose_pictures import ellipse_95, visible
from fg2_ros.report.trust import write_trust_report
import numpy as np
import pytest


@pytest.mark.parametrize('published', [True, False])
def test_the_page_has_everything_and_needs_nothing(tmp_path, published):
    """Charts where there are poses, all beliefs, all sentences; no address of anybody."""
    drives = [drive(5, published), drive(6, published)]
    path = tmp_path / 'page' / 'trust.html'
    beliefs = [moment(Claim(TRUTH, np.eye(3))), moment(None)]
    write_trust_report(path, [evaluation(drives, moments=beliefs)])
    page = path.read_text()
    assert page.count('<svg class="chart"') == 5 * published
    assert len(re.findall(r'<img src="data:image/jpeg;base64,[A-Za-z0-9+/=]+"', page)) == 2
    assert ('No pose was published' in page) is not published
    assert '&lt;here&gt;' in page and '&lt;heading&gt;' in page and '<heading>' not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert '<th scope="row">anees_track</th>' in page and '1.10' in page
    own, alone = re.search(  # of the belief, and of each image alone beside it
        r'<th scope="row">median_error_m</th><td>(.*?)</td><td>(.*?)</td>', page).groups()
    figures = trust_metrics(drives)
    if published:
        assert float(own) == pytest.approx(figures['median_error_m'], rel=1e-3)
        assert float(alone) == pytest.approx(figures['single_frame']['median_error_m'], rel=1e-3)
    else:
        assert (own, alone) == ('–', '')


def test_recorded_drives_are_shown_on_their_ground_beside_their_worst_images(tmp_path):
    """Dots have the colours of errors, and a title; the silent ones are where the truth is."""
    drives = [drive('monday', True), drive('<tuesday>', False)]
    path = tmp_path / 'page.html'
    write_trust_report(path, [evaluation(drives, RECORDED, **shown(drives))])
    page = path.read_text()
    assert '2 recorded drives of mine, split: test, 40 images in 2 runs over 1.2 km' in page
    dots = re.findall(r'<g class="(error-\d|silent)">(.*?)</g>', page, re.DOTALL)
    errors_m = [image.errors_of(image.track).position_error_m for image in drives[0].images]
    wanted = {f'error-{step}': count for step, count in enumerate(np.histogram(
        errors_m, [0.0, 0.5, 1.0, 2.0, 5.0, np.inf])[0]) if count} | {'silent': 20}
    assert {name: inside.count('<circle') for name, inside in dots} == wanted
    assert '0.0 s: nothing published; is the &lt;heading&gt; right?' in page
    assert 'drive &lt;5&gt;' in page and '<h3>&lt;tuesday&gt;</h3>' in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_several_weights_are_side_by_side(tmp_path):
    """One table with a column for each, one curve for each, and the details of both."""
    drives = [drive('monday')], [drive('monday', False)]
    path = tmp_path / 'page.html'
    write_trust_report(path, [
        evaluation(each, RECORDED, name) for name, each in zip(('old', 'new'), drives)])
    page = path.read_text()
    head = page[page.index('The same drives with several weights'):]
    assert re.findall(r'<th scope="col">(\w+)</th>', head[:head.index('</thead>')]) == [
        'old', 'new']
    row = re.search(r'median_error_m</th>\s*<td>(.*?)</td>\s*<td>(.*?)</td>', head)
    assert float(row[1].split()[0]) == pytest.approx(
        trust_metrics(drives[0])['median_error_m'], abs=0.006)
    assert row[2] == '–'
    assert page.count('<svg class="chart"') == 5 and page.count('<h1 class="part">') == 2


def test_the_same_data_give_the_same_page(tmp_path):
    """No time, no random names."""
    drives = [drive(5)]
    for name in ('a.html', 'b.html'):
        write_trust_report(tmp_path / name, [
            evaluation(drives, moments=[moment(None)], **shown(drives))])
    assert (tmp_path / 'a.html').read_bytes() == (tmp_path / 'b.html').read_bytes()


def test_a_density_of_places_keeps_probability_and_place():
    """It is summed over headings, and adds up volumes; peaks are sampled."""
    values = np.zeros((3, 21, 21), np.float32)
    values[0, 14, 6], values[2, 14, 6] = 0.3, 0.2
    volume = PoseVolume(PoseGrid(Pose2(10.0, 20.0, 1.0), 1.0, 0.1, (3, 21, 21)), values)
    density = place_density([volume, volume], (-10.0, 30.0, 0.0, 40.0))
    assert density.sum() * 0.4 ** 2 == pytest.approx(1.0, abs=0.1)
    north, east = np.unravel_index(np.argmax(density), density.shape)
    assert -10 + 0.4 * (east + 0.5) == pytest.approx(10 + 6 - 10, abs=0.4)
    assert 0.4 * (north + 0.5) == pytest.approx(20 + 14 - 10, abs=0.4)


def test_a_picture_shows_all_likely_places():
    """A rival far from the truth is in it; one that is hardly likely, or none, changes nothing."""
    def place(east_m, mass):
        return PoseVolume(PoseGrid(Pose2(east_m, 0.0, 0.0), 1.0, 0.1, (1, 1, 1)),
                          np.full((1, 1, 1), mass, np.float32))
    assert reach_m([place(0.0, 0.5), place(-90.0, 0.1)], (1.0, 2.0)) == pytest.approx(99.0)
    assert reach_m([place(0.0, 0.9), place(-90.0, 0.001)], (1.0, 2.0)) == 36.0
    assert reach_m([place(0.0, 0.5), place(3000.0, 0.5)], (1.0, 2.0)) == 200.0
    assert reach_m([], (1.0, 2.0)) == 36.0


def test_a_narrow_belief_is_seen_in_a_wide_picture():
    """As large as in a narrow one: a hundredth of the side at least."""
    for half_m in (36.0, 100.0, 200.0):
        density = np.zeros((round(2 * half_m / 0.4),) * 2)
        density[len(density) // 2, len(density) // 3] = 1e-3
        shown = visible(replace(
            moment(None), density=density, extent_m=(-half_m, half_m, -half_m, half_m)))
        assert shown.max() == 1.0
        across = int((shown.max(0) == 1.0).sum())
        assert 0.005 < across / len(density) < 0.03


def test_an_ellipse_holds_95_percent():
    """Its axes are those of the covariance."""
    covariance = np.array([[2.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    ellipse = ellipse_95(Claim(Pose2(1.0, 2.0, 0.0), covariance))
    points = np.random.default_rng(0).multivariate_normal((1, 2), covariance[:2, :2], 4000)
    inside = ellipse.get_patch_transform().inverted().transform(points)
    assert np.mean(np.hypot(*inside.T) <= 1) == pytest.approx(0.95, abs=0.01)

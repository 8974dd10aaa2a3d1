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

"""Check the figures of a recorded drive and the page that shows them."""

from html.parser import HTMLParser
import re
from types import SimpleNamespace

from fg2_ros.drawing import ELLIPSE_95
from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.report.charts import Limit, line_chart, nice_ticks, Series
from fg2_ros.report.drive import write_report
from fg2_ros.report.map import Map
import numpy as np
import pytest

JPEG = b'\xff\xd8 not much of a picture'


def record(count=40, missing=(3, 4), sigma_m=0.4, seed=0):
    """Return a drive to the east, whose estimates' errors are as their covariances say."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(count) / 8
    truth = np.stack([8 * time_s, np.full(count, 3.0), np.full(count, 3.14)], axis=1)
    keep = np.setdiff1d(np.arange(count), missing)
    sigmas = np.array([sigma_m, sigma_m / 2, 0.01])
    pose = truth[keep] + rng.standard_normal((len(keep), 3)) * sigmas
    gnss_s = np.arange(-1, time_s[-1], 0.2)
    gnss = np.stack([8 * gnss_s + 0.5 + 3, np.full(len(gnss_s), 3.0 + 4)], axis=1)
    return DriveRecord(
        time_s, truth, gnss_s, gnss, (-0.5, 0.0), time_s[keep], pose,
        np.tile(np.diag(sigmas ** 2), (len(keep), 1, 1)), np.linspace(100, 200, len(keep)),
        [(time_s[0], JPEG), (time_s[3], JPEG)], {'City': '2042 <&>'})


def orthophoto():
    image = np.full((400, 600, 3), 90, np.uint8)
    return SimpleNamespace(image=image, resolution_m=0.25, centre_m=(20.0, 0.0))


def test_figures_of_a_known_drive():
    exact = record(sigma_m=0.0, missing=())
    moved = exact.truth + [0.3, 0.4, np.radians(1)]
    moved[:, 2] -= 2 * np.pi  # the same heading, written differently
    covariance = np.tile(np.diag([.09, .16, np.radians(1) ** 2]), (40, 1, 1))
    figures = summary(DriveRecord(**{**vars(exact), 'pose': moved, 'covariance': covariance}))

    assert (figures['frames'], figures['published']) == (40, 40)
    assert figures['median_error_m'] == figures['mean_error_m'] == 0.5
    assert figures['p95_error_m'] == 0.5
    assert figures['median_yaw_error_deg'] == pytest.approx(1, abs=1e-3)
    assert figures['latency_p50_ms'] == 150 and figures['latency_p95_ms'] == 195
    assert figures['anees'] == pytest.approx(1, abs=1e-3)


def test_gnss_is_compared_with_its_antenna():
    # heading west, an antenna half a metre behind base_link is half a metre to the east of it
    assert summary(record())['gnss_median_error_m'] == pytest.approx(5.0, abs=0.01)


def test_honest_covariances_have_an_anees_of_one():
    assert summary(record(3000, sigma_m=0.4))['anees'] == pytest.approx(1, abs=0.05)


def test_without_estimates_there_are_no_figures_of_them(tmp_path):
    nothing = record(missing=range(40))
    figures = summary(nothing)
    write_report(tmp_path / 'report.html', nothing, orthophoto(), 'Nothing')

    assert figures['published'] == 0 and figures['median_error_m'] is None
    assert figures['anees'] is None and figures['gnss_median_error_m'] is not None


def test_an_estimate_of_no_frame_is_refused():
    good = record()
    with pytest.raises(ValueError, match='38 of 38 estimates'):
        DriveRecord(**{**vars(good), 'time_s': good.time_s + 0.001})


class Balance(HTMLParser):
    """Counts how often each tag of a page is opened and closed."""

    def __init__(self):
        """Start with nothing open."""
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        """Note what opens."""
        if tag not in ('meta', 'input', 'img', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Ignore what closes itself."""

    def handle_endtag(self, tag):
        """Check that the innermost closes."""
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(tmp_path):
    drive = record()
    write_report(tmp_path / 'report.html', drive, orthophoto(), 'A drive', 'City <7>')
    page = (tmp_path / 'report.html').read_text()

    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r'(src|href)="(?!data:|#)', page) and 'http' not in page
    assert page.count('<ellipse') == len(drive.pose)
    assert page.count('<figcaption>') == 2 and '0.4 s, rejected' in page
    assert 'City &lt;7&gt;' in page and '2042 &lt;&amp;&gt;' in page
    assert '$' not in page.split('<script>')[0]


def test_an_ellipse_has_the_axes_of_its_covariance():
    chart = Map(np.zeros((400, 400, 3), np.uint8), 0.5, (0, 0), np.array([[-20, -20], [20, 20]]))
    turn = np.radians(30)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    chart.add_ellipses('e', np.array([[0, 0]]), [axes @ np.diag([4.0, 1.0]) @ axes.T])

    rx, ry, angle = map(float, re.search(
        r'rx="([\d.]+)" ry="([\d.]+)" .*rotate\((\S+)\)', chart.svg()).groups())
    assert (rx, ry) == pytest.approx((2 * ELLIPSE_95, ELLIPSE_95), abs=1e-3)
    assert angle % 180 == pytest.approx(150)  # counter-clockwise on the map is upwards


def test_a_point_is_drawn_where_its_pixel_is():
    image = np.zeros((400, 400, 3), np.uint8)
    around = np.array([[10, 20], [40, 60]])
    chart = Map(image, 0.5, (5.0, 7.0), around)
    chart.add_dots('d', np.array([[10.0, 60.0]]), ['corner'], 1)

    x, y = map(float, re.search(r'cx="([\d.]+)" cy="([\d.]+)"', chart.svg()).groups())
    assert y == pytest.approx(14, abs=0.5)  # the margin above the northernmost point
    assert x == pytest.approx(chart.width_m / 2 - 15, abs=0.5)
    assert chart.width_m / chart.height_m == pytest.approx(1.5, abs=0.02)


def test_a_curve_is_interrupted_where_there_is_no_value():
    chart = line_chart([Series('a', np.arange(5.0), np.array([1, 2, np.nan, 3, 4]))], 'y')

    assert re.search(r'<path d="([^"]+)"', chart).group(1).count('M') == 2


def test_a_limit_above_the_values_is_on_the_chart():
    chart = line_chart([Series('a', np.arange(3.0), np.ones(3))], 'y', limit=Limit(300, 'goal'))

    y = float(re.search(r'class="limit" .* y1="([\d.]+)"', chart).group(1))
    assert 12 <= y < 60


@pytest.mark.parametrize('low, high', [(0, 1), (0, 0.37), (-2, 14.9), (0, 320), (5, 5.0001)])
def test_ticks_are_few_and_inside(low, high):
    ticks = nice_ticks(low, high, 6)

    assert 2 <= len(ticks) <= 7
    assert min(ticks) >= low - 1e-9 and max(ticks) <= high + 1e-9

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
from importlib.resources import files
import re
from test.helpers.report_pages import orthophoto, record

from fg2_ros.drawing import ELLIPSE_95
from fg2_ros.evaluation.drive import DriveRecord, summary
from fg2_ros.report.charts import COLOURS, Curve, histogram, Limit, line_chart
from fg2_ros.report.drive import write_report
from fg2_ros.report.map import Map
from fg2_ros.report.training import write_curves
import numpy as np
import pytest


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
    assert page.count('<figcaption>') == 2 and '0.4\u00a0s, rejected' in page
    assert 'City &lt;7&gt;' in page and '2042 &lt;&amp;&gt;' in page
    assert '$' not in page.split('<script>')[0]


def test_an_ellipse_has_the_axes_of_its_covariance():
    drawn = Map(np.zeros((400, 400, 3), np.uint8), 0.5, (0, 0), np.array([[-20, -20], [20, 20]]))
    turn = np.radians(30)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    drawn.add_ellipses(
        'ellipse', 'ellipse', np.array([[0, 0]]), [axes @ np.diag([4.0, 1.0]) @ axes.T])

    rx, ry, angle = map(float, re.search(
        r'rx="([\d.]+)" ry="([\d.]+)" .*rotate\((\S+)\)', drawn.html()).groups())
    assert (rx, ry) == pytest.approx((2 * ELLIPSE_95, ELLIPSE_95), abs=1e-3)
    assert angle % 180 == pytest.approx(150)  # counter-clockwise on the map is upwards


def test_a_point_is_drawn_where_its_pixel_is():
    image = np.zeros((400, 400, 3), np.uint8)
    around = np.array([[10, 20], [40, 60]])
    drawn = Map(image, 0.5, (5.0, 7.0), around)
    drawn.add_dots('dot', 'dot', np.array([[10.0, 60.0]]), ['corner'], 1)

    x, y = map(float, re.search(r'cx="([\d.]+)" cy="([\d.]+)"', drawn.html()).groups())
    assert y == pytest.approx(14, abs=0.5)  # the margin above the northernmost point
    assert x == pytest.approx(drawn.width_m / 2 - 15, abs=0.5)
    assert drawn.width_m / drawn.height_m == pytest.approx(1.5, abs=0.02)


def line_of(chart, colour='teal'):
    """Return the path of the first line of a colour."""
    lines = re.findall(
        r'<path d="([^"]+)"[^>]*style="fill: none;[^"]* stroke: var\(--(\w+)\)', chart)
    return next(commands for commands, name in lines if name == colour)


def test_a_curve_is_interrupted_where_there_is_no_value():
    chart = line_chart('A', [Curve('a', np.arange(5.0), np.array([1, 2, np.nan, 3, 4]))], 'y')

    assert line_of(chart).count('M') == 2


def test_a_limit_above_the_values_is_on_the_chart():
    chart = line_chart(
        'A', [Curve('a', np.arange(3.0), np.ones(3))], 'y', limit=Limit(300, 'the goal'))

    y = float(re.match(r'M \S+ (\S+)', line_of(chart, 'red')).group(1))
    assert 12 <= y < 60 and '>the goal</text>' in chart


def test_a_chart_is_the_same_each_time_and_escapes_its_texts():
    def drawn():
        curves = [Curve(f'<{name}> $x$', np.arange(3.0), np.ones(3)) for name in 'ab']
        return line_chart('A & B', curves, 'y < 1')

    chart = drawn()
    assert chart == drawn()
    assert '<title>A &amp; B</title>' in chart and '&lt;a&gt; $x$' in chart
    assert 'y &lt; 1' in chart and 'http' not in chart


def test_a_chart_without_values_is_drawn():
    nothing = np.zeros(0)
    for chart in (line_chart('A', [Curve('a', nothing, nothing)], 'y'),
                  histogram('A', nothing, 1.0, 10, 'x')):
        assert 'role="img"' in chart


def test_bars_are_as_high_as_the_shares_and_the_last_holds_the_rest():
    chart = histogram('A', np.array([0.5, 0.5, 0.5, 1.5, 2.5, 9.0, 9.0, 9.0]), 4.0, 4, 'x')

    bars = [np.array(re.findall(r'[ML] \S+ (\S+)', path), float) for path in re.findall(
        r'<path d="([^"]+)"[^>]*style="fill: var\(--teal\)', chart)]
    heights = np.array([np.ptp(bar) for bar in bars])
    assert heights / heights.sum() == pytest.approx(np.array([3, 1, 1, 3]) / 8, abs=1e-3)


def test_colours_of_charts_are_those_of_the_style_sheet():
    """In the light the same, in the dark others."""
    sheet = files('fg2_ros.report').joinpath('templates', 'style.css').read_text()
    light, dark = (dict(re.findall(r'--(\w+): (#\w+);', block)) for block in re.findall(
        r':root \{([^}]+)\}', sheet))
    assert COLOURS.items() <= light.items()
    assert set(light) == set(dark) and not light.items() & dark.items()


def test_training_curves_show_what_was_logged(tmp_path):
    """Values that are never logged have no chart; those that are not finite interrupt it."""
    records = [{'step': step, 'loss': 1 / step, 'rate': np.inf if step == 2 else 1e-4}
               for step in range(1, 5)] + [{'step': 5, 'validation': 0.25}]
    write_curves(tmp_path / 'curves.html', records, {
        'Loss': ('loss', 'validation'), 'Rate': ('rate',), 'Nothing': ('nothing',)})
    page = (tmp_path / 'curves.html').read_text()

    assert page.count('class="chart"') == 2 and 'Nothing' not in page and 'Step 5' in page
    assert 'loss: 0.25' in page and 'validation: 0.25' in page
    assert line_of(page[page.index('Rate'):]).count('M') == 2

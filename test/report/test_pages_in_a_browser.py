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

"""Pages as a browser shows them: whole, readable, without the network; maps that zoom."""

from test.helpers.browser import (
    FAINT_TEXTS, open_page, opened_browser, requested_addresses, WAIT_S)
from test.helpers.report_pages import PAGES

import numpy as np
import pytest


@pytest.fixture(scope='module')
def browser():
    with opened_browser() as browser:
        yield browser


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    """Return the files of all pages by their names."""
    folder = tmp_path_factory.mktemp('pages')
    for name, write in PAGES.items():
        write(folder / f'{name}.html')
    return {name: folder / f'{name}.html' for name in PAGES}


@pytest.fixture
def show(browser, pages):
    """Return a function that opens a page by its name; nothing may go wrong on it."""
    browser.get('about:blank')
    browser.get_log('browser'), browser.get_log('performance')
    yield lambda name, *settings: open_page(browser, pages[name], *settings)
    assert browser.get_log('browser') == []


@pytest.mark.parametrize('name', PAGES)
def test_nothing_is_fetched_but_the_page(browser, pages, show, name):
    show(name)
    assert requested_addresses(browser) == [pages[name].as_uri()]
    widths = browser.execute_script(
        'return Array.from(document.images, image => image.naturalWidth)')
    assert len(widths) == {
        'drive': 2, 'trust': 2, 'vigor_kitti': 2, 'case': 1, 'coverage': 1, 'training': 0}[name]
    assert all(widths)


@pytest.mark.parametrize('scheme, is_dark', [('light', False), ('dark', True)])
@pytest.mark.parametrize('name', PAGES)
def test_all_texts_are_readable(browser, show, name, scheme, is_dark):
    show(name, scheme)
    ground = browser.execute_script('return getComputedStyle(document.body).backgroundColor')
    assert (sum(map(int, ground[4:-1].split(','))) < 3 * 128) == is_dark
    seen, faint = browser.execute_script(FAINT_TEXTS)
    assert seen > 5 and faint == []


@pytest.mark.parametrize('width_px', [390, 1280])
@pytest.mark.parametrize('name', PAGES)
def test_pages_fit_telephones_and_desks(browser, show, name, width_px):
    show(name, 'light', width_px)
    assert browser.execute_script('return document.documentElement.scrollWidth') <= width_px


def test_charts_have_names(browser, show):
    show('drive')
    titles = browser.execute_script(
        "return Array.from(document.querySelectorAll('svg.chart > title'), "
        'title => title.textContent)')
    assert titles == ['Position error over time', 'Heading error over time', 'Latency over time']


def test_layers_are_hidden_and_shown(browser, show):
    show('drive')
    visible = "return getComputedStyle(document.querySelector('svg g.gnss')).display != 'none'"
    label = browser.find_element('css selector', '.map label.gnss')
    assert browser.execute_script(visible)
    label.click()
    assert not browser.execute_script(visible)
    assert browser.execute_script(visible.replace('gnss', 'estimate'))
    label.click()
    assert browser.execute_script(visible)


class MapView:
    """The map of the page that a browser shows, and what a hand does to it."""

    def __init__(self, browser):
        """Find it."""
        self._browser = browser
        self._svg = browser.find_element('css selector', '.map-view svg')
        browser.execute_script('arguments[0].scrollIntoView()', self._svg)
        box = browser.execute_script(
            'const box = arguments[0].getBoundingClientRect();'
            'return [box.left, box.top, box.width, box.height]', self._svg)
        self._corner_px, self.size_px = np.array(box[:2]), np.array(box[2:])

    @property
    def box(self) -> np.ndarray:
        """Return the left, top, width and height of what is seen, in metres."""
        box = self._browser.execute_script(
            "return arguments[0].getAttribute('viewBox')", self._svg)
        return np.array(box.split(), float)

    def metres(self, place) -> np.ndarray:
        """Return which place of the map is seen at (right, down) shares of the view."""
        return self.box[:2] + np.array(place) * self.box[2:]

    def wheel(self, place, down_px: float) -> None:
        """Turn the wheel at a place."""
        self._send('Mouse', type='mouseWheel', **self._pixel(place), deltaX=0, deltaY=down_px)

    def drag(self, begin, end) -> None:
        """Move what is seen at a place to another one."""
        for kind, place in (('mousePressed', begin), ('mouseMoved', end), ('mouseReleased', end)):
            self._send('Mouse', type=kind, **self._pixel(place), button='left', buttons=1,
                       clickCount=1)

    def double_click(self, place) -> None:
        """Click twice."""
        for count in (1, 2):
            for kind in ('mousePressed', 'mouseReleased'):
                self._send('Mouse', type=kind, **self._pixel(place), button='left',
                           clickCount=count)

    def pinch(self, begin, end) -> None:
        """Put down a finger at each of two places, and move them to two others."""
        for kind, places in (('touchStart', begin), ('touchMove', end), ('touchEnd', ())):
            self._send('Touch', type=kind, touchPoints=[
                {**self._pixel(place), 'id': index} for index, place in enumerate(places)])

    def wait_until(self, holds) -> None:
        """Wait for what was done to be seen."""
        from selenium.webdriver.support.wait import WebDriverWait
        WebDriverWait(self._browser, WAIT_S, 0.02).until(lambda _: holds(self.box))

    def press(self, name: str) -> None:
        """Press one of the map's buttons."""
        self._browser.find_element('css selector', f'[data-zoom="{name}"]').click()

    def _pixel(self, place) -> dict:
        x, y = self._corner_px + self.size_px * place
        return {'x': float(x), 'y': float(y)}

    def _send(self, device: str, **event) -> None:
        self._browser.execute_cdp_cmd(f'Input.dispatch{device}Event', event)


@pytest.fixture
def map_view(browser, show):
    """Return the map of a drive."""
    show('drive')
    return MapView(browser)


def test_the_wheel_zooms_where_the_pointer_is(map_view):
    everything, place = map_view.box, map_view.metres((0.25, 0.75))
    map_view.wheel((0.25, 0.75), -600)
    map_view.wait_until(lambda box: box[2] == pytest.approx(everything[2] / 1.0015 ** 600))
    assert map_view.metres((0.25, 0.75)) == pytest.approx(place, abs=0.05)
    map_view.wheel((0.25, 0.75), 6000)  # not beyond the edges
    map_view.wait_until(lambda box: box == pytest.approx(everything))


def test_buttons_zoom_and_a_double_click_shows_everything(map_view):
    everything = map_view.box
    middle = map_view.metres((0.5, 0.5))
    map_view.press('in')
    map_view.press('in')
    assert map_view.box[2:] == pytest.approx(everything[2:] / 1.5 ** 2)
    assert map_view.metres((0.5, 0.5)) == pytest.approx(middle)
    map_view.press('out')
    assert map_view.box[2:] == pytest.approx(everything[2:] / 1.5)
    map_view.press('all')
    assert map_view.box == pytest.approx(everything)
    map_view.press('in')
    map_view.double_click((0.4, 0.4))
    map_view.wait_until(lambda box: box == pytest.approx(everything))


def test_a_drag_moves_what_is_seen_as_far_as_the_edge(map_view):
    map_view.press('in')
    place = map_view.metres((0.5, 0.5))
    map_view.drag((0.5, 0.5), (0.6, 0.45))
    map_view.wait_until(lambda _: map_view.metres((0.6, 0.45)) == pytest.approx(place, abs=0.05))
    map_view.drag((0.1, 0.1), (0.9, 0.9))
    map_view.wait_until(lambda box: box[:2] == pytest.approx([0, 0]))


def test_two_fingers_zoom(map_view):
    everything, place = map_view.box, map_view.metres((0.5, 0.5))
    map_view.pinch([(0.4, 0.5), (0.6, 0.5)], [(0.3, 0.5), (0.7, 0.5)])
    map_view.wait_until(lambda box: box[2] == pytest.approx(everything[2] / 2, rel=0.01))
    assert map_view.metres((0.5, 0.5)) == pytest.approx(place, abs=0.1)

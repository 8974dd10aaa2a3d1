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

"""A real browser without a window, for pages that must work in one."""

from contextlib import contextmanager
import json
from pathlib import Path
import shutil
import tempfile

import pytest

OPTIONS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync')
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
WAIT_S = 60
# Return the texts that differ less from what is behind them than WCAG 2.1, 1.4.3 asks for.
FAINT_TEXTS = """
function parts(colour) {
  const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
  return [r, g, b, a];
}
function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map(
    value => value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = parts(getComputedStyle(at).backgroundColor);
    if (colour[3] > 0) return colour;
  }
  return [255, 255, 255, 1];
}
const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
  if (!text || element.closest('[aria-hidden], script, title')) continue;
  const style = getComputedStyle(element);
  const ink = parts(element instanceof SVGElement ? style.fill : style.color);
  const [low, high] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);
  seen += 1;
  if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(text);
}
return [seen, faint];
"""


@contextmanager
def opened_browser():
    """Start a browser; skip the test where there is none."""
    webdriver = pytest.importorskip('selenium.webdriver')
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which('chromedriver')
    if not (chromium and driver):
        pytest.skip('there is no browser: sudo apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f'--user-data-dir={profile}'):
            options.add_argument(option)
        browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
        browser.set_page_load_timeout(WAIT_S)
        browser.set_script_timeout(WAIT_S)
        try:
            yield browser
        finally:
            browser.quit()


def open_page(browser, path: Path, scheme: str = 'light', width_px: int = 1280) -> None:
    """Load a file in a window of a width, where the user likes it light or dark."""
    browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {
        'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
        'width': width_px, 'height': 1000, 'deviceScaleFactor': 1, 'mobile': False})
    browser.get(path.as_uri())


def requested_addresses(browser) -> list[str]:
    """Return what was asked for since the last call, pictures within the page left out."""
    messages = [json.loads(entry['message'])['message']
                for entry in browser.get_log('performance')]
    return [message['params']['request']['url'] for message in messages
            if message['method'] == 'Network.requestWillBeSent'
            and not message['params']['request']['url'].startswith('data:')]

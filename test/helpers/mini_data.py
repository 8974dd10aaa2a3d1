"""Made-up data sets in the layouts of VIGOR and KITTI, and what their loaders must return."""

import json
from test.helpers.paths import REFERENCE

VIGOR, KITTI = REFERENCE / 'vigor_mini', REFERENCE / 'kitti_mini'


def expected(name):
    """Return the values that belong to ``vigor_mini`` or ``kitti_mini``."""
    return json.loads((REFERENCE / f'{name}_expected.json').read_text())

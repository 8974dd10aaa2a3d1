"""Where things are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / 'test' / 'data' / 'reference'  # expected outputs of the authors' code
REAL_DATA = Path(os.environ.get('FG2_REAL_DATA', ROOT.parent / 'shared' / 'real'))

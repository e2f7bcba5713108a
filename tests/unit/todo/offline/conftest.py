"""Lets the tests of this folder import what they share, which the import mode of the suite does not by itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

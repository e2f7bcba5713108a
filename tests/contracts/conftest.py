"""Lets the tests of this folder import what they share."""

import sys
from pathlib import Path

# The import mode of the suite does not find modules beside the tests by itself.
sys.path.insert(0, str(Path(__file__).parent))

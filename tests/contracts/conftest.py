"""Lets the tests of this folder import what they share, and explains the assertions of the contracts."""

import sys
from pathlib import Path

import pytest

# The import mode of the suite does not find modules beside the tests by itself.
sys.path.insert(0, str(Path(__file__).parent))

pytest.register_assert_rewrite("backchannel.testing.contracts")

"""What processes of their own start with."""

import os

import pytest


@pytest.fixture(scope="module")
def child_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No settings of Backchannel, a terminal that draws nothing, and compiled modules kept between processes."""
    dropped = ("BACKCHANNEL_", "OPENAI_", "PYTHONDONTWRITEBYTECODE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    compiled = tmp_path_factory.getbasetemp().parent / "backchannel-compiled"
    terminal = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    return {**clean, **terminal, "PYTHONPYCACHEPREFIX": str(compiled)}

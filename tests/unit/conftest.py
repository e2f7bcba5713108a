"""What the unit tests of the core share."""

import pytest
from agents import set_tracing_disabled


@pytest.fixture(scope="session", autouse=True)
def no_tracing() -> None:
    """The Agents SDK would try to send every run to OpenAI."""
    set_tracing_disabled(True)

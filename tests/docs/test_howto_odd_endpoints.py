"""What docs/howto/test-with-odd-endpoints.md promises (H14)."""

import importlib

import pytest
from agents import set_tracing_disabled

pytestmark = pytest.mark.row("H14")

PAGE = "test-with-odd-endpoints.md"


@pytest.fixture(autouse=True)
def no_tracing() -> None:
    set_tracing_disabled(True)


async def test_the_strict_endpoint_takes_what_the_sdk_sends(write_page) -> None:
    write_page(PAGE)
    said, endpoint = await importlib.import_module("strict").ask()
    assert said == "It rains."
    assert endpoint.refused == []
    assert len(endpoint.requests) == 2


def test_histories_are_checked_without_http(write_page) -> None:
    write_page(PAGE)
    reasons = importlib.import_module("history").reasons
    assert reasons("vllm") == ["arguments_no_json: Unterminated string starting at: line 1 column 7 (char 6)"]
    assert [each.partition(":")[0] for each in reasons("openai-chat")] == ["name_characters"]


async def test_an_odd_answer_shows_that_a_conversation_cannot_go_on(write_page) -> None:
    write_page(PAGE)
    assert "Unterminated string" in await importlib.import_module("odd").ask()

"""Words that deny importance do not raise the priority (B7)."""

import pytest

from backchannel.todo.offline.priorities import find_priority

pytestmark = pytest.mark.row("B7")


@pytest.mark.parametrize(
    ("text", "value", "left"),
    [
        ("book flights tomorrow, not urgent", 2, "book flights tomorrow"),
        ("book flights, not so important", 2, "book flights"),
        ("book flights, urgent", 5, "book flights,"),
        ("book flights, it's not critical.", 2, "book flights"),
    ],
)
def test_importance_and_its_negation(text: str, value: int, left: str) -> None:
    found = find_priority(text)
    assert found is not None
    assert (found.value, text[: found.start].strip()) == (value, left)

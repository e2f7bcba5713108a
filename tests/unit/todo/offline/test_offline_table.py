"""Sentence by sentence: what the stand-in calls, or what it answers, with real agents and the real runner."""

from typing import Any

import pytest
from offline_fakes import SUPERVISOR, TRIAGE, Chat
from offline_table import ADDING, CHANGING, LOOK, LOOKING, TALKING, seeded

pytestmark = pytest.mark.row("B7")

type Call = tuple[str, dict[str, Any]]
ACTING = [*ADDING, *LOOKING, *CHANGING]


def telling(calls: list[Call], expected: list[Call]) -> list[Call]:
    """The calls without hand-offs and without looking the list up, unless that is what was asked for."""
    return [
        call
        for call in calls
        if not call[0].startswith("transfer_to_") and (call != LOOK or LOOK in expected)
    ]


@pytest.mark.parametrize(("sentence", "expected"), ACTING, ids=[sentence for sentence, _ in ACTING])
async def test_a_sentence_leads_to_its_calls(sentence: str, expected: list[Call]) -> None:
    chat = Chat(TRIAGE, seeded())
    reply = await chat.say(sentence)
    assert telling(chat.calls, expected) == expected
    assert reply.strip()


@pytest.mark.parametrize(("sentence", "words"), TALKING, ids=[sentence[:40] for sentence, _ in TALKING])
async def test_a_sentence_without_an_action_changes_nothing(sentence: str, words: str) -> None:
    todos = seeded()
    before = str(todos.rows)
    reply = await Chat(TRIAGE, todos).say(sentence)
    assert words in reply
    assert str(todos.rows) == before


@pytest.mark.parametrize(("sentence", "expected"), ACTING[::5], ids=[sentence for sentence, _ in ACTING[::5]])
async def test_a_supervisor_brings_about_the_same(sentence: str, expected: list[Call]) -> None:
    handed, supervised = seeded(), seeded()
    by_triage = await Chat(TRIAGE, handed).say(sentence)
    by_supervisor = await Chat(SUPERVISOR, supervised).say(sentence)
    assert supervised.rows == handed.rows
    assert by_supervisor == by_triage


def test_the_table_is_large_enough() -> None:
    assert len(ACTING) + len(TALKING) >= 130

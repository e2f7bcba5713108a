"""Conversations of several turns: what `it`, `the second one`, `yes` and `friday instead` mean."""

import pytest
from agents import Agent
from offline_fakes import NOW, SPECIALISTS, SUPERVISOR, TRIAGE, Chat, FakeTodos
from offline_table import DENTIST, FRIDAY, MILK, PLANTS, RENT, TOMORROW, seeded

pytestmark = pytest.mark.row("B7")

ENTRANCES = pytest.mark.parametrize("agent", [TRIAGE, SUPERVISOR], ids=["triage", "supervisor"])
ALL = {MILK, DENTIST, RENT, PLANTS, "todo_5"}


def ids(todos: FakeTodos) -> set[str]:
    return {str(row["id"]) for row in todos.rows}


async def said(agent: Agent[FakeTodos], *sentences: str) -> tuple[str, FakeTodos]:
    """The last reply and the list after the sentences."""
    chat = Chat(agent, seeded())
    reply = ""
    for sentence in sentences:
        reply = await chat.say(sentence)
    return reply, chat.todos


@ENTRANCES
async def test_the_sentences_of_the_readme_work_one_after_the_other(agent: Agent[FakeTodos]) -> None:
    chat = Chat(agent, FakeTodos())
    chat.todos.put("Water plants", due_date="2026-11-25")
    added = await chat.say("add buy oat milk tomorrow at 5pm, high priority")
    assert added == "Added **Buy oat milk** — tomorrow at 17:00 · high priority."
    due = await chat.say("what's due this week?")
    assert "1. **Buy oat milk** — tomorrow at 17:00 · high priority\n2. **Water plants** — Wednesday" in due
    assert "1. **Buy oat milk**" in await chat.say("find milk")
    assert "Friday" in await chat.say("actually make it friday")
    assert chat.todos.row("Buy oat milk")["due_date"] == f"{FRIDAY}T17:00:00"
    assert await chat.say("mark milk done") == "Completed **Buy oat milk**."
    chat.todos.put("Buy eggs", due_date="2026-11-30")
    await chat.say("show my list")
    assert await chat.say("delete the second one") == "Deleted **Buy eggs**."
    helped = await chat.say("what can you do?")
    assert "rule-based stand-in" in helped
    assert "add buy milk tomorrow at 5pm" in helped


@ENTRANCES
@pytest.mark.parametrize(
    ("sentence", "gone"),
    [
        ("delete the second one", {DENTIST}),
        ("delete #2", {DENTIST}),
        ("delete the last one", {PLANTS}),
        ("delete the first two", {RENT, DENTIST}),
        ("delete 1 and 3", {RENT, MILK}),
        ("delete all of them", {RENT, DENTIST, MILK, PLANTS}),
        ("delete all of them except milk", {RENT, DENTIST, PLANTS}),
        ("delete all completed", {"todo_5"}),
        ("remove the third and fourth", {MILK, PLANTS}),
    ],
)
async def test_places_count_through_the_list_shown_last(
    agent: Agent[FakeTodos], sentence: str, gone: set[str]
) -> None:
    _, todos = await said(agent, "show my list", "thanks!", sentence)
    assert ids(todos) == ALL - gone


@ENTRANCES
async def test_both_means_the_two_shown_last(agent: Agent[FakeTodos]) -> None:
    _, todos = await said(agent, "add eggs and bread", "complete both")
    assert {row["title"] for row in todos.rows if row["status"] == "completed"} == {
        "Eggs",
        "Bread",
        "Old report",
    }


@ENTRANCES
@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ("the first", "todo_1"),
        ("2", "todo_6"),
        ("soy milk", "todo_6"),
        ("the soy one", "todo_6"),
        ("delete the last one", "todo_6"),
    ],
)
async def test_an_answer_chooses_among_several_matches(
    agent: Agent[FakeTodos], answer: str, gone: str
) -> None:
    chat = Chat(agent, seeded())
    chat.todos.put("Buy soy milk")
    asked = await chat.say("delete milk")
    assert "Which todo do you mean by “milk”?" in asked
    assert "1. **Buy oat milk**\n2. **Buy soy milk**" in asked
    assert len(chat.todos.rows) == 6
    await chat.say(answer)
    assert ids(chat.todos) == (ALL | {"todo_6"}) - {gone}


@ENTRANCES
async def test_the_rest_of_a_sentence_is_not_done_twice_after_a_question(agent: Agent[FakeTodos]) -> None:
    chat = Chat(agent, seeded())
    chat.todos.put("Buy soy milk")
    await chat.say("delete milk and add bread")
    await chat.say("the second")
    assert sorted(chat.todos.titles()) == [
        "Bread",
        "Buy oat milk",
        "Call the dentist",
        "Old report",
        "Pay rent",
        "Water plants",
    ]


@ENTRANCES
async def test_deleting_everything_takes_a_yes(agent: Agent[FakeTodos]) -> None:
    reply, todos = await said(agent, "delete everything")
    assert "Delete all 5 todos?" in reply
    assert len(todos.rows) == 5
    _, todos = await said(agent, "delete everything", "yes")
    assert todos.rows == []
    _, todos = await said(agent, "delete everything", "delete all 5 todos")
    assert todos.rows == []
    for refusal in ("no", "never mind", "don't", "what's due today?"):
        _, todos = await said(agent, "delete everything", refusal)
        assert len(todos.rows) == 5
    _, todos = await said(agent, "delete everything", "no", "yes")
    assert len(todos.rows) == 5


async def test_a_wrong_number_is_no_confirmation() -> None:
    reply, todos = await said(TRIAGE, "delete all 3 todos")
    assert "Delete all 5 todos?" in reply
    assert len(todos.rows) == 5


@ENTRANCES
@pytest.mark.parametrize(
    ("first", "then", "changes"),
    [
        ("add bread", "actually make it friday", {"due_date": FRIDAY}),
        ("add bread", "tomorrow at 5", {"due_date": "2026-11-23T17:00:00"}),
        ("add bread", "high priority please", {"priority": 4}),
        ("add bread", "no, friday", {"due_date": FRIDAY}),
        ("add bread tomorrow", "make it 6pm", {"due_date": "2026-11-23T18:00:00"}),
        ("add bread", "call it rye bread", {"title": "Rye bread"}),
        ("add bread", "rename it to “rye, sliced”", {"title": "rye, sliced"}),
        ("add bread", "mark it done", {"status": "completed"}),
        ("add bread", "start it", {"status": "in_progress"}),
        ("add bread", "set the priority to 2", {"priority": 2}),
        ("add bread tomorrow", "remove the due date", {"due_date": None}),
        ("add bread", "what's the weather?", {}),
    ],
)
async def test_it_is_what_was_last_touched(
    agent: Agent[FakeTodos], first: str, then: str, changes: dict[str, object]
) -> None:
    _, todos = await said(agent, first, then)
    row = todos.rows[-1]
    assert row["id"] == "todo_6"
    assert {name: row[name] for name in changes} == changes


@ENTRANCES
async def test_it_after_several_asks_which(agent: Agent[FakeTodos]) -> None:
    reply, _ = await said(agent, "add eggs and bread", "make it urgent")
    assert "Which todo do you mean by “it”?" in reply
    _, todos = await said(agent, "add eggs and bread", "make it urgent", "the second one")
    assert (todos.row("Bread")["priority"], todos.row("Eggs")["priority"]) == (5, 0)


@ENTRANCES
async def test_more_is_added_after_an_add(agent: Agent[FakeTodos]) -> None:
    _, todos = await said(agent, "add bread", "and rye flour tomorrow")
    assert todos.row("Rye flour")["due_date"] == TOMORROW
    _, todos = await said(agent, "add", "bananas")
    assert todos.titles()[-1] == "Bananas"


@ENTRANCES
async def test_a_day_alone_asks_for_its_todos_where_no_todo_is_meant(agent: Agent[FakeTodos]) -> None:
    reply, todos = await said(agent, "show my list", "tuesday")
    assert "1. **Call the dentist**" in reply
    assert todos.row("Call the dentist")["due_date"] == "2026-11-24T10:00:00"


async def test_a_history_without_calls_is_enough() -> None:
    chat = Chat(TRIAGE, seeded())
    await chat.say("show my list")
    chat.forget_calls()
    await chat.say("delete the second one")
    chat.forget_calls()
    await chat.say("delete the last one")
    assert ids(chat.todos) == ALL - {DENTIST, PLANTS}


async def test_titles_with_markup_are_found_again() -> None:
    chat = Chat(TRIAGE, FakeTodos())
    title = "fix **bold** [x](y) _a_ *b*"
    await chat.say(f'add "{title}"')
    chat.forget_calls()
    await chat.say("delete it")
    assert chat.todos.rows == []


async def test_todos_with_the_same_title_stay_apart() -> None:
    chat = Chat(TRIAGE, FakeTodos())
    for due in ("2026-11-24", "2026-11-25", "2026-11-26"):
        chat.todos.put("Run", due_date=due)
    await chat.say("show my list")
    await chat.say("delete the second one")
    assert [row["due_date"] for row in chat.todos.rows] == ["2026-11-24", "2026-11-26"]


async def test_a_specialist_answers_what_it_can() -> None:
    todo, search, helper = SPECIALISTS
    assert "rule-based stand-in" in await Chat(todo, seeded()).say("what can you do?")
    chat = Chat(search, seeded())
    assert "cannot do that from here" in await chat.say("delete milk")
    assert ids(chat.todos) == ALL
    assert "cannot do that from here" in await Chat(helper, seeded()).say("add milk")


async def test_an_error_of_a_tool_is_told_once() -> None:
    chat = Chat(TRIAGE, seeded())
    assert (
        await chat.say("add bread, priority 9") == "That did not work: priority must be 0 to 5; you gave 9."
    )
    assert len([call for call in chat.calls if call[0] == "create_todo"]) == 1
    await chat.say("find milk")
    chat.todos.rows.clear()
    assert "There is no such todo" in await chat.say("delete it")


async def test_many_todos_are_searched_beyond_the_first_hundred() -> None:
    chat = Chat(TRIAGE, FakeTodos())
    for number in range(120):
        chat.todos.put(f"Chore {number:03}")
    chat.todos.put("Zebra crossing")
    assert await chat.say("delete zebra crossing") == "Deleted **Zebra crossing**."


async def test_completed_todos_are_not_completed_again() -> None:
    reply, _ = await said(TRIAGE, "complete old report")
    assert reply == "**Old report** was already done."


def test_the_clock_is_a_sunday() -> None:
    assert NOW.weekday() == 6

"""Keeping todos: what is written is what is read, in the order that was promised."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from structlog.testing import capture_logs

from backchannel.context import Identity
from backchannel.errors import ConflictError, NotFoundError, UnavailableError
from backchannel.sql import Database
from backchannel.todo.models import NewTodo, Todo, TodoChanges, TodoFilter, TodoQuery
from backchannel.todo.service import TodoService

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")

START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def new(title: str = "Buy milk", **fields: Any) -> NewTodo:
    return NewTodo(title=title, **fields)


def titles(found: list[Todo]) -> list[str]:
    return [todo.title for todo in found]


async def test_a_new_todo_is_read_back(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, new(description="oat", priority=4, due_date="2026-11-23T17:00:00"))
    assert made.id.startswith("todo_")
    assert made.model_dump(mode="json") == {
        "id": made.id,
        "title": "Buy milk",
        "description": "oat",
        "priority": 4,
        "status": "pending",
        "due_date": "2026-11-23T17:00:00",
        "created_at": "2026-11-22T12:00:01Z",
        "updated_at": "2026-11-22T12:00:01Z",
        "completed_at": None,
    }
    assert await service.get(ann, made.id) == made


@pytest.mark.parametrize("due", [None, "2026-11-23", "2026-11-23T00:00:00", "2026-11-23T23:59:59"])
async def test_a_due_date_is_kept_as_written(service: TodoService, ann: Identity, due: str | None) -> None:
    made = await service.create(ann, new(due_date=due))
    assert (await service.get(ann, made.id)).due_date == made.due_date == due


async def test_the_longest_text_in_any_script_is_kept(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, new("🦄" * 200, description="ß\n" * 500))
    kept = await service.get(ann, made.id)
    assert (kept.title, kept.description) == ("🦄" * 200, "ß\n" * 500)


async def test_the_order_of_the_list(service: TodoService, ann: Identity) -> None:
    for title, fields in [
        ("8 no date, oldest", {}),
        ("7 no date, urgent", {"priority": 5}),
        ("3 whole day", {"due_date": "2026-11-23"}),
        ("2 same day, with a time", {"due_date": "2026-11-23T17:00:00"}),
        ("1 day before", {"due_date": "2026-11-22"}),
        ("5 later, first", {"due_date": "2026-12-01"}),
        ("4 later, high", {"due_date": "2026-12-01", "priority": 4}),
        ("6 later, second", {"due_date": "2026-12-01"}),
        ("9 no date, newest", {}),
    ]:
        await service.create(ann, new(title, **fields))
    done = await service.create(ann, new("a done, earliest of all", due_date="2020-01-01", priority=5))
    await service.complete(ann, done.id)
    started = await service.create(ann, new("0 started", due_date="2026-11-01"))
    await service.update(ann, started.id, TodoChanges.model_validate({"status": "in_progress"}))
    page = await service.list(ann)
    assert "".join(title[0] for title in titles(page.todos)) == "0123456789a"
    assert (page.total, page.limit, page.offset) == (11, 20, 0)


async def test_pages_together_are_the_list(service: TodoService, ann: Identity) -> None:
    for number in range(7):
        await service.create(ann, new(f"Todo {number}", priority=number % 3))
    whole = titles((await service.list(ann)).todos)
    pages = [await service.list(ann, TodoFilter(limit=3, offset=offset)) for offset in (0, 3, 6, 9)]
    assert [page.total for page in pages] == [7, 7, 7, 7]
    assert [len(page.todos) for page in pages] == [3, 3, 1, 0]
    assert [title for page in pages for title in titles(page.todos)] == whole
    assert titles((await service.search(ann, TodoQuery(query="todo", limit=3, offset=6))).todos) == whole[6:]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ({}, "abcde"),
        ({"status": "completed"}, "e"),
        ({"status": "pending"}, "abcd"),
        ({"priority": 0}, "abd"),
        ({"priority": 3}, "c"),
        ({"priority": 5}, ""),
        ({"due_after": "2026-11-23", "due_before": "2026-11-23"}, "ab"),
        ({"due_before": "2026-11-23"}, "abe"),
        ({"due_before": "2026-11-22"}, "e"),
        ({"due_before": "2026-11-23T12:00:00"}, "ae"),
        ({"due_before": "2026-11-23T11:59:59"}, "e"),
        ({"due_after": "2026-11-23T12:00:00"}, "abc"),
        ({"due_after": "2026-11-23T12:00:01"}, "bc"),
        ({"due_after": "2026-11-24"}, "c"),
        ({"due_after": "2026-11-24T00:00:01"}, ""),
        ({"due_before": "2026-11-23", "status": "completed", "priority": 1}, "e"),
    ],
)
async def test_filters(service: TodoService, ann: Identity, which: dict[str, Any], expected: str) -> None:
    await service.create(ann, new("a", due_date="2026-11-23T12:00:00"))
    await service.create(ann, new("b", due_date="2026-11-23"))
    await service.create(ann, new("c", due_date="2026-11-24T00:00:00", priority=3))
    await service.create(ann, new("d"))
    last = await service.create(ann, new("e", due_date="2026-11-01", priority=1))
    await service.complete(ann, last.id)
    listed = await service.list(ann, TodoFilter.model_validate(which))
    assert "".join(titles(listed.todos)) == expected
    assert listed.total == len(expected)
    searched = await service.search(ann, TodoQuery.model_validate(which))
    assert searched == listed


async def test_a_search_obeys_filters_limit_and_total(service: TodoService, ann: Identity) -> None:
    for number in range(5):
        await service.create(ann, new(f"Buy milk {number}", priority=number % 2))
    await service.create(ann, new("Shopping", description="milk"))
    await service.create(ann, new("Call mom"))
    page = await service.search(ann, TodoQuery(query="mlk", limit=2))
    assert (len(page.todos), page.total) == (2, 6)
    page = await service.search(ann, TodoQuery(query="milk", priority=1))
    assert titles(page.todos) == ["Buy milk 1", "Buy milk 3"]
    assert (await service.search(ann, TodoQuery(query="nothing like it"))).total == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": " Oat milk "}, {"title": "Oat milk"}),
        ({"description": ""}, {"description": ""}),
        ({"priority": 0}, {"priority": 0}),
        ({"due_date": "2026-12-01"}, {"due_date": "2026-12-01"}),
        ({"due_date": None}, {"due_date": None}),
        ({"status": "in_progress"}, {"status": "in_progress"}),
        ({"title": "a", "priority": 1, "due_date": None}, {"title": "a", "priority": 1, "due_date": None}),
    ],
)
async def test_a_change_changes_what_it_names_and_nothing_else(
    service: TodoService, ann: Identity, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = await service.create(ann, new(description="oat", priority=4, due_date="2026-11-23T17:00:00"))
    other = await service.create(ann, new("Other"))
    changed = await service.update(ann, made.id, TodoChanges.model_validate(changes))
    later = {"updated_at": made.updated_at + timedelta(seconds=2)}
    assert changed.model_dump() == {**made.model_dump(), **expected, **later}
    assert await service.get(ann, made.id) == changed
    assert await service.get(ann, other.id) == other


async def test_no_change_is_no_change(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, new())
    assert await service.update(ann, made.id, TodoChanges.model_validate({})) == made


async def test_completing_twice_keeps_the_first_moment(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, new())
    done = await service.complete(ann, made.id)
    assert (done.status, done.completed_at) == ("completed", START + timedelta(seconds=2))
    assert done.updated_at == done.completed_at
    assert await service.complete(ann, made.id) == done
    again = await service.update(ann, made.id, TodoChanges.model_validate({"status": "completed"}))
    assert again.completed_at == done.completed_at


async def test_reopening_forgets_when_it_was_completed(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, new())
    await service.complete(ann, made.id)
    reopened = await service.update(ann, made.id, TodoChanges.model_validate({"status": "pending"}))
    assert (reopened.status, reopened.completed_at) == ("pending", None)
    completed_again = await service.complete(ann, made.id)
    assert completed_again.completed_at == completed_again.updated_at


async def test_deleting_says_what_it_was(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, new())
    kept = await service.create(ann, new("Kept"))
    assert await service.delete(ann, made.id) == made
    with pytest.raises(NotFoundError):
        await service.delete(ann, made.id)
    assert (await service.list(ann)).todos == [kept]


async def test_several_are_deleted_at_once(service: TodoService, ann: Identity, eve: Identity) -> None:
    made = [await service.create(ann, new(f"{number}")) for number in range(3)]
    hers = await service.create(eve, new("Hers"))
    asked = [made[2].id, hers.id, "todo_nothing", "a\x00b", made[0].id]
    assert await service.get_many(ann, asked) == [made[2], made[0]]
    assert await service.delete_many(ann, asked) == [made[2], made[0]]
    assert await service.delete_many(ann, asked) == []
    assert (await service.list(ann)).todos == [made[1]]
    assert (await service.list(eve)).todos == [hers]


@pytest.mark.parametrize(
    "todo_id", ["todo_nothing", "", "%", "x" * 10_000, "a\x00b", "\ud800", "' OR 1=1 --"]
)
async def test_no_such_todo(service: TodoService, ann: Identity, todo_id: str) -> None:
    made = await service.create(ann, new())
    for call in (
        service.get(ann, todo_id),
        service.update(ann, todo_id, TodoChanges.model_validate({"title": "x"})),
        service.update(ann, todo_id, TodoChanges.model_validate({})),
        service.complete(ann, todo_id),
        service.delete(ann, todo_id),
    ):
        with pytest.raises(NotFoundError, match=r"^No todo has the id ") as caught:
            await call
        assert len(caught.value.message.encode()) < 300
    assert (await service.list(ann)).todos == [made]


async def test_one_person_can_keep_only_so_many(database: Database, ann: Identity, eve: Identity) -> None:
    service = TodoService(database, max_todos=3)
    made = [await service.create(ann, new(f"{number}")) for number in range(3)]
    with pytest.raises(ConflictError, match="You have 3 todos"):
        await service.create(ann, new())
    await service.create(eve, new())
    await service.delete(ann, made[0].id)
    await service.create(ann, new())
    assert (await service.list(ann)).total == 3


async def test_two_writers_at_once_do_not_pass_the_limit(database_url: str, ann: Identity) -> None:
    databases = [Database(database_url) for _ in range(2)]
    services = [TodoService(database, max_todos=5) for database in databases]
    calls = [services[number % 2].create(ann, new(f"{number}")) for number in range(12)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Todo) for result in results) == 5
    assert sum(isinstance(result, ConflictError) for result in results) == 7
    assert (await services[0].list(ann)).total == 5
    for database in databases:
        await database.close()


async def test_two_writers_at_once_lose_nothing(database_url: str, ann: Identity) -> None:
    databases = [Database(database_url) for _ in range(2)]
    one, two = (TodoService(database) for database in databases)
    made = await one.create(ann, new())
    for number in range(5):
        await asyncio.gather(
            one.update(ann, made.id, TodoChanges.model_validate({"title": f"Title {number}"})),
            two.update(ann, made.id, TodoChanges.model_validate({"description": f"About {number}"})),
            one.complete(ann, made.id),
            two.complete(ann, made.id),
        )
    kept = await two.get(ann, made.id)
    assert (kept.title, kept.description, kept.status) == ("Title 4", "About 4", "completed")
    results = await asyncio.gather(one.delete(ann, made.id), two.delete(ann, made.id), return_exceptions=True)
    assert {type(result) for result in results} == {NotFoundError, Todo}
    for database in databases:
        await database.close()


async def test_a_database_that_fails_is_reported_without_its_words(
    database: Database, service: TodoService, ann: Identity
) -> None:
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE todos"))
    for call in (
        service.create(ann, new("my secret")),
        service.get(ann, "todo_x"),
        service.list(ann),
        service.search(ann, TodoQuery(query="my secret")),
        service.update(ann, "todo_x", TodoChanges.model_validate({"title": "my secret"})),
        service.complete(ann, "todo_x"),
        service.delete(ann, "todo_x"),
    ):
        with capture_logs() as logs, pytest.raises(UnavailableError) as caught:
            await call
        assert caught.value.message == "The todo list cannot be reached right now."
        assert [log["event"] for log in logs] == ["todo_database_failed"]
        assert "no such table" in logs[0]["cause"]
        assert "my secret" not in str(logs)


async def test_a_database_that_cannot_be_opened(tmp_path: Path, ann: Identity) -> None:
    (tmp_path / "todo.db").mkdir()
    database = Database(f"sqlite:///{tmp_path / 'todo.db'}")
    threads = {*threading.enumerate()}
    with pytest.raises(UnavailableError):
        await TodoService(database).list(ann)
    await database.close()
    # The driver does not wait for its thread when a connection cannot be opened, and the thread still wants
    # the event loop, which ends with the test.
    for thread in {*threading.enumerate()} - threads:
        thread.join(timeout=5)


async def test_ten_thousand_todos_are_searched_to_the_last(database: Database, ann: Identity) -> None:
    values = ", ".join(
        f"('todo_{number}', 'acme', 'ann', 'Water plant number {number}', '', 0, 'pending', 0, "
        f"'2026-11-22 12:00:00.000000', '2026-11-22 12:00:00.000000')"
        for number in range(10_000)
    )
    columns = (
        "id, tenant, user_id, title, description, priority, status, due_has_time, created_at, updated_at"
    )
    async with database.write() as connection:
        await connection.execute(text(f"INSERT INTO todos ({columns}) VALUES {values}"))
        await connection.execute(text("UPDATE todos SET title = 'Buy milk' WHERE id = 'todo_9999'"))
    page = await TodoService(database).search(ann, TodoQuery(query="mlik"))
    assert [todo.id for todo in page.todos] == ["todo_9999"]
    with pytest.raises(ConflictError):
        await TodoService(database).create(ann, new())


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    title=texts.filter(lambda text: any(c.isprintable() and not c.isspace() for c in text)), description=texts
)
async def test_any_text_is_read_back(
    service: TodoService, ann: Identity, title: str, description: str
) -> None:
    made = await service.create(ann, new(title, description=description))
    kept = await service.get(ann, made.id)
    assert (kept.title, kept.description) == (title.strip(), description)


async def test_the_default_clock_has_a_time_zone(database: Database, ann: Identity) -> None:
    made = await TodoService(database).create(ann, new())
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
    assert made.created_at.utcoffset() == timedelta(0)


def test_the_clock_of_these_tests(clock: Callable[[], datetime]) -> None:
    assert clock() == START + timedelta(seconds=1)

"""`backchannel db`: shows and changes the version of the tables, and asks before anything is lost."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, check_newest, versions
from backchannel.todo.tables import MIGRATIONS as TODO

pytestmark = pytest.mark.row("D3", "H4")

CORE_STEPS = [script.revision for script in CORE.scripts().walk_revisions()][::-1]
NEWEST = CORE_STEPS[-1]


@pytest.fixture
def stands(use_database: Callable[..., Any]) -> Callable[[str], list[str | None]]:
    """The versions of Backchannel's tables and of the todo assistant's in the database of an address."""

    async def look(database: Database) -> list[str | None]:
        return [each.current for each in await versions(database, TODO)]

    return lambda address: use_database(address, look)


@pytest.fixture
def tables(use_database: Callable[..., Any]) -> Callable[[str], Sequence[str]]:
    """The names of the tables in the database of an address."""

    async def look(database: Database) -> Sequence[str]:
        async with database.read() as connection:
            return await connection.run_sync(lambda sync: inspect(sync).get_table_names())

    return lambda address: use_database(address, look)


def lines(said: str) -> list[list[str]]:
    """What was printed, as the cells of each line."""
    return [re.split(r"\s{2,}", line.strip()) for line in said.splitlines()]


def test_the_way_up_and_down_again(
    database_url: str, command: Any, stands: Any, tables: Any, use_database: Any
):
    def db(*arguments: str, **options: Any) -> Any:
        return command("db", *arguments, database_url=database_url, **options)

    # An empty database; for a file, an empty one that is there.
    use_database(database_url, lambda database: database.check())
    shown = lines(db("current").out)
    assert shown[:3] == [
        ["TABLES", "VERSION", "NEWEST"], ["backchannel", "-", NEWEST], ["todo", "-", "0001"],
    ]  # fmt: skip
    assert ["backchannel 0001: Threads, items, attachments, feedback, runs and usage."] in shown
    assert ["todo 0001: Todos."] in shown
    assert {cells[2] for cells in lines(db("history").out)[1:]} == {"-"}
    assert not any(stands(database_url))

    ended = db("upgrade")
    assert ended.code == 0, ended
    assert f"backchannel: applied, at version {NEWEST}\n  0001: Threads, " in ended.out
    assert "todo: applied, at version 0001\n  0001: Todos.\n" in ended.out
    assert stands(database_url) == [NEWEST, "0001"]
    use_database(database_url, lambda database: check_newest(database, TODO))
    assert (
        db("upgrade").out
        == f"backchannel: nothing to do, at version {NEWEST}\ntodo: nothing to do, at version 0001\n"
    )
    assert lines(db("current").out)[1:] == [["backchannel", NEWEST, NEWEST], ["todo", "0001", "0001"]]
    shown = lines(db("history").out)
    assert [cells[:3] for cells in shown[1:]] == [
        *(["backchannel", step, "applied"] for step in CORE_STEPS), ["todo", "0001", "applied"],
    ]  # fmt: skip
    assert all(cells[3] for cells in shown)

    ended = db("downgrade", "0001", "--yes")
    assert ended.code == 0, ended
    assert "What they added is lost" in ended.out
    assert f"\n  {NEWEST}: " in ended.out
    assert "\n  0001: " not in ended.out
    assert stands(database_url) == ["0001", "0001"]
    assert [cells[2] for cells in lines(db("history").out)[1:3]] == ["applied", "-"]
    ended = db("downgrade", "base", "--tables", "todo", "--yes")
    assert "All tables of the set go: todos." in ended.out
    assert stands(database_url) == ["0001", None]
    assert "todos" not in tables(database_url)
    assert db("upgrade").code == 0
    assert stands(database_url) == [NEWEST, "0001"]


@pytest.fixture
def upgraded(tmp_path: Path, command: Any) -> str:
    """The address of a database file with the newest tables."""
    address = f"sqlite:///{tmp_path / 'chat.db'}"
    assert command("db", "upgrade", database_url=address).code == 0
    return address


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yesterday\n"])
def test_without_a_yes_nothing_is_taken_back(upgraded: str, command: Any, stands: Any, answer: str):
    ended = command("db", "downgrade", "0001", database_url=upgraded, typed=answer)
    assert ended.code == 1
    assert ended.out.endswith("Nothing was changed.\n")
    assert stands(upgraded) == [NEWEST, "0001"]


def test_with_a_yes_it_is(upgraded: str, command: Any, stands: Any):
    assert command("db", "downgrade", "0001", database_url=upgraded, typed="y\n").code == 0
    assert stands(upgraded) == ["0001", "0001"]


def test_what_cannot_be_taken_back_is_one_line_and_changes_nothing(upgraded: str, command: Any, stands: Any):
    for arguments, says in (
        (["0001"], "--yes"),
        (
            ["7777", "--yes"],
            f"are at version {NEWEST} and can be taken back to base, 0001, 0002, 0003, 0004, 0005, 0006, not to '7777'",
        ),
        (["head", "--yes"], "not to 'head'"),
        (["0", "--yes"], "not to '0'"),
        (["0001", "--tables", "shop", "--yes"], "no 'shop' tables; --tables is one of backchannel, todo"),
        (["0002", "--tables", "todo", "--yes"], "The todo tables are at version 0001"),
    ):
        assert says in command("db", "downgrade", *arguments, database_url=upgraded).refusal, arguments
        assert stands(upgraded) == [NEWEST, "0001"]
    ended = command("db", "downgrade", NEWEST, database_url=upgraded)
    assert (ended.code, ended.out) == (0, f"backchannel: nothing to do, at version {NEWEST}\n")


@pytest.mark.parametrize("what", [["current"], ["history"], ["downgrade", "base", "--yes"]])
def test_a_database_that_is_not_there_is_not_made(command: Any, what: list[str]):
    refusal = command("db", *what, database_url="sqlite:///data/none.db").refusal
    assert "there is no database at data/none.db" in refusal
    assert "`backchannel db upgrade`" in refusal
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("what", [["current"], ["history"], ["upgrade"], ["downgrade", "base", "--yes"]])
def test_a_database_that_cannot_be_used_is_one_line(
    command: Any, tmp_path: Path, what: list[str], upgraded: str, use_database: Any
):
    (tmp_path / "notes.db").write_text("These are my notes. " * 200)
    for address, says in (
        (f"sqlite:///{tmp_path / 'notes.db'}", "file is not a database"),
        ("postgresql://ann:hunter2@127.0.0.1:1/db", "cannot be used"),
        ("oracle://ann:hunter2@h/db", "oracle is not supported"),
    ):
        refusal = command("db", *what, database_url=address).refusal
        assert refusal.startswith("BACKCHANNEL_DATABASE_URL")
        assert says in refusal
        assert "hunter2" not in refusal
    assert "BACKCHANNEL_AUTH" in command("db", *what, env="production").refusal
    assert "'nowhere:it'" in command("db", *what, "--target", "nowhere:it", database_url=upgraded).refusal

    async def of_tomorrow(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(text("UPDATE backchannel_version SET version_num = '9999'"))

    use_database(upgraded, of_tomorrow)
    assert "is at version 9999" in command("db", *what, database_url=upgraded).refusal
    assert (tmp_path / "notes.db").read_text().startswith("These are my notes.")


def test_a_target_without_tables_of_its_own(command: Any, upgraded: str):
    Path("plain_target_of_test.py").write_text("from agents import Agent\nagent = Agent(name='A')\n")
    ended = command("db", "current", "--target", "plain_target_of_test:agent", database_url=upgraded)
    assert lines(ended.out)[1:] == [["backchannel", NEWEST, NEWEST]]

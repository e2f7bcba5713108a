"""SQLite without needless trips to its thread, and with one transaction at a time where there is one connection."""

import asyncio
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backchannel.errors import UnavailableError
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.dialects.sqlite_connection import OneHopConnection, connect
from backchannel.stores.sql.engine import Database

pytestmark = pytest.mark.row("D2")

INSERT = text("INSERT INTO words VALUES (:word)")
WORDS = text("SELECT word FROM words ORDER BY word")


@pytest.fixture(params=["file", "memory"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Database]:
    where = f"/{tmp_path / 'words.db'}" if request.param == "file" else ""
    database = Database(f"sqlite://{where}", PoolOptions(size=2, overflow=0, timeout=0.3))
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE words (word TEXT PRIMARY KEY)"))
    yield database
    await database.close()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is done on connections' threads from now on."""
    made: list[str] = []
    execute: Any = OneHopConnection._execute

    async def noted(self: OneHopConnection, work: Any, *arguments: Any) -> Any:
        made.append(work.__name__)
        return await execute(self, work, *arguments)

    monkeypatch.setattr(OneHopConnection, "_execute", noted)
    return made


async def words(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(WORDS)).scalars())


async def test_a_statement_is_one_trip(database: Database, trips: list[str]):
    assert await words(database) == []
    assert trips == ["_with_cursor"]
    trips.clear()
    async with database.write() as connection:
        await connection.execute(INSERT, [{"word": "one"}, {"word": "two"}])
        assert list((await connection.execute(WORDS)).scalars()) == ["one", "two"]
    # BEGIN goes with the first one.
    assert trips == ["_with_cursor", "_with_cursor", "commit"]


async def test_a_transaction_of_nothing_is_no_trip(database: Database, trips: list[str]):
    async with database.write():
        pass
    assert trips == []
    # Nor does it leave anything for the next one that uses the connection.
    assert await words(database) == []
    async with database.write() as connection:
        await connection.execute(INSERT, {"word": "one"})
    assert await words(database) == ["one"]


async def test_what_is_executed_many_times_goes_with_the_next_statement_or_the_commit(
    database: Database, trips: list[str]
):
    many = "INSERT INTO words VALUES (?)"
    async with database.write() as connection:
        await database.dialect.execute_many(connection, many, [("one",), ("two",)])
        assert trips == []
        assert list((await connection.execute(WORDS)).scalars()) == ["one", "two"]
        await database.dialect.execute_many(connection, many, [("three",)])
    assert trips == ["_with_cursor", "_with_cursor"]
    assert await words(database) == ["one", "three", "two"]


@pytest.mark.parametrize("asks", [True, False], ids=["next statement", "commit"])
async def test_what_fails_later_takes_back_the_whole_transaction(database: Database, asks: bool):
    async def twice() -> None:
        async with database.write() as connection:
            await connection.execute(INSERT, {"word": "one"})
            rows = [("two",), ("two",)]
            await database.dialect.execute_many(connection, "INSERT INTO words VALUES (?)", rows)
            if asks:
                await connection.execute(WORDS)

    with pytest.raises(IntegrityError):
        await twice()
    assert await words(database) == []
    await _write_one(database)
    assert await words(database) == ["one"]


async def test_who_writes_has_the_lock_from_his_first_statement(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'words.db'}", PoolOptions(statement_timeout=0.05))
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE words (word TEXT PRIMARY KEY)"))
    async with database.write() as connection:
        assert list((await connection.execute(WORDS)).scalars()) == []
        with pytest.raises(UnavailableError):
            await asyncio.create_task(_write_one(database))
        assert list((await connection.execute(WORDS)).scalars()) == []
    await _write_one(database)
    assert await words(database) == ["one"]
    await database.close()


async def _write_one(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(INSERT, {"word": "one"})


async def test_what_a_statement_says_of_itself_is_there(database: Database):
    async with database.write() as connection:
        many = await connection.execute(INSERT, [{"word": "one"}, {"word": "two"}])
        assert many.rowcount == 2
        one = await connection.execute(INSERT, {"word": "three"})
        assert (one.rowcount, one.lastrowid) == (1, 3)
        gone = await connection.execute(text("DELETE FROM words WHERE word <> 'one' RETURNING word"))
        assert (list(gone.keys()), gone.rowcount) == (["word"], 2)
        assert set(gone.scalars()) == {"two", "three"}
    assert await words(database) == ["one"]


async def test_what_is_not_committed_is_rolled_back(database: Database):
    async def twice() -> None:
        async with database.write() as connection:
            await connection.execute(INSERT, {"word": "one"})
            await connection.execute(INSERT, {"word": "one"})

    with pytest.raises(IntegrityError):
        await twice()
    assert await words(database) == []
    async with database.write() as connection:
        await connection.execute(INSERT, {"word": "one"})
    assert await words(database) == ["one"]


async def test_who_reads_disturbs_no_transaction(database: Database):
    began, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(INSERT, {"word": "one"})
            began.set()
            await go_on.wait()
            await connection.execute(INSERT, {"word": "two"})

    writing = asyncio.create_task(write())
    await began.wait()
    reading = asyncio.create_task(words(database))
    if not database.in_memory:
        assert await reading == []
    go_on.set()
    await writing
    assert await reading == ([] if not database.in_memory else ["one", "two"])
    assert await words(database) == ["one", "two"]


async def test_who_waits_too_long_for_the_one_connection_is_told():
    database = Database("sqlite://", PoolOptions(size=9, overflow=9, timeout=0.05))
    async with database.read():
        with pytest.raises(UnavailableError, match="busy"):
            await asyncio.create_task(words(database))
    await database.check()
    await database.close()


async def test_a_closed_connection_says_so(tmp_path: Path):
    connection = await connect(str(tmp_path / "closed.db"))
    cursor = connection.cursor()
    await cursor.execute("SELECT 1")
    assert await cursor.fetchall() == [(1,)]
    assert await cursor.fetchall() == ()
    with pytest.raises(sqlite3.OperationalError):
        await cursor.execute("SELECT nothing")
    await connection.close()
    with pytest.raises(ValueError, match="closed"):
        await cursor.execute("SELECT 1")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections that are opened from now on; they may be used by any thread."""
    made: list[sqlite3.Connection] = []
    connect_to = sqlite3.connect

    def opening(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made.append(connect_to(*arguments, **options | {"check_same_thread": False}))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", opening)
    return made


async def test_a_connection_whose_caller_is_cancelled_while_it_opens_is_closed(
    monkeypatch: pytest.MonkeyPatch, opened: list[sqlite3.Connection]
):
    """It stayed open until it was collected as garbage."""
    opening, go_on, connect_to = threading.Event(), threading.Event(), sqlite3.connect
    threads: list[threading.Thread] = []

    def open_slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        threads.append(threading.current_thread())
        opening.set()
        go_on.wait(10)
        return connect_to(*arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", open_slowly)
    connecting = asyncio.create_task(connect(":memory:"))
    assert await asyncio.to_thread(opening.wait, 10)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    go_on.set()
    await asyncio.to_thread(threads[0].join, 10)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


async def test_a_caller_who_is_cancelled_twice_leaves_nothing_that_never_ends(tmp_path: Path):
    """SQLAlchemy closes the connection of a cancelled caller in a task, and stops it if the caller is cancelled once
    more. The task waited for ever, and with it the end of the event loop: a server did not end
    (wapiti-scanner/wapiti#802)."""
    database = Database(f"sqlite:///{tmp_path / 'words.db'}", PoolOptions(size=1, overflow=0))
    running, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        may_end.wait(10)

    async def caller() -> None:
        async with database.read() as connection:
            raw = await connection.get_raw_connection()
            await raw.driver_connection.create_function("hold", 0, hold)
            await connection.execute(text("SELECT hold()"))

    others = asyncio.all_tasks()
    cancelled = asyncio.create_task(caller())
    try:
        await asyncio.to_thread(running.wait, 10)
        cancelled.cancel()
        async with asyncio.timeout(5):
            while not (closing := asyncio.all_tasks() - others - {cancelled}):  # noqa: ASYNC110 - of SQLAlchemy
                await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
    finally:
        may_end.set()
    _, endless = await asyncio.wait({cancelled, *closing}, timeout=5)
    for task in endless:
        task.cancel()
    assert not endless
    await database.close()


async def test_a_connection_that_cannot_be_prepared_is_closed(
    opened: list[sqlite3.Connection], tmp_path: Path
):
    """liujuanjuan1984/codex-a2a#356: the pool did not have it yet."""
    file = tmp_path / "letter.db"
    file.write_text("Dear database, " * 100, encoding="utf-8")
    database = Database(f"sqlite:///{file}")
    with pytest.raises(UnavailableError):
        async with database.read():
            pass
    await database.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


@pytest.mark.row("R12")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
async def test_other_users_of_the_machine_cannot_read_the_files(tmp_path: Path):
    file = tmp_path / "data" / "new.db"
    before = os.umask(0o022)
    database = Database(f"sqlite:///{file}")
    try:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE words (word TEXT PRIMARY KEY)"))
        found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
        assert found == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)
        await database.close()


@pytest.mark.row("R12")
async def test_the_mode_that_an_operator_gave_a_file_stays(tmp_path: Path):
    file = tmp_path / "shared.db"
    file.touch()
    file.chmod(0o660)
    database = Database(f"sqlite:///{file}")
    await database.check()
    await database.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o660


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection that is about to write to a new file.

    SQLite does not wait for this lock when it converts the file to a write-ahead log (russellromney/honker#102).
    """
    writer = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.close()


async def test_a_new_file_that_another_connection_writes_is_waited_for(
    tmp_path: Path, writer: sqlite3.Connection
):
    opening = asyncio.create_task(connect(str(tmp_path / "new.db"), timeout=10))
    done, _ = await asyncio.wait({opening}, timeout=0.2)
    assert not done
    writer.execute("COMMIT")
    connection = await opening
    cursor = connection.cursor()
    await cursor.execute("PRAGMA journal_mode")
    assert await cursor.fetchall() == [("wal",)]
    await connection.close()


@pytest.mark.usefixtures("writer")
async def test_the_wait_for_a_file_that_another_connection_writes_ends(tmp_path: Path):
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await connect(str(tmp_path / "new.db"), timeout=0.1)

"""Transactions, the pool, and what happens when the database does not play along (D2)."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from backchannel.errors import BackchannelError, ConfigurationError, UnavailableError
from backchannel.retry import CONFLICT, Backoff
from backchannel.stores.sql import pre_ping, transactions
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database, TransactionAbortedError
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.transactions import MAX_TRIES, retry_transaction, retryable
from backchannel.testing.contracts.store import ADA, a_thread, assistant_message, texts
from databases import SERVERS, database_with_tables, empty_database

pytestmark = pytest.mark.row("D2")


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """A database with Backchannel's tables, on each server in turn."""
    with database_with_tables(request.param, tmp_path) as url:
        yield url


@pytest.fixture
async def server(server_url: str) -> AsyncGenerator[Database]:
    """A database on a server, with Backchannel's tables and two connections at most."""
    database = Database(server_url, PoolOptions(size=2, overflow=0, timeout=0.2))
    yield database
    await database.close()


@pytest.fixture
def kill(server: Database) -> Callable[[Database], object]:
    """Ends every other connection of a database, as its restart does."""

    async def kill(database: Database) -> None:
        killer = Database(database.url.render_as_string(hide_password=False), PoolOptions(size=1, overflow=0))
        async with killer.write() as connection:
            if database.dialect.name == "postgresql":
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            else:
                ids = await connection.execute(
                    text(
                        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
                    )
                )
                for (number,) in ids.all():
                    await connection.execute(text(f"KILL {number}"))
        await killer.close()

    return kill


async def test_a_pool_in_use_is_said_at_once_and_not_waited_for(server: Database):
    async with server.read(), server.read():
        with pytest.raises(UnavailableError, match="every connection") as caught:
            async with server.read():
                pass
    assert caught.value.retry_after
    assert not isinstance(caught.value, TransactionAbortedError)
    await server.check()


async def test_connections_that_ended_while_idle_are_not_noticed(
    server: Database, kill, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pre_ping, "IDLE_SECONDS", 0)
    async with server.read(), server.read():
        pass
    await kill(server)
    await server.check()
    async with server.write() as connection:
        await connection.execute(text("SELECT 1"))


async def test_connections_that_ended_right_after_their_use_are_found_out_by_using_them(
    server: Database, kill
):
    store = SqlStore(server)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    await kill(server)
    assert (await store.load_thread(thread.id, ADA)).id == thread.id


@pytest.mark.row("R3")
async def test_connections_that_cannot_write_any_more_are_given_up(server: Database):
    """gpustack/gpustack#6105, sidorares/node-mysql2#2050: those to the former primary answer pings and refuse writes."""
    only_reads = {
        "postgresql": "SET SESSION default_transaction_read_only = on",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
    }
    store = SqlStore(server)
    thread = a_thread(store)
    async with server.read() as one, server.read() as two:
        for connection in (one, two):
            await connection.execute(text(only_reads[server.dialect.name]))
    await store.save_thread(thread, ADA)
    async with server.read() as one, server.read() as two:
        for connection in (one, two):
            await connection.execute(text("DELETE FROM replicas WHERE 1 = 0"))
    assert (await store.load_thread(thread.id, ADA)).id == thread.id


async def test_a_connection_is_asked_for_a_sign_of_life_only_when_it_was_idle(
    server: Database, monkeypatch: pytest.MonkeyPatch
):
    dialect: Any = server.engine.dialect
    asked: list[object] = []
    ping = dialect.do_ping
    monkeypatch.setattr(dialect, "do_ping", lambda connection: asked.append(connection) or ping(connection))
    monkeypatch.setattr(pre_ping, "IDLE_SECONDS", 3600)
    for _ in range(3):
        await server.check()
    assert asked == []
    monkeypatch.setattr(pre_ping, "IDLE_SECONDS", 0)
    for _ in range(3):
        await server.check()
    assert len(asked) == 3


async def test_a_connection_that_ends_in_a_transaction_is_repeated(server: Database, kill):
    store = SqlStore(server)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        await store.add_thread_item(thread.id, assistant_message(store, thread, "once"), ADA)
        if tries == 1:
            await kill(server)
        await store.add_thread_item(thread.id, assistant_message(store, thread, "twice"), ADA)

    await store.atomically(work)
    assert tries == 2
    assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == ["once", "twice"]


async def test_a_deadlock_is_repeated_and_loses_nothing(server: Database):
    store = SqlStore(server)
    first, second = a_thread(store), a_thread(store)
    for thread in (first, second):
        await store.save_thread(thread, ADA)
    met = asyncio.Barrier(2)

    async def write_both(one, other) -> int:
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            await store.add_thread_item(one.id, assistant_message(store, one, f"first of {one.id}"), ADA)
            if tries == 1:
                await met.wait()
            await store.add_thread_item(other.id, assistant_message(store, other, f"second of {one.id}"), ADA)

        await store.atomically(work)
        return tries

    async with asyncio.timeout(30):
        tries = await asyncio.gather(write_both(first, second), write_both(second, first))
    assert sorted(tries) == [1, 2]
    for thread in (first, second):
        assert len((await store.load_thread_items(thread.id, None, 10, "asc", ADA)).data) == 2


async def test_a_commit_of_which_nobody_knows_is_repeated_only_where_that_is_safe(server: Database):
    class Once:
        def __init__(self) -> None:
            self.database = server
            self.calls = 0

        @retryable
        async def work(self) -> int:
            self.calls += 1
            if self.calls == 1:
                lost = TransactionAbortedError("gone")
                lost.commit_unknown = True
                raise lost
            return self.calls

    assert await Once().work() == 2

    async def unclear() -> None:
        lost = TransactionAbortedError("gone")
        lost.commit_unknown = True
        raise lost

    with pytest.raises(TransactionAbortedError):
        await retry_transaction(server, unclear, retry_unknown=False)


async def test_what_is_repeated_inside_what_is_repeated_is_not_tried_seven_times_seven(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transactions, "CONFLICT", Backoff(initial=0.001, maximum=0.001))

    class Nested:
        def __init__(self) -> None:
            self.database = database
            self.calls = 0

        @retryable
        async def outer(self) -> None:
            await self.inner()

        @retryable
        async def inner(self) -> None:
            self.calls += 1
            raise TransactionAbortedError("no")

    nested = Nested()
    with pytest.raises(TransactionAbortedError):
        await nested.outer()
    assert nested.calls == MAX_TRIES


async def test_what_is_written_together_is_kept_together_or_not_at_all(database: Database):
    store = SqlStore(database)
    thread = a_thread(store)

    async def half() -> None:
        await store.save_thread(thread, ADA)
        await store.add_thread_item(thread.id, assistant_message(store, thread, "seen inside"), ADA)
        page = await store.load_thread_items(thread.id, None, 10, "asc", ADA)
        assert texts(page) == ["seen inside"]
        raise LookupError

    with pytest.raises(LookupError):
        await store.atomically(half)
    assert (await store.load_threads(10, None, "desc", ADA)).data == []
    assert not (await store.search_threads("seen", 10, ADA)).hits

    async def whole() -> str:
        await store.save_thread(thread, ADA)
        return await store.atomically(lambda: asyncio.sleep(0, "nested"))

    assert await store.atomically(whole) == "nested"
    assert len((await store.load_threads(10, None, "desc", ADA)).data) == 1


async def test_another_task_is_not_part_of_the_transaction(server: Database):
    async with server.transaction():
        assert server.in_transaction

        async def elsewhere() -> bool:
            await server.check()
            return server.in_transaction

        assert await asyncio.create_task(elsewhere()) is False
    assert not server.in_transaction


async def test_an_error_of_the_callers_own_is_theirs(database: Database):
    for error in (OSError("disk"), RuntimeError("x")):
        with pytest.raises(type(error)) as caught:
            async with database.write():
                raise error
        assert caught.value is error


async def test_giving_up_takes_about_two_seconds(server: Database):
    assert 1 < sum(min(CONFLICT.initial * 2**n, CONFLICT.maximum) for n in range(MAX_TRIES - 1)) < 3
    calls = 0

    async def never() -> None:
        nonlocal calls
        calls += 1
        raise TransactionAbortedError("no")

    with pytest.raises(TransactionAbortedError):
        await retry_transaction(server, never)
    assert calls == MAX_TRIES


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not a database URL"),
        ("nonsense", "not a database URL"),
        ("oracle://x", "not supported"),
        ("sqlite:////proc/none/x.db", "cannot be made"),
        ("sqlite://data/x.db", "three slashes"),
        ("postgresql://ann:hunter2@h/db?sslmode=maybe", "sslmode=maybe"),
        ("postgresql://ann:hunter2@h/db?channel_binding=require", "channel_binding"),
        ("mysql://ann:hunter2@h/db?charset=latin1", "latin1"),
        ("mysql://ann:hunter2@h", "name of the database"),
    ],
)
def test_a_database_that_cannot_be_served_is_named(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as error:
        Database(url)
    assert "BACKCHANNEL_DATABASE_URL" in error.value.message
    assert "\n" not in error.value.message
    assert "hunter2" not in error.value.message


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://a@h/db", "postgresql+asyncpg"),
        ("postgresql://a@h/db?sslmode=require&application_name=x", "postgresql+asyncpg"),
        ("postgresql+psycopg://a@h/db", "postgresql+asyncpg"),
        ("mysql://a@h/db", "mysql+asyncmy"),
        ("mariadb://a@h/db?charset=utf8mb4", "mysql+asyncmy"),
        ("mysql+pymysql://a@h/db", "mysql+asyncmy"),
        ("sqlite://", "sqlite+aiosqlite"),
    ],
)
def test_the_driver_is_ours_to_choose(given: str, driver: str) -> None:
    assert Database(given).url.drivername == driver


@pytest.mark.parametrize(
    ("kind", "query", "asks", "expected"),
    [
        ("postgresql", "sslmode=disable&application_name=mine", "SHOW application_name", "mine"),
        ("postgresql", "timezone=Asia/Tokyo", "SHOW timezone", "Asia/Tokyo"),
        ("postgresql", "", "SHOW application_name", "backchannel"),
        ("postgresql", "prepared_statement_cache_size=0&statement_cache_size=0", "SELECT 1", 1),
        ("mariadb", "charset=utf8mb4", "SELECT @@character_set_client", "utf8mb4"),
        ("mariadb", "", "SELECT @@tx_isolation", "READ-COMMITTED"),
    ],
)
async def test_parameters_of_the_url_reach_the_server(
    tmp_path: Path, kind: str, query: str, asks: str, expected: object
) -> None:
    with empty_database(kind, tmp_path) as url:
        database = Database(f"{url.partition('?')[0]}?{query}")
        await upgrade(database)
        async with database.write() as connection:
            assert (await connection.execute(text(asks))).scalar_one() == expected
        await database.close()


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_is_not_there_is_said_in_one_line(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    scheme = "postgresql" if kind == "postgresql" else "mysql"
    database = Database(f"{scheme}://ann:hunter2@127.0.0.1:{port}/db")
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        await upgrade(database)
    assert "\n" not in caught.value.message
    assert "hunter2" not in caught.value.message
    with pytest.raises(BackchannelError) as unreachable:
        await database.check()
    assert unreachable.value.status == 503
    await database.close()


async def test_a_database_or_user_that_does_not_exist_is_said_in_one_line(server: Database) -> None:
    for missing in (
        server.url.set(database="no_such_database"),
        server.url.set(username="nobody_such", password="x"),
    ):
        database = Database(missing.render_as_string(hide_password=False))
        with pytest.raises(ConfigurationError, match="BACKCHANNEL_DATABASE_URL") as caught:
            await upgrade(database)
        assert "\n" not in caught.value.message
        await database.close()


async def test_what_people_write_is_not_in_errors(server: Database) -> None:
    with pytest.raises(Exception, match="no_such_table") as caught:
        async with server.write() as connection:
            await connection.execute(
                text("INSERT INTO no_such_table VALUES (:secret)"), {"secret": "my diary"}
            )
    assert "my diary" not in str(caught.value)

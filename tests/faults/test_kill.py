"""`kill -9` while a hundred messages are taken in and answered: what was accepted is there, and nothing by halves.

What must hold afterwards: every message that was accepted is kept, with its thread and the run that answers it;
no thread is empty, no run is without its message; every answer that counts as completed is there; what can be
found is exactly what was said.
"""

import json
import os
import random
import re
import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from backchannel.context import Identity
from backchannel.stores.run_states import ACTIVE
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from processes import Process, until

pytestmark = pytest.mark.row("H1", "D2")

TURNS = 90
"""Each is four transactions: the message with its run, the title, the answer, the end of the run."""
KILLS = 3
CHILD_SECONDS = 120
SEED = 20261122
TESTS = str(Path(__file__).parents[1])
THREAD_ID = re.compile(r"thr_[0-9a-f]{32}")


class Writer:
    """The process that is killed.

    Args:
        folder: For its logs.
        turns: How many messages it accepts before it ends.
    """

    def __init__(self, url: str, folder: Path, turns: int) -> None:
        self._url = url
        self._folder = folder
        self._turns = turns
        self._starts = 0
        self.accepted: list[str] = []

    async def run(self, *, kill_after: int | None) -> bool:
        """Let it work until it has accepted so many messages or is through; whether it is through."""
        self._starts += 1
        process = Process(self._folder / f"writer-{self._turns}-{self._starts}.log")
        environment = {**os.environ, "PYTHONPATH": TESTS, "PYTHONUNBUFFERED": "1"}
        process.fork([self._url, str(self._turns)], environment, module="faults.writer")

        def accepted() -> list[str]:
            return [line for line in process.told().splitlines() if THREAD_ID.fullmatch(line)]

        if kill_after is not None:
            await until(
                lambda: len(accepted()) >= kill_after or not process.alive, "it accepts", CHILD_SECONDS
            )
            if process.alive:
                process.signal(signal.SIGKILL)
        code = await process.ended(CHILD_SECONDS)
        assert code in {0, -signal.SIGKILL}, process.told()[-3000:]
        self.accepted += accepted()
        return code == 0


async def rows(database: Database, columns: str, table: str) -> list[tuple]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(text(f"SELECT {columns} FROM {table}"))]


async def check(database: Database, accepted: list[str]) -> int:
    threads = {
        thread: (last, title)
        for thread, last, title in await rows(database, "id, last_seq, title", "threads")
    }
    items = await rows(database, "thread_id, seq, id, type, data", "items")
    runs = dict(await rows(database, "thread_id, status", "runs"))
    assert set(accepted) <= set(threads), "an accepted message is lost"
    asked = {thread for thread, _, _, kind, _ in items if kind == "user_message"}
    answered = {thread for thread, _, _, kind, _ in items if kind == "assistant_message"}
    assert asked == set(threads), "a thread without its message, or a message without its thread"
    assert set(runs) == set(threads), "a message without its run, or a run without its message"
    assert {thread for thread, status in runs.items() if status == "completed"} <= answered
    for thread, seq, item_id, _, data in items:
        assert 1 <= seq <= threads[thread][0]
        assert json.loads(data)["id"] == item_id
    assert len({(thread, seq) for thread, seq, *_ in items}) == len(items)
    said = {
        (thread, item_id)
        for thread, _, item_id, kind, _ in items
        if kind in {"user_message", "assistant_message"}
    }
    titled = {(thread, "") for thread, (_, title) in threads.items() if title}
    assert set(await rows(database, "thread_id, item_id", "search_entries")) == said | titled
    return len(threads)


async def test_kill_9_during_hundreds_of_writes_leaves_no_half_written_turn(
    database_url: str, tmp_path: Path
):
    database = Database(database_url)
    await upgrade(database)
    chance = random.Random(SEED)
    writer = Writer(database_url, tmp_path, TURNS // KILLS)
    kept = 0
    for _ in range(KILLS):
        await writer.run(kill_after=chance.randint(TURNS // KILLS // 4, TURNS // KILLS - 1))
        now = await check(database, writer.accepted)
        assert now > kept
        kept = now
    assert await writer.run(kill_after=None)
    await check(database, writer.accepted)
    # Whoever comes last ends what the killed ones, and one that was in a hurry, left behind.
    assert await Writer(database_url, tmp_path, 0).run(kill_after=None)
    await check(database, writer.accepted)
    assert {status for _, status in await rows(database, "id, status", "runs")} == {"completed"}
    # And the store goes on as if nothing had been.
    store, identity = SqlStore(database), Identity("ada")
    thread = await store.load_thread(writer.accepted[0], identity)
    assert await SqlRuns(database).list_by_thread(thread.id, identity, status=ACTIVE, limit=10) == []
    assert (await store.search_threads("question", 5, identity)).has_more
    await database.close()

"""Retention runs beside the server: at its start, then now and then, whatever happens, until the end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from agents import Agent
from sqlalchemy import Table, select, update
from structlog.testing import capture_logs

from backchannel import retention as module
from backchannel.retention import INTERVAL_SECONDS, retention
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.personal import owned_tables
from backchannel.stores.sql.tables import threads
from backchannel.stores.times import utc_now
from backchannel.wiring import build
from people import ADA, talk

pytestmark = pytest.mark.row("H6")

WAIT_SECONDS = 20


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await holds():  # noqa: ASYNC110 - what a database says is no event
            await asyncio.sleep(0.005)


def running() -> bool:
    return any(task.get_name() == "retention" for task in asyncio.all_tasks())


async def old_and_young(database: Database) -> tuple[str, str]:
    """Two threads, one of 31 days ago."""
    old, young = await talk(database, ADA, 1), await talk(database, ADA, 1)
    then = utc_now() - timedelta(days=31)
    async with database.write() as connection:
        await connection.execute(update(threads).where(threads.c.id == old).values(updated_at=then))
    return old, young


async def kept(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(select(threads.c.id))).scalars())


async def test_what_is_old_goes_at_once(database: Database):
    _, young = await old_and_young(database)

    async def only_the_young() -> bool:
        return await kept(database) == [young]

    with capture_logs() as logs:
        async with retention(database, 30, owned_tables()):
            await eventually(only_the_young)

            async def told() -> bool:
                return bool(logs)

            await eventually(told)
    (line,) = logs
    assert (line["event"], line["days"]) == ("retention", 30)
    assert (line["deleted"]["threads"], line["deleted"]["items"]) == (1, 2)
    assert not running()


@pytest.mark.parametrize("days", [30, 32, None])
async def test_a_server_does_it_if_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int | None
):
    monkeypatch.chdir(tmp_path)
    backchannel = build(Settings.load(retention_days=days), Agent(name="A"))
    await upgrade(backchannel.database)
    old, young = await old_and_young(backchannel.database)
    expected = {young} if days == 30 else {old, young}

    async def swept() -> bool:
        return not days or any(line["event"] == "retention" for line in logs)

    with capture_logs() as logs:
        async with backchannel.running():
            assert running() == (days is not None)
            await eventually(swept)
            assert set(await kept(backchannel.database)) == expected
        assert not running()


class Sweeps:
    """Stands in for `delete_older`: does what it is told to, one sweep after the other, and then nothing."""

    def __init__(self, *what: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        self.begun: list[datetime] = []
        self.ages: list[timedelta] = []
        self.all_done = asyncio.Event()
        self._what = list(what)

    async def __call__(
        self, database: Database, before: datetime, *, tables: Sequence[Table]
    ) -> Mapping[str, int]:
        self.begun.append(utc_now())
        self.ages.append(utc_now() - before)
        if self._what:
            return await self._what.pop(0)()
        self.all_done.set()
        return {}


async def fails() -> Mapping[str, int]:
    raise OSError("no disk")


async def never_ends() -> Mapping[str, int]:
    await asyncio.Event().wait()
    return {}


@pytest.fixture
def unopened(tmp_path: Path) -> Database:
    """A database that nobody uses."""
    return Database(f"sqlite:///{tmp_path / 'unused.db'}")


async def test_a_sweep_that_fails_or_does_not_end_is_logged_and_followed_by_the_next(
    unopened: Database, monkeypatch: pytest.MonkeyPatch
):
    sweeps = Sweeps(fails, never_ends, fails)
    monkeypatch.setattr(module, "delete_older", sweeps)
    with capture_logs() as logs:
        async with retention(unopened, 7, [], interval=0.02), asyncio.timeout(WAIT_SECONDS):
            await sweeps.all_done.wait()
    said = [line["event"] for line in logs]
    assert said[:3] == ["retention_failed", "retention_unfinished", "retention_failed"]
    assert {(line["event"], line["log_level"]) for line in logs} >= {
        ("retention_failed", "error"),
        ("retention_unfinished", "warning"),
    }
    assert len(sweeps.begun) >= 4
    assert all(timedelta(days=7) <= age < timedelta(days=7, minutes=1) for age in sweeps.ages)
    pauses = [later - earlier for earlier, later in zip(sweeps.begun, sweeps.begun[1:], strict=False)]
    assert all(pause >= timedelta(seconds=0.019) for pause in pauses)


async def test_the_end_waits_for_a_sweep_to_be_given_up(unopened: Database, monkeypatch: pytest.MonkeyPatch):
    begun, tidied = asyncio.Event(), False

    async def slow() -> Mapping[str, int]:
        nonlocal tidied
        begun.set()
        try:
            return await never_ends()
        finally:
            # As a driver does when it is cancelled.
            await asyncio.sleep(0)
            tidied = True

    monkeypatch.setattr(module, "delete_older", Sweeps(slow))
    with capture_logs() as logs:
        async with retention(unopened, 7, []):
            await begun.wait()
    assert tidied
    assert not running()
    assert logs == []


async def test_an_error_in_the_block_is_the_blocks(unopened: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "delete_older", Sweeps(never_ends))
    with pytest.raises(LookupError):
        async with retention(unopened, 7, []):
            raise LookupError
    assert not running()


def test_it_is_done_every_hour():
    assert INTERVAL_SECONDS == 3600

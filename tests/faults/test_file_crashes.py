"""`kill -9` at every point of an upload and of a deletion: nothing stays for long, and nothing that is needed goes."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backchannel.context import Identity
from backchannel.faultpoints import FILE_POINTS
from backchannel.file_stores.locations import open_file_store
from backchannel.files import spool as spool_module
from backchannel.files.spool import Spool
from backchannel.files.sweeper import FileSweeper
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import UPLOADS_END, SqlFiles
from backchannel.stores.times import utc_now
from databases import copy_tables

pytestmark = pytest.mark.row("E2")

PROGRAM = """
import asyncio, os, signal, sys
from datetime import timedelta
from backchannel.context import Identity
from backchannel.faultpoints import observe
from backchannel.file_checks.examine import Examiner
from backchannel.file_checks.types import AllowedTypes
from backchannel.file_stores.locations import open_file_store
from backchannel.files.service import FileLimits, Files
from backchannel.files.spool import Spool
from backchannel.files.sweeper import FileSweeper
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles

def die(point):
    if point == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = Database(sys.argv[1])
    store, types = open_file_store(sys.argv[2]), AllowedTypes.parse("text/plain")
    limits = FileLimits(10**9, None, types, timedelta(hours=24), 60)
    examiner = Examiner(types, max_pixels=1, max_text_chars=10)
    spool = Spool(store.spool_directory, 10**9)
    files = Files(SqlFiles(database), store, examiner, None, spool, limits)
    async with spool.open() as spooled:
        await spooled.write(b"hello " * 100_000)
        await spooled.flush()
        observe(die)
        record = await files.receive(Identity("ann"), spooled, "a.txt", "text/plain")
    await files.delete(record.id, Identity("ann"))
    await FileSweeper(files.records, store, spool).sweep()

asyncio.run(main())
"""


def on_disk(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def crashed_at(point: str, tmp_path: Path) -> tuple[Database, Path]:
    folder = tmp_path / point
    folder.mkdir()
    copy_tables(folder / "chat.db")
    url = f"sqlite:///{folder / 'chat.db'}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, url, (folder / "files").as_uri(), point, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == -9, errors.decode()
    return Database(url), folder / "files"


async def test_a_crash_leaves_nothing_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for some in (FILE_POINTS[:4], FILE_POINTS[4:]):
        left = await asyncio.gather(*(crashed_at(point, tmp_path) for point in some))
        for point, (database, folder) in zip(some, left, strict=True):
            await _check(point, database, folder, monkeypatch)
            await database.close()


async def _check(point: str, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records, store = SqlFiles(database), open_file_store(folder.as_uri())
    spool = Spool(folder / ".spool", 1)
    sweeper = FileSweeper(records, store, spool)
    before = await records.used(Identity("ann"))
    await sweeper.sweep()
    if point == "file.stored":
        # It is complete: only its person does not know.
        assert before == 600_000
        assert len(on_disk(folder)) == 2
    # After a day, nothing of it is there: the clock of the rows, and that of the spool's files, go on.
    now = utc_now() + timedelta(days=2) + UPLOADS_END
    await _sweep_at(now, sweeper, monkeypatch)
    await _sweep_at(now + UPLOADS_END + timedelta(minutes=1), sweeper, monkeypatch)
    with monkeypatch.context() as clock:
        clock.setattr(spool_module, "LEFT_OVER_SECONDS", -60)
        await spool.delete_left_over()
    assert on_disk(folder) == [], point
    assert await records.used(Identity("ann")) == 0
    assert not await records.has_deletions()
    await store.aclose()


async def _sweep_at(now: Any, sweeper: FileSweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as clock:
        clock.setattr("backchannel.files.sweeper.utc_now", lambda: now)
        await sweeper.sweep()

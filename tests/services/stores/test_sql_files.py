"""Files in a database: quotas are exact, only their owner sees them, and no row goes without a note of its bytes."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from backchannel.context import Identity
from backchannel.ids import new_id
from backchannel.stores.file_records import FileRecord, QuotaExceededError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import RETRY_DELETION, UPLOADS_END, SqlFiles
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.stores.sql.personal.retention import delete_older
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import file_deletions
from backchannel.stores.times import utc_now
from people import ADA, OTHERS

pytestmark = pytest.mark.row("E2", "E4")


@pytest.fixture
def database(todo_database: Database) -> Database:
    return todo_database


@pytest.fixture
def files(database: Database) -> SqlFiles:
    return SqlFiles(database)


def pending(identity: Identity = ADA, size: int = 10, expires_at: datetime | None = None) -> FileRecord:
    now = utc_now()
    return FileRecord(
        id=new_id("attachment"),
        identity=Identity(identity.user, tenant=identity.tenant),
        status="pending",
        name="naïve 文件.txt",
        mime_type="text/plain",
        kind="binary",
        size=size,
        created_at=now,
        expires_at=expires_at or now + timedelta(hours=1),
    )


async def stored(files: SqlFiles, identity: Identity = ADA, size: int = 10) -> FileRecord:
    record = pending(identity, size)
    await files.add(record, None)
    record = replace(record, status="stored", kind="text", version="v1", model_type="text/plain", tokens=3)
    assert await files.complete(record)
    return record


async def scheduled(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(select(file_deletions.c.id))).scalars())


async def test_a_file_comes_back_as_it_was_stored(files: SqlFiles):
    record = await stored(files)
    assert await files.load(record.id, ADA) == record
    assert await files.find(record.id) == record
    assert not await files.complete(replace(record, version="v2")), "it has its bytes already"
    assert await files.find(record.id) == record


async def test_only_its_owner_sees_and_changes_a_file(files: SqlFiles):
    record = await stored(files)
    for other in OTHERS:
        assert await files.load(record.id, other) is None
        assert not await files.delete(record.id, other)
        assert not await files.mark_sent([record.id], "thr_1", other)
        assert not await files.complete(replace(record, identity=other, version="v3"))
        await files.extend([record.id], other, utc_now() + timedelta(days=9))
        assert await files.delete_by_thread("thr_1", other) == 0
        assert await files.used(other) == 0
    assert await files.load(record.id, ADA) == record


async def test_a_quota_is_exact_while_many_files_are_added_at_once(files: SqlFiles):
    other = await stored(files, OTHERS[0], size=50)
    results = await asyncio.gather(
        *(files.add(pending(size=10), 75) for _ in range(12)), return_exceptions=True
    )
    refused = [each for each in results if each is not None]
    assert len(refused) == 5
    assert all(isinstance(each, QuotaExceededError) and each.used == 70 for each in refused)
    assert await files.used(ADA) == 70
    assert await files.used(other.identity) == 50


async def test_room_comes_back_with_a_deletion(files: SqlFiles):
    record = pending(size=60)
    await files.add(record, 100)
    with pytest.raises(QuotaExceededError):
        await files.add(pending(size=60), 100)
    assert await files.delete(record.id, ADA)
    await files.add(pending(size=60), 100)


async def test_a_file_belongs_to_one_thread(files: SqlFiles, database: Database):
    first, second = await stored(files), await stored(files)
    unready = pending()
    await files.add(unready, None)
    assert await files.mark_sent([first.id, second.id, unready.id], "thr_1", ADA) == 2
    assert await files.mark_sent([first.id], "thr_1", ADA) == 1, "a message that is sent again"
    assert await files.mark_sent([first.id], "thr_2", ADA) == 0
    assert not await files.delete(first.id, ADA), "it is part of a message"
    sent = await files.load(first.id, ADA)
    assert sent is not None
    assert (sent.status, sent.thread_id, sent.expires_at) == ("sent", "thr_1", None)
    assert await files.delete_by_thread("thr_1", ADA) == 2
    assert await scheduled(database) == {first.id, second.id}


async def test_a_message_that_is_not_stored_leaves_its_files_unsent(files: SqlFiles, database: Database):
    record = await stored(files)

    async def fail_to_store() -> None:
        async with database.transaction():
            await files.mark_sent([record.id], "thr_1", ADA)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_to_store()
    assert await files.load(record.id, ADA) == record


async def test_what_was_never_sent_is_deleted_after_a_while(files: SqlFiles, database: Database):
    now = utc_now()
    old, young = pending(expires_at=now - timedelta(seconds=1)), pending()
    sent = await stored(files)
    for each in (old, young):
        await files.add(each, None)
    await files.mark_sent([sent.id], "thr_1", ADA)
    assert await files.delete_expired(now, 10) == 1
    assert await files.load(old.id, ADA) is None
    assert await scheduled(database) == {old.id}
    assert await files.delete_expired(now + timedelta(days=400), 10) == 1, (
        "the young one, and none that was sent"
    )


async def test_a_waiting_message_keeps_its_files(files: SqlFiles):
    record = await stored(files)
    later = utc_now() + timedelta(days=2)
    await files.extend([record.id], ADA, later)
    await files.extend([record.id], ADA, later - timedelta(days=1))
    assert await files.delete_expired(later - timedelta(seconds=1), 10) == 0


async def test_bytes_are_deleted_once_more_when_no_upload_can_be_in_progress(
    files: SqlFiles, database: Database
):
    record = await stored(files)
    await files.delete(record.id, ADA)
    now = utc_now()
    assert list(await files.due_deletions(now, 10)) == [record.id]
    assert list(await files.due_deletions(now, 10)) == [], "another replica's"
    assert list(await files.due_deletions(now + RETRY_DELETION, 10)) == [record.id], "if that one died"
    await files.deletions_done([record.id], now)
    assert list(await files.due_deletions(now + UPLOADS_END / 2, 10)) == []
    assert await files.known([record.id, "atc_x"]) == {record.id}
    last = now + UPLOADS_END + timedelta(seconds=5)
    assert list(await files.due_deletions(last, 10)) == [record.id]
    await files.deletions_done([record.id], last)
    assert await scheduled(database) == set()
    assert await files.known([record.id]) == set()


@pytest.mark.row("H6")
async def test_a_thread_a_person_and_time_take_their_files_with_them(files: SqlFiles, database: Database):
    threads = [await stored(files) for _ in range(3)]
    unsent, of_another = await stored(files), await stored(files, OTHERS[0])
    store = SqlStore(database)
    await files.mark_sent([threads[0].id], "thr_1", ADA)
    await store.delete_thread("thr_1", ADA)
    assert await scheduled(database) == {threads[0].id}
    await delete_older(database, utc_now() + timedelta(days=1), tables=owned_tables())
    assert await scheduled(database) == {threads[0].id}, "no thread is old, as there is none"
    counts = await PersonalData(database, ADA, owned_tables(), batch=2).erase()
    assert counts["files"] == 3
    gone = {each.id for each in (*threads, unsent)}
    assert await scheduled(database) == gone
    assert await files.load(of_another.id, of_another.identity) is not None

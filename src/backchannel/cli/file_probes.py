"""What `backchannel doctor` checks of files: their store, what is in it and should not be, and the virus scanner."""

from collections.abc import AsyncIterator, Sequence
from itertools import batched

from backchannel.cli.findings import Finding
from backchannel.cli.storage_probes import missing_file
from backchannel.errors import UnavailableError
from backchannel.file_stores.base import FileMissingError, FileStore
from backchannel.files.keys import file_id_in, key_of
from backchannel.settings import Settings
from backchannel.stores.file_records import FileRecords
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles
from backchannel.stores.sql.migrate import versions
from backchannel.wiring import Target, open_database
from backchannel.wiring.files import default_folder, existing_file_store, scanner

MAX_LOOKED_AT = 10_000
"""How many files of each side are compared."""

BATCH = 500
MAX_NAMED = 5


async def probe_file_store(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Whether the file store answers and accepts writes, and whether it and the database know the same files."""
    if not settings.max_upload_bytes:
        yield Finding("file store", "skipped", "BACKCHANNEL_MAX_UPLOAD_BYTES is 0")
        return
    if (store := existing_file_store(settings)) is None:
        yield Finding("file store", "ok", f"{default_folder()} does not exist yet; the server makes it")
        return
    try:
        try:
            await store.check()
        except UnavailableError as error:
            yield Finding("file store", "problem", f"BACKCHANNEL_FILES_URL: {error.message}")
            return
        yield Finding("file store", "ok", "the file store answers")
        if settings.redis_url is not None and store.spool_directory is not None:
            yield Finding(
                "file store",
                "warning",
                "BACKCHANNEL_FILES_URL: other replicas must see the same folder, or use S3",
            )
        database = open_database(settings)
        try:
            if not database.in_memory and await _has_tables(database):
                yield await _orphans(store, SqlFiles(database))
                yield await _lost(store, SqlFiles(database))
        except UnavailableError:
            yield Finding("orphaned files", "skipped", "the database cannot be read")
        finally:
            await database.close()
    finally:
        await store.aclose()
    if settings.scanner_url is not None:
        yield await _scanner(settings)


async def _has_tables(database: Database) -> bool:
    if missing_file(database) is not None:
        return False
    return all(not each.pending for each in await versions(database))


async def _orphans(store: FileStore, records: FileRecords) -> Finding:
    keys = list[str]()
    async for stored in store.list():
        keys.append(stored.key)
        if len(keys) == MAX_LOOKED_AT:
            break
    orphans = list[str]()
    for some in batched(keys, BATCH, strict=False):
        ids = {key: file_id_in(key) for key in some}
        known = await records.known([file_id for file_id in ids.values() if file_id is not None])
        orphans += [file_id for file_id in ids.values() if file_id is not None and file_id not in known]
    if not orphans:
        return Finding("orphaned files", "ok", f"none of {len(keys)} files is unknown to the database")
    named = _ends(orphans)
    return Finding(
        "orphaned files",
        "warning",
        f"{len(orphans)} of {len(keys)} files are unknown to the database, and can be deleted if no other server uses "
        f"this place: those whose ids end with {named}",
    )


async def _lost(store: FileStore, records: FileRecords) -> Finding:
    after, looked_at, lost = "", 0, list[str]()
    while looked_at < MAX_LOOKED_AT and (found := await records.list_stored(after, BATCH)):
        for record in found:
            try:
                await store.size(key_of(record))
            except FileMissingError:
                lost.append(record.id)
        after, looked_at = found[-1].id, looked_at + len(found)
    if not lost:
        return Finding("lost files", "ok", f"the bytes of {looked_at} files are there")
    return Finding(
        "lost files",
        "problem",
        f"BACKCHANNEL_FILES_URL: the bytes of {len(lost)} of {looked_at} files are not there: those whose ids end with "
        f"{_ends(lost)}",
    )


def _ends(file_ids: Sequence[str]) -> str:
    # A whole id looks like a secret, which no line of the doctor shows.
    different = list(dict.fromkeys(file_ids))
    return ", ".join(file_id[-8:] for file_id in different[:MAX_NAMED])


async def _scanner(settings: Settings) -> Finding:
    found = scanner(settings)
    assert found is not None
    try:
        await found.check()
    except UnavailableError as error:
        return Finding("scanner", "problem", f"BACKCHANNEL_SCANNER_URL: {error.message}")
    finally:
        await found.aclose()
    return Finding("scanner", "ok", "answers")

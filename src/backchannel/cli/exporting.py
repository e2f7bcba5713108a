"""The implementation of `backchannel export`."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from itertools import batched
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

from backchannel.audit import COMMAND_LINE, Audit, subject_of
from backchannel.cli.database import on_database, warn_of_foreign_tables
from backchannel.cli.new_file import new_file
from backchannel.cli.person import display_name
from backchannel.context import Identity
from backchannel.file_stores.base import FileMissingError, FileStore
from backchannel.files.keys import key_of
from backchannel.settings import Settings
from backchannel.stores.sql.audit_log import SqlAuditLog
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles
from backchannel.stores.sql.migrate import Migrations
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.stores.sql.tables import files
from backchannel.stores.times import utc_now, utc_text
from backchannel.wiring.files import existing_file_store


def run(settings: Settings, identity: Identity, output: Path | None, *, force: bool) -> None:
    """Write the file and print the number of rows of each table; without any data, exit with code 1.

    Raises:
        ConfigurationError: The file cannot be written, or the database or the target cannot be used.
    """
    path = output or Path(default_name(identity.user))
    with new_file(path, force=force) as draft:

        async def write(database: Database, sets: Sequence[Migrations]) -> Mapping[str, int]:
            await warn_of_foreign_tables(database, sets)
            data = PersonalData(database, identity, owned_tables(*sets))
            counts = await write_archive(draft.file, identity, data, lambda: existing_file_store(settings))
            if any(counts.values()):
                audit = Audit(SqlAuditLog(database))
                await audit.note("data.exported", None, COMMAND_LINE, subject=subject_of(identity))
            return counts

        counts = on_database(settings, write)
        draft.publish = any(counts.values())
    if not draft.publish:
        print(f"Nothing is kept of {display_name(identity)}. No file was written.", file=sys.stderr)
        sys.exit(1)
    summary = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    print(f"Wrote what is kept of {display_name(identity)} to {path}: {summary}")


def default_name(user: str) -> str:
    """The default file name. Characters of the user's id that are not safe in file names are replaced."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", user)[:80]
    return f"backchannel-export-{safe}-{utc_now():%Y-%m-%d}.zip"


async def write_archive(
    file: BinaryIO, identity: Identity, data: PersonalData, open_files: Callable[[], FileStore | None]
) -> Mapping[str, int]:
    """Write a zip with one `<table>.jsonl` for each table, the person's files in `files/`, and a `manifest.json`.

    Args:
        open_files: Gives the file store, if it exists; called if there are files.

    Returns:
        The number of rows, by table.

    Raises:
        UnavailableError: The file store cannot be reached.
    """
    began = utc_now()
    counts = dict.fromkeys(data.exported, 0)
    stored = list[str]()
    # An open entry must be closed before the archive, also after an error.
    with ZipFile(file, "w", ZIP_DEFLATED) as archive, ExitStack() as opened:
        entry = None
        async for table, row in data.export():
            if entry is None or not counts[table]:
                opened.close()
                entry = opened.enter_context(archive.open(f"{table}.jsonl", "w", force_zip64=True))
            entry.write(_line(row))
            counts[table] += 1
            if table == files.name and row["version"]:
                stored.append(row["id"])
        opened.close()
        for table in (table for table, count in counts.items() if not count):
            archive.writestr(f"{table}.jsonl", b"")
        missing = await _write_files(archive, identity, data.database, stored, open_files) if stored else []
        manifest = {
            "user": identity.user,
            "tenant": identity.tenant,
            "exported_at": utc_text(began),
            "backchannel": version("backchannel"),
            "tables": counts,
            "missing_files": missing,
        }
        archive.writestr("manifest.json", _line(manifest))
    return counts


async def _write_files(
    archive: ZipFile,
    identity: Identity,
    database: Database,
    file_ids: Sequence[str],
    open_files: Callable[[], FileStore | None],
) -> list[str]:
    """Write the bytes of files; gives the ids of those whose bytes are not there."""
    store, missing = open_files(), list[str]()
    if store is None:
        return list(file_ids)
    try:
        for some in batched(file_ids, 100, strict=False):
            for record in await SqlFiles(database).load_many(some, identity):
                # The id makes the name unique, and no path.
                name = f"files/{record.id}-{record.name.replace('/', '_')}"
                try:
                    pieces = store.read(key_of(record))
                    first = await anext(pieces, b"")
                except FileMissingError:
                    missing.append(record.id)
                    continue
                with archive.open(name, "w", force_zip64=True) as entry:
                    entry.write(first)
                    async for piece in pieces:
                        entry.write(piece)
    finally:
        await store.aclose()
    return missing


def _line(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode(errors="replace") + b"\n"

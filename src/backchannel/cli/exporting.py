"""What `backchannel export` does once its arguments are known to be right."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

from backchannel.cli.database import on_database, warn_of_others
from backchannel.cli.new_file import new_file
from backchannel.cli.person import shown
from backchannel.context import Identity
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.stores.times import utc_now, utc_text


def run(settings: Settings, identity: Identity, output: Path | None, *, force: bool) -> None:
    """Write the file and say what is in it; with nothing to write, end with exit code 1.

    Raises:
        ConfigurationError: The file cannot be written, or the database or the target cannot be used.
    """
    path = output or Path(default_name(identity.user))
    with new_file(path, force=force) as draft:

        async def write(database: Database, sets: Sequence[Migrations]) -> Mapping[str, int]:
            await warn_of_others(database, sets)
            person = PersonalData(database, identity, owned_tables(*sets))
            return await write_archive(draft.file, identity, person)

        counts = on_database(settings, write)
        draft.wanted = any(counts.values())
    if not draft.wanted:
        print(f"Nothing is kept of {shown(identity)}. No file was written.", file=sys.stderr)
        sys.exit(1)
    said = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    print(f"Wrote what is kept of {shown(identity)} to {path}: {said}")


def default_name(user: str) -> str:
    """The file's name if none is given, whatever characters the person's id has."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", user)[:80]
    return f"backchannel-export-{safe}-{utc_now():%Y-%m-%d}.zip"


async def write_archive(file: BinaryIO, identity: Identity, person: PersonalData) -> Mapping[str, int]:
    """Write a zip with one `<table>.jsonl` for each table and a `manifest.json`; gives the rows of each table."""
    began = utc_now()
    counts = dict.fromkeys(person.exported, 0)
    # The entry that is being written has to be closed before the archive, also when something is raised.
    with ZipFile(file, "w", ZIP_DEFLATED) as archive, ExitStack() as opened:
        entry = None
        async for table, row in person.export():
            if entry is None or not counts[table]:
                opened.close()
                entry = opened.enter_context(archive.open(f"{table}.jsonl", "w", force_zip64=True))
            entry.write(_line(row))
            counts[table] += 1
        opened.close()
        for table in (table for table, count in counts.items() if not count):
            archive.writestr(f"{table}.jsonl", b"")
        manifest = {
            "user": identity.user,
            "tenant": identity.tenant,
            "exported_at": utc_text(began),
            "backchannel": version("backchannel"),
            "tables": counts,
        }
        archive.writestr("manifest.json", _line(manifest))
    return counts


def _line(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode(errors="replace") + b"\n"

"""The implementation of `backchannel erase`."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from backchannel.audit import COMMAND_LINE, subject_of
from backchannel.cli.database import on_database, warn_of_foreign_tables
from backchannel.cli.new_file import Draft, new_file
from backchannel.cli.people import opened_people
from backchannel.cli.person import display_name
from backchannel.cli.terminal import confirm, print_table
from backchannel.context import Identity
from backchannel.errors import ConfigurationError, UnavailableError
from backchannel.files.sweeper import FileSweeper
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles
from backchannel.stores.sql.migrate import Migrations
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.stores.times import utc_now, utc_text
from backchannel.wiring.files import existing_file_store

UNFINISHED = "Perhaps not everything was deleted: run the command again."


def run(settings: Settings, identity: Identity, receipt: Path | None, *, yes: bool) -> None:
    """Print the number of rows of each table, ask for confirmation, delete them, and print the deleted rows.

    Raises:
        ConfigurationError: The receipt cannot be written, there is no terminal for the confirmation, or the database
            or the target cannot be used.
    """
    # Created before anything is deleted, so that a receipt that cannot be written is noticed in time.
    with new_file(receipt) if receipt is not None else nullcontext() as draft:
        counts = _count(settings, identity)
        if any(counts.values()):
            print(f"Kept of {display_name(identity)}:")
            _print_counts(counts)
            confirm("Delete all of it? It cannot be undone.", yes=yes)
            counts = _erase(settings, identity)
            print("Deleted:")
            _print_counts(counts)
        else:
            print(f"Nothing is kept of {display_name(identity)}.")
        # Also if only bytes of deleted files are left, of an attempt that was interrupted.
        _delete_bytes(settings)
        if draft is not None:
            _write_receipt(draft, identity, counts)


def _count(settings: Settings, identity: Identity) -> Mapping[str, int]:
    async def count(database: Database, sets: Sequence[Migrations]) -> Mapping[str, int]:
        await warn_of_foreign_tables(database, sets)
        return await PersonalData(database, identity, owned_tables(*sets)).count()

    return on_database(settings, count)


def _erase(settings: Settings, identity: Identity) -> Mapping[str, int]:
    async def erase(database: Database, sets: Sequence[Migrations]) -> Mapping[str, int]:
        async with opened_people(settings, database) as people:
            # First, so that nothing is written with it meanwhile. Also in Redis, which has no tables.
            await people.sessions.end_all(identity, COMMAND_LINE, "disabled", actor=None)
            deleted = await PersonalData(database, identity, owned_tables(*sets)).erase()
            await people.sessions.store.delete_all(identity)
            await people.audit.note("data.erased", None, COMMAND_LINE, subject=subject_of(identity))
        return deleted

    try:
        return on_database(settings, erase)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error.message} {UNFINISHED}") from error
    except KeyboardInterrupt:
        print(UNFINISHED, file=sys.stderr)
        raise


def _delete_bytes(settings: Settings) -> None:
    """Delete the bytes of files whose rows are deleted: those of everybody whose deletion is due."""
    if not settings.max_upload_bytes:
        return

    async def sweep(database: Database, _sets: Sequence[Migrations]) -> None:
        records = SqlFiles(database)
        if not await records.has_deletions() or (store := existing_file_store(settings)) is None:
            return
        try:
            await FileSweeper(records, store).sweep()
        except UnavailableError as error:
            print(
                f"The bytes of deleted files are still there ({error.message}) A server that runs deletes them; "
                "or run the command again.",
                file=sys.stderr,
            )
        finally:
            await store.aclose()

    on_database(settings, sweep)


def _print_counts(counts: Mapping[str, int]) -> None:
    print_table(*((f"  {table}", count) for table, count in counts.items()))


def _write_receipt(draft: Draft, identity: Identity, counts: Mapping[str, int]) -> None:
    receipt = {
        "user": identity.user,
        "tenant": identity.tenant,
        "erased_at": utc_text(utc_now()),
        "deleted": counts,
    }
    draft.file.write(json.dumps(receipt, ensure_ascii=False, indent=2).encode() + b"\n")

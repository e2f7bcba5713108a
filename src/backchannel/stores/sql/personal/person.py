"""All data of one user, `(tenant, user)`: counted, exported, erased."""

import base64
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Table, func

from backchannel.context import Identity
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import select_owned
from backchannel.stores.sql.personal.tables import (
    BATCH,
    KEPT_TABLES,
    SECRET_COLUMNS,
    delete_batch,
    keyset_after,
    thread_column,
    throttled,
)
from backchannel.stores.sql.tables import attachments, items, run_events, run_logs, search_entries, threads
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_text

_JSON_TEXT = frozenset({items.c.data, attachments.c.data})
"""Text columns with JSON."""

_DERIVED_TABLES = (search_entries, run_logs, run_events)
"""Tables that only repeat data of others, the event log for some minutes: they are not exported."""


class PersonalData:
    """The data of one user.

    Args:
        tables: From `owned_tables`.
        batch: The most rows in memory or in one transaction.

    Every method raises `UnavailableError` if the database cannot be reached.
    """

    def __init__(
        self, database: Database, identity: Identity, tables: Sequence[Table], *, batch: int = BATCH
    ) -> None:
        self.database = database
        self._identity = identity
        self._tables = [table for table in tables if table not in KEPT_TABLES]
        self._kept = [table for table in tables if table in KEPT_TABLES]
        self._batch = batch

    @property
    def exported(self) -> Sequence[str]:
        """The names of the tables that `export` reads, in its order: all but the search index and the event log, which
        only repeat data of other tables. The audit log is among them, although `erase` leaves it."""
        return [table.name for table in self._exported_tables()]

    async def export(self) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Every row as the name of its table and a JSON object, table by table, ordered by primary key. Hashes of
        passwords and tokens are left out (`SECRET_COLUMNS`).

        Times are ISO 8601 in UTC with `Z`; local times, such as due dates, have no offset. Rows that are written during
        the export may be missing; no row comes twice.
        """
        for table in self._exported_tables():
            async for scope in self._scopes(table):
                async for row in self._rows(table, scope):
                    yield table.name, _as_json(table, row)

    async def count(self) -> dict[str, int]:
        """The number of the user's rows per table name, without those that `erase` leaves."""
        counts: Counter[str] = Counter({table.name: 0 for table in self._tables})
        for table in self._tables:
            async for scope in self._scopes(table):
                counting = select_owned(self._identity, table, func.count().label("rows")).where(*scope)
                counts[table.name] += (await self._read(counting))[0]["rows"]
        return dict(counts)

    async def erase(self) -> dict[str, int]:
        """Delete all rows but those of the audit log (`KEPT_TABLES`), until none is found; returns the number of
        deleted rows per table name.

        Runs in many short transactions. After an interruption, call it again: it then deletes and counts the remaining
        rows. Rows that a commit with unknown outcome has deleted may not be counted.
        """
        deleted: Counter[str] = Counter({table.name: 0 for table in self._tables})
        while await self._erase_once(deleted):
            pass
        return dict(deleted)

    async def _erase_once(self, deleted: Counter[str]) -> bool:
        """Delete the rows that exist now; returns whether any was found."""
        found_any = False
        for table in self._tables:
            async for scope in self._scopes(table):
                found = self._batch
                while found == self._batch:
                    async with throttled():
                        found, rowcount = await self._delete_batch(table, scope)
                    deleted[table.name] += rowcount
                    found_any = found_any or found > 0
        return found_any

    def _exported_tables(self) -> Sequence[Table]:
        return [table for table in [*reversed(self._tables), *self._kept] if table not in _DERIVED_TABLES]

    async def _scopes(self, table: Table) -> AsyncGenerator[Sequence[ColumnElement[bool]]]:
        """Conditions that together match all rows of the user, each of them with an index."""
        column = thread_column(table)
        if column is None:
            yield ()
            return
        # Tables of threads' content have no index of owners: the user's threads are used instead.
        async for page in self._pages(threads, (), threads.c.id):
            yield (column.in_([thread["id"] for thread in page]),)

    def _deletable(self, table: Table) -> Sequence[ColumnElement[bool]]:
        """The condition for rows of `table` to be deleted: a thread must be empty. Otherwise, cascades would delete
        what was added to it meanwhile, in one statement of any size and without counting. It is left for the next
        round."""
        if table is not threads:
            return ()
        parts = [(part, column) for part in self._tables if (column := thread_column(part)) is not None]
        return [
            ~select_owned(self._identity, part, column)
            .where(column == threads.c.id)
            .correlate(threads)
            .exists()
            for part, column in parts
        ]

    async def _rows(self, table: Table, scope: Sequence[ColumnElement[bool]]) -> AsyncGenerator[RowMapping]:
        async for rows in self._pages(table, scope):
            for row in rows:
                yield row

    async def _pages(
        self, table: Table, scope: Sequence[ColumnElement[bool]], *columns: ColumnElement[Any]
    ) -> AsyncGenerator[Sequence[RowMapping]]:
        """Pages of rows in the order of the primary key, which must be among `columns`."""
        key = list(table.primary_key.columns)
        all_rows = select_owned(self._identity, table, *columns).where(*scope).order_by(*key)
        statement = all_rows
        while rows := await self._read(statement.limit(self._batch)):
            yield rows
            if len(rows) < self._batch:
                return
            statement = all_rows.where(keyset_after(key, [rows[-1][column.name] for column in key]))

    @retryable
    async def _read(self, statement: Select[Any]) -> Sequence[RowMapping]:
        async with self.database.read() as connection:
            return (await connection.execute(statement)).mappings().all()

    @retryable
    async def _delete_batch(self, table: Table, scope: Sequence[ColumnElement[bool]]) -> tuple[int, int]:
        deletable = self._deletable(table)
        async with self.database.write() as connection:
            return await delete_batch(
                connection, self._identity, table, self._batch, where=scope, recheck=deletable
            )


def _as_json(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        column.name: json.loads(row[column.name]) if column in _JSON_TEXT else _json_value(row[column.name])
        for column in table.columns
        if column not in SECRET_COLUMNS
    }


def _json_value(value: object) -> object:
    match value:
        case datetime() if value.tzinfo is not None:
            return utc_text(value.astimezone(UTC))
        case date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case None | bool() | int() | float() | str() | list() | dict():
            return value  # pyright: ignore[reportUnknownVariableType]
        case _:
            return str(value)

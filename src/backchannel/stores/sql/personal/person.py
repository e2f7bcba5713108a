"""Everything that is kept of one person, `(tenant, user)`: counted, exported, erased."""

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
from backchannel.stores.sql.personal.tables import BATCH, beyond, delete_some, giving_way, thread_column
from backchannel.stores.sql.tables import attachments, items, run_events, run_logs, search_entries, threads
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_text

_JSON_TEXT = frozenset({items.c.data, attachments.c.data})
"""Columns of text that hold JSON."""


_REPEATS = (search_entries, run_logs, run_events)
"""Tables that hold nothing of their own."""


class PersonalData:
    """What is kept of one person.

    Args:
        tables: As `owned_tables` gives them.
        batch: The most rows that are in memory or in a transaction at once.

    Every method raises `UnavailableError` when the database cannot be reached.
    """

    def __init__(
        self, database: Database, identity: Identity, tables: Sequence[Table], *, batch: int = BATCH
    ) -> None:
        self.database = database
        self._identity = identity
        self._tables = tables
        self._batch = batch

    @property
    def exported(self) -> Sequence[str]:
        """The names of the tables that `export` reads, in its order. The search index and the event log are not among
        them: they only repeat what was said, the latter for some minutes."""
        return [table.name for table in self._exported_tables()]

    async def export(self) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Every row as its table's name and what JSON can say of it, table by table, each in the order of its key.

        Moments are ISO 8601 in UTC with `Z`; a wall clock's time, such as a due date, has no offset. What
        is written meanwhile may be missing, and nothing comes twice.
        """
        for table in self._exported_tables():
            async for scope in self._scopes(table):
                async for row in self._rows(table, scope):
                    yield table.name, _as_json(table, row)

    async def count(self) -> dict[str, int]:
        """How many rows each table has, by its name."""
        counts: Counter[str] = Counter({table.name: 0 for table in self._tables})
        for table in self._tables:
            async for scope in self._scopes(table):
                counting = select_owned(self._identity, table, func.count().label("rows")).where(*scope)
                counts[table.name] += (await self._read(counting))[0]["rows"]
        return dict(counts)

    async def erase(self) -> dict[str, int]:
        """Delete everything, until nothing is found any more, and count what was deleted by the table's name.

        Many short transactions, after each of which the rest can still be found: stopped halfway, it is to be done
        again, and then counts the rest. What a connection that ended in a commit has deleted is not counted.
        """
        receipt: Counter[str] = Counter({table.name: 0 for table in self._tables})
        while await self._erase_once(receipt):
            pass
        return dict(receipt)

    async def _erase_once(self, receipt: Counter[str]) -> bool:
        """Delete what there is now, and say whether there was anything."""
        found_any = False
        for table in self._tables:
            async for scope in self._scopes(table):
                found = self._batch
                while found == self._batch:
                    async with giving_way():
                        found, deleted = await self._delete_some(table, scope)
                    receipt[table.name] += deleted
                    found_any = found_any or found > 0
        return found_any

    def _exported_tables(self) -> Sequence[Table]:
        return [table for table in reversed(self._tables) if table not in _REPEATS]

    async def _scopes(self, table: Table) -> AsyncGenerator[Sequence[ColumnElement[bool]]]:
        """Conditions that together hold for all rows of the person and each of which an index can serve."""
        column = thread_column(table)
        if column is None:
            yield ()
            return
        # Such tables have no index of owners: they are reached by the person's threads.
        async for page in self._pages(threads, (), threads.c.id):
            yield (column.in_([thread["id"] for thread in page]),)

    def _deletable(self, table: Table) -> Sequence[ColumnElement[bool]]:
        """What must hold of the rows of `table` for them to be deleted: a thread has nothing in it any more. One that
        was written to after it was emptied waits for the next time; deleting it would delete, in one statement,
        however much that is, and count none of it."""
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
        """Rows in the order of the primary key, which `columns` must have, `batch` at a time."""
        key = list(table.primary_key.columns)
        all_rows = select_owned(self._identity, table, *columns).where(*scope).order_by(*key)
        statement = all_rows
        while rows := await self._read(statement.limit(self._batch)):
            yield rows
            if len(rows) < self._batch:
                return
            statement = all_rows.where(beyond(key, [rows[-1][column.name] for column in key]))

    @retryable
    async def _read(self, statement: Select[Any]) -> Sequence[RowMapping]:
        async with self.database.read() as connection:
            return (await connection.execute(statement)).mappings().all()

    @retryable
    async def _delete_some(self, table: Table, scope: Sequence[ColumnElement[bool]]) -> tuple[int, int]:
        still = self._deletable(table)
        async with self.database.write() as connection:
            return await delete_some(connection, self._identity, table, self._batch, among=scope, still=still)


def _as_json(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        column.name: json.loads(row[column.name]) if column in _JSON_TEXT else _json_value(row[column.name])
        for column in table.columns
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

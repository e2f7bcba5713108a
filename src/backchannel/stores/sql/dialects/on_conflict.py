"""Statements with the same syntax in SQLite and PostgreSQL: `ON CONFLICT` and `RETURNING`."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, override

from sqlalchemy import ColumnClause, ColumnElement, Executable, Select, Table, TableClause, Update
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.stores.sql.dialects.base import Dialect


@cache
def _excluded(columns: tuple[str, ...]) -> TableClause:
    """The row that was not inserted. Cached, because a statement's own `excluded` takes longer to build than the rest
    of the statement."""
    clauses: list[ColumnClause[Any]] = [sql_column(name) for name in columns]
    return sql_table("excluded", *clauses)


class OnConflict(Dialect):
    """A dialect with both."""

    @abstractmethod
    def insert(self, table: Table) -> SqliteInsert | PostgresqlInsert:
        """The dialect's own `INSERT`."""

    @override
    def upsert(
        self,
        table: Table,
        values: Mapping[str, Any],
        *,
        key: Sequence[str],
        change: Sequence[str],
        owned: ColumnElement[bool],
    ) -> Executable:
        statement = self.insert(table).values(values)
        if not change:
            return statement.on_conflict_do_nothing(index_elements=list(key))
        excluded = _excluded(tuple(change))
        changes = {column: excluded.c[column] for column in change}
        return statement.on_conflict_do_update(index_elements=list(key), set_=changes, where=owned)

    @override
    async def increment(
        self, connection: AsyncConnection, change: Update, selected: Select[Any], column: ColumnElement[Any]
    ) -> Any:
        del selected
        return (await connection.execute(change.returning(column))).scalar_one_or_none()

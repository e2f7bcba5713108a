"""Statements that are executed many times a second, with many rows each.

SQLAlchemy prepares the parameter processing again for each execution, which for short rows costs more than the database
does. Here it is prepared once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from backchannel.stores.sql.engine import Database


class Bulk:
    """A statement for one database.

    Args:
        build: Builds the statement; called once.
        names: The columns or bound parameters for which each row has a value.
    """

    def __init__(self, database: Database, build: Callable[[], Executable], names: Sequence[str]) -> None:
        self._database = database
        self._build = build
        self._names = names
        self._text: str | None = None
        self._columns: list[tuple[str, Callable[[Any], Any] | None]] = []

    async def execute(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute the statement once for each row, inside `Database.write`. Errors may be raised only by the next
        statement of the transaction or its commit."""
        # On first use: the dialect of a connection knows the server's version.
        text = self._text or self._compile(connection.dialect)
        columns = self._columns
        values = [
            tuple([row[name] if process is None else process(row[name]) for name, process in columns])
            for row in rows
        ]
        await self._database.dialect.execute_many(connection, text, values)

    def _compile(self, dialect: Dialect) -> str:
        statement: Any = self._build()
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect, column_keys=list(self._names)))
        order = compiled.positiontup
        # All drivers that are used here take positional parameters.
        assert order is not None
        self._columns = [
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order
        ]
        self._text = compiled.string
        return self._text

"""A statement that is executed many times a second with many rows at once.

SQLAlchemy works out the parameters of each row anew, which for short rows costs more than the database does. Here that
is worked out once.
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
        make: Makes it; called once.
        names: The columns or parameters that each row gives a value for.
    """

    def __init__(self, database: Database, make: Callable[[], Executable], names: Sequence[str]) -> None:
        self._database = database
        self._make = make
        self._names = names
        self._text: str | None = None
        self._columns: list[tuple[str, Callable[[Any], Any] | None]] = []

    async def execute(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it once for each row, inside of `Database.write`. What goes wrong may be raised only by the
        transaction's next statement or its commit."""
        # Not before there is a connection, which knows the server's version.
        text = self._text or self._compile(connection.dialect)
        columns = self._columns
        values = [
            tuple([row[name] if adapt is None else adapt(row[name]) for name, adapt in columns])
            for row in rows
        ]
        await self._database.dialect.execute_many(connection, text, values)

    def _compile(self, dialect: Dialect) -> str:
        statement: Any = self._make()
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect, column_keys=list(self._names)))
        order = compiled.positiontup
        # Every driver that is used here takes parameters by their place.
        assert order is not None
        self._columns = [
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order
        ]
        self._text = compiled.string
        return self._text

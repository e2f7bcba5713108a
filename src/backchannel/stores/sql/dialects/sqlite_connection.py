"""A connection of aiosqlite that crosses to its thread once a statement, where aiosqlite does for each step of it.

Crossing over and back costs more than most statements do. Making the cursor, executing, fetching and closing it would
be four crossings. SQLAlchemy fetches every row at once anyway.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, override

from aiosqlite import Connection

type Parameters = Sequence[Any]


class Cursor:
    """The cursor that SQLAlchemy's adapter uses: what one statement gave, fetched whole.

    Attributes:
        description: The columns, after a statement that returns rows.
        rowcount: How many rows it changed; -1 where that is not known.
        lastrowid: The last row that was inserted.
        arraysize: What `fetchmany` gives by default.
    """

    def __init__(self, connection: "OneHopConnection") -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Parameters = ()) -> None:
        """Execute one statement, and fetch its rows."""
        await self._connection.on_thread(lambda cursor: self._take(cursor.execute(statement, parameters)))

    async def executemany(self, statement: str, parameters: Iterable[Parameters]) -> None:
        """Execute a statement once for each of some parameters."""
        await self._connection.on_thread(lambda cursor: self._take(cursor.executemany(statement, parameters)))

    async def fetchall(self) -> Sequence[Any]:
        """The rows, once."""
        rows, self._rows = self._rows, ()
        return rows

    async def close(self) -> None:
        """Nothing is open any more."""
        self._rows = ()

    def _take(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self._rows = cursor.fetchall() if self.description else ()
        # How many rows a statement changed that returns them is known only after the last one.
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid


class OneHopConnection(Connection):
    """See the module. Made by `connect`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(partial(sqlite3.connect, *arguments, **options), iter_chunk_size=1)
        # As SQLAlchemy does: a connection that was left behind must not keep the process from ending.
        self._thread.daemon = True
        self._begin_by: str | None = None
        self._later: list[tuple[str, Sequence[Parameters]]] = []

    @override
    def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)

    def begin_by(self, statement: str) -> None:
        """Begin a transaction with a statement, on the way of the first one in it."""
        self._begin_by = statement

    def later(self, statement: str, parameters: Sequence[Parameters]) -> None:
        """Execute a statement once for each of some parameters, on the way of the next one or of the commit."""
        self._later.append((statement, parameters))

    async def on_thread[R](self, work: Callable[[sqlite3.Cursor], R]) -> R:
        """Do something with a cursor, on the connection's thread."""
        cross: Callable[..., Awaitable[R]] = self._execute  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return await cross(self._with_cursor, work)

    def _with_cursor[R](self, work: Callable[[sqlite3.Cursor], R]) -> R:
        cursor = self._conn.cursor()
        try:
            # Forgotten only once done: after an error, nothing may be executed outside of its transaction.
            if self._begin_by is not None:
                cursor.execute(self._begin_by)
                self._begin_by = None
            while self._later:
                cursor.executemany(*self._later[0])
                del self._later[0]
            return work(cursor)
        finally:
            cursor.close()

    @override
    async def commit(self) -> None:
        try:
            if self._later:
                await self.on_thread(lambda _cursor: self._conn.commit())
            elif self._conn.in_transaction:
                await super().commit()
        except Exception:
            # SQLAlchemy takes the transaction for ended, and would give the connection to the next one as it is.
            await self.rollback()
            raise
        self._begin_by = None

    @override
    async def rollback(self) -> None:
        self._begin_by, self._later = None, []
        # Each connection is given back to its pool with one, though most have nothing to roll back.
        if self._conn.in_transaction:
            await super().rollback()


async def connect(*arguments: Any, **options: Any) -> OneHopConnection:
    """Open a connection; for the arguments see `sqlite3.connect`."""
    connection = OneHopConnection(*arguments, **options)
    await connection
    return connection

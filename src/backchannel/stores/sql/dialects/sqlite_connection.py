"""A connection of aiosqlite that switches to its thread once per statement.

Switching threads costs more than most statements do, and aiosqlite does it for each step: creating a cursor, executing,
fetching and closing. SQLAlchemy fetches all rows at once anyway.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, override

from aiosqlite import Connection

type Parameters = Sequence[Any]

# Between two attempts to convert a file; another process needs about a millisecond for it.
_CONVERSION_PAUSE_SECONDS = 0.01


class Cursor:
    """The cursor for SQLAlchemy's adapter, with all rows of one statement in memory.

    Attributes:
        description: The columns, after a statement that returns rows.
        rowcount: How many rows the statement changed; -1 if unknown.
        lastrowid: The id of the last inserted row.
        arraysize: The default number of rows of `fetchmany`.
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
        """Execute a statement and fetch its rows."""
        await self._connection.on_thread(lambda cursor: self._fetch(cursor.execute(statement, parameters)))

    async def executemany(self, statement: str, parameters: Iterable[Parameters]) -> None:
        """Execute a statement once for each set of parameters."""
        await self._connection.on_thread(
            lambda cursor: self._fetch(cursor.executemany(statement, parameters))
        )

    async def fetchall(self) -> Sequence[Any]:
        """The rows; none on a second call."""
        rows, self._rows = self._rows, ()
        return rows

    async def close(self) -> None:
        """Discard the rows. No cursor is open."""
        self._rows = ()

    def _fetch(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self._rows = cursor.fetchall() if self.description else ()
        # With RETURNING, `rowcount` is only known after the last row is fetched.
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid


class OneHopConnection(Connection):
    """See the module. Created by `connect`."""

    def __init__(self, *arguments: Any, timeout: float = 5.0, **options: Any) -> None:
        self._open = partial(sqlite3.connect, *arguments, timeout=timeout, **options)
        self._timeout = timeout
        self._opened: sqlite3.Connection | None = None
        self._stopped = False
        self.ended: asyncio.Future[Any] | None = None
        super().__init__(self._connect_on_thread, iter_chunk_size=1)
        # As in SQLAlchemy: a connection that was not closed must not prevent the process from exiting.
        self._thread.daemon = True
        self._deferred_begin: str | None = None
        self._deferred: list[tuple[str, Sequence[Parameters]]] = []

    def _connect_on_thread(self) -> sqlite3.Connection:
        connection = self._open()
        try:
            _set_pragmas(connection, self._timeout)
        except BaseException:
            # The pool does not have it yet, and would not close it.
            connection.close()
            raise
        self._opened = connection
        return connection

    @override
    def stop(self) -> Any:
        # The thread ends at the first. A second would wait for it for ever: that of `close`, if SQLAlchemy stops the
        # connection of a caller who is cancelled once more while it is closed.
        if self._stopped:
            return None
        self._stopped = True
        # aiosqlite loses a connection whose caller was cancelled while the thread opened it.
        queue: Any = getattr(self, "_tx")  # noqa: B009 - of no known type
        queue.put_nowait((None, self._close_on_thread))
        self.ended = super().stop()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return self.ended

    def _close_on_thread(self) -> None:
        if self._opened is not None:
            self._opened.close()

    @override
    def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)

    def defer_begin(self, statement: str) -> None:
        """Begin a transaction together with its first statement."""
        self._deferred_begin = statement

    def defer(self, statement: str, parameters: Sequence[Parameters]) -> None:
        """Execute a statement once for each set of parameters, together with the next statement or the commit."""
        self._deferred.append((statement, parameters))

    async def on_thread[R](self, work: Callable[[sqlite3.Cursor], R]) -> R:
        """Call a function with a cursor on the connection's thread."""
        run: Callable[..., Awaitable[R]] = self._execute  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return await run(self._with_cursor, work)

    def _with_cursor[R](self, work: Callable[[sqlite3.Cursor], R]) -> R:
        cursor = self._conn.cursor()
        try:
            # Removed only after execution: after an error, nothing may be executed outside its transaction.
            if self._deferred_begin is not None:
                cursor.execute(self._deferred_begin)
                self._deferred_begin = None
            while self._deferred:
                cursor.executemany(*self._deferred[0])
                del self._deferred[0]
            return work(cursor)
        finally:
            cursor.close()

    @override
    async def commit(self) -> None:
        try:
            if self._deferred:
                await self.on_thread(lambda _cursor: self._conn.commit())
            elif self._conn.in_transaction:
                await super().commit()
        except Exception:
            # SQLAlchemy takes the transaction for ended and would reuse the connection.
            await self.rollback()
            raise
        self._deferred_begin = None

    @override
    async def rollback(self) -> None:
        self._deferred_begin, self._deferred = None, []
        # The pool rolls back each connection that is returned; most have no transaction.
        if self._conn.in_transaction:
            await super().rollback()


def _set_pragmas(connection: sqlite3.Connection, timeout: float) -> None:
    _use_write_ahead_log(connection, timeout)
    # NORMAL is safe in WAL mode: a power cut may lose the last commits but never corrupts.
    # Source: https://www.sqlite.org/pragma.html#pragma_synchronous
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _use_write_ahead_log(connection: sqlite3.Connection, timeout: float) -> None:
    # A new file is converted once, by one connection alone. For this, SQLite does not wait as it waits for other locks:
    # processes that start at the same time would fail. Source: russellromney/honker#102.
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_CONVERSION_PAUSE_SECONDS)
        else:
            return


async def connect(*arguments: Any, **options: Any) -> OneHopConnection:
    """Open a connection; for the arguments see `sqlite3.connect`."""
    connection = OneHopConnection(*arguments, **options)
    try:
        await connection
    except Exception:
        # Its thread reports its end to this event loop, which must not be closed before.
        if connection.ended is not None:
            await connection.ended
        raise
    return connection

"""The database: one engine, short transactions, and an error that a person may read when it fails.

Nothing here is held across a stream: `read()` and `write()` are for a few statements and give their
connection back at once. What differs between databases is in `dialects`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from backchannel.errors import BackchannelError, UnavailableError
from backchannel.stores.sql.dialects import PoolOptions, dialect_of
from backchannel.stores.sql.pre_ping import pre_ping

RETRY_AFTER_SECONDS = 2
"""What callers are told when the database cannot serve them now."""


class TransactionAbortedError(UnavailableError):
    """The transaction was rolled back for a reason that may not come again: a deadlock, a conflict with another
    writer, a connection that ended. `transactions.retryable` does it again.

    Attributes:
        unclear: Whether it may have been committed all the same, because the connection ended in the commit.
    """

    unclear: bool = False


class Database:
    """A pool of connections to one database.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` for one that lives in memory,
            `postgresql://USER:PASSWORD@HOST/NAME` or `mysql://USER:PASSWORD@HOST/NAME`.
        pool: How many connections, and for how long anything waits.

    Raises:
        ConfigurationError: The URL is not one that can be served, or its folder cannot be made.
    """

    def __init__(self, url: str, pool: PoolOptions | None = None) -> None:
        self.url, self.dialect = dialect_of(url)
        self._pool = pool or PoolOptions()
        self.engine = self._create_engine(time_limits=True)
        self._joined: ContextVar[tuple[AsyncConnection, object] | None] = ContextVar("joined", default=None)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for statements that change nothing. Each of them sees one consistent state.

        Raises:
            UnavailableError: All connections are in use, or the database cannot be reached.
        """
        if (joined := self._ours()) is not None:
            yield joined
            return
        async with self._told(), self._connected(self.engine) as connection:
            if self.dialect.read_options:
                await connection.execution_options(**self.dialect.read_options)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction that commits on leaving and rolls back on any exception.

        On SQLite the write lock is taken at once (`BEGIN IMMEDIATE`), so that what was read inside the
        transaction is still true when it writes. Inside `together` it is part of that transaction.

        Raises:
            UnavailableError: All connections are in use, or the database cannot be reached.
            TransactionAbortedError: The transaction has to be done again.
        """
        if (joined := self._ours()) is not None:
            yield joined
            return
        async with self._told(), self._connected(self.engine) as connection:
            if self.dialect.write_options:
                await connection.execution_options(**self.dialect.write_options)
            transaction = await connection.begin()
            try:
                yield connection
            except BaseException:
                if transaction.is_active:
                    await transaction.rollback()
                raise
            await self._commit(connection)

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            await connection.commit()
        except DBAPIError as error:
            told = self._explain(error)
            if isinstance(told, TransactionAbortedError):
                told.unclear = error.connection_invalidated
            raise told or error from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        """Make one transaction of every `write()` and `read()` of this task inside the block: all or nothing.

        Tasks that the block starts are not part of it.
        """
        if self._ours() is not None:
            yield
            return
        async with self.write() as connection:
            token = self._joined.set((connection, asyncio.current_task()))
            try:
                yield
            finally:
                self._joined.reset(token)

    def is_same_as(self, other: "Database") -> bool:
        """Whether another object stands for the same database, whatever its user and its options are."""
        if self.in_memory or other.in_memory:
            return self is other
        return _place(self.url) == _place(other.url)

    @property
    def in_memory(self) -> bool:
        """Whether the database lives in this process's memory, and nowhere else."""
        return self.dialect.in_memory(self.url)

    @property
    def in_transaction(self) -> bool:
        """Whether this task is inside `together`."""
        return self._ours() is not None

    def _ours(self) -> AsyncConnection | None:
        joined = self._joined.get()
        # A task inherits the variables of the one that started it, but must not use its connection.
        return joined[0] if joined is not None and joined[1] is asyncio.current_task() else None

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction without time limits, for work that one process at a time may do.

        Of several processes that ask with the same name, each gets its turn when the one before has committed.
        On MariaDB and MySQL, what changes the schema commits at once and is not rolled back.
        """
        engine = self.engine if self.in_memory else self._create_engine(time_limits=False)
        try:
            async with self._told(), self._connected(engine) as connection:
                await connection.execution_options(**self.dialect.write_options)
                async with self.dialect.lock(connection, name):
                    yield connection
                    await connection.commit()
        finally:
            if engine is not self.engine:
                await engine.dispose()

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        connection = engine.connect()
        try:
            await connection.start()
        except NoFreeConnection:
            raise
        except Exception as error:
            # Drivers differ in what they raise here, and none of it is the caller's fault.
            raise self._out_of_reach() from error
        try:
            yield connection
        finally:
            await connection.close()

    async def check(self) -> None:
        """Ask the database for an answer; raises `UnavailableError` when there is none."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection. The object is of no use afterwards."""
        await self.engine.dispose()

    def _create_engine(self, *, time_limits: bool) -> AsyncEngine:
        arguments: dict[str, Any] = self.dialect.engine_arguments(
            self.url, self._pool, time_limits=time_limits
        )
        # What people write must not get into logs by way of an error's text.
        engine = create_async_engine(self.dialect.driver_url(self.url), hide_parameters=True, **arguments)
        self.dialect.prepare(engine.sync_engine)
        if self._pool.pre_ping and self.dialect.served:
            pre_ping(engine.sync_engine)
        return engine

    @asynccontextmanager
    async def _told(self) -> AsyncGenerator[None]:
        """Turn what the driver raises into what a caller may be told, where the database is the cause."""
        try:
            yield
        except (DBAPIError, NoFreeConnection, ConnectionError, TimeoutError) as error:
            told = self._explain(error)
            if told is None:
                raise
            raise told from error

    def _explain(self, error: Exception) -> BackchannelError | None:
        if isinstance(error, NoFreeConnection):
            return UnavailableError(
                "The server is busy: every connection to its database is in use. Try again in a moment.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        if not isinstance(error, DBAPIError):
            # Some drivers let the errors of the socket through.
            return self._out_of_reach()
        if self.dialect.is_conflict(error):
            return TransactionAbortedError(
                "Somebody else changed the same thing at the same time. Try again.", retry_after=1
            )
        if error.connection_invalidated or self.dialect.is_out_of_reach(error):
            return self._out_of_reach()
        return None

    def _out_of_reach(self) -> TransactionAbortedError:
        return TransactionAbortedError(
            "The server's database cannot be reached. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        )


def _place(url: URL) -> tuple[str, str, int | None, str]:
    backend, name = url.get_backend_name(), url.database or ""
    if backend == "sqlite":
        # Also through a symbolic link, or from another working directory.
        return backend, "", None, str(Path(name).resolve())
    return backend, (url.host or "localhost").lower(), url.port, name

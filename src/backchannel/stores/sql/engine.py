"""The database: connection pool, short transactions, and errors that can be shown to users.

No connection is held while a response streams: `read()` and `write()` are for a few statements. The differences between
databases are in `dialects`.
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
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from backchannel.errors import BackchannelError, UnavailableError
from backchannel.errors.base import too_large_to_store_error
from backchannel.stores.sql.dialects import PoolOptions, dialect_of
from backchannel.stores.sql.pre_ping import pre_ping
from backchannel.stores.sql.read_only import drop_read_only_connections

RETRY_AFTER_SECONDS = 2
"""`retry_after` of errors while the database is unavailable or busy."""


class TransactionAbortedError(UnavailableError):
    """The transaction failed for a transient reason: a deadlock, a conflict with another writer, a closed connection.
    `transactions.retryable` retries it.

    Attributes:
        commit_unknown: Whether it may have been committed, because the connection was closed during the commit.
    """

    commit_unknown: bool = False


class Database:
    """A pool of connections to one database.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` for one in memory,
            `postgresql://USER:PASSWORD@HOST/NAME` or `mysql://USER:PASSWORD@HOST/NAME`.
        pool: Pool size and time limits.

    Raises:
        ConfigurationError: The URL is invalid or not supported, or its folder cannot be created.
    """

    def __init__(self, url: str, pool: PoolOptions | None = None) -> None:
        self.url, self.dialect = dialect_of(url)
        self._pool = pool or PoolOptions()
        self.engine = self._create_engine(time_limits=True)
        self._joined: ContextVar[tuple[AsyncConnection, object] | None] = ContextVar("joined", default=None)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for statements that change nothing. Each statement sees one snapshot; several may see different
        ones.

        Raises:
            UnavailableError: All connections are in use, or the database cannot be reached.
        """
        if (joined := self._joined_connection()) is not None:
            yield joined
            return
        async with self._translated_errors(), self._checked_out(self.engine) as connection:
            if self.dialect.read_options:
                await connection.execution_options(**self.dialect.read_options)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction that is committed after the block and rolled back on any exception.

        On SQLite the write lock is taken at once (`BEGIN IMMEDIATE`), so that data read in the transaction does not
        change before it writes. Inside `transaction` it is part of that transaction.

        Raises:
            UnavailableError: All connections are in use, or the database cannot be reached.
            TransactionAbortedError: The transaction can be retried.
        """
        if (joined := self._joined_connection()) is not None:
            yield joined
            return
        async with self._translated_errors(), self._checked_out(self.engine) as connection:
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
            translated = self._translate_error(error)
            if isinstance(translated, TransactionAbortedError) and not self.dialect.is_read_only(error.orig):
                translated.commit_unknown = error.connection_invalidated
            raise translated or error from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        """Run every `write()` and `read()` of this task inside the block in one transaction.

        Tasks that the block starts do not take part.
        """
        if self._joined_connection() is not None:
            yield
            return
        async with self.write() as connection:
            token = self._joined.set((connection, asyncio.current_task()))
            try:
                yield
            finally:
                self._joined.reset(token)

    def is_same_as(self, other: "Database") -> bool:
        """Whether another object is for the same database, regardless of its user and options."""
        if self.in_memory or other.in_memory:
            return self is other
        return _location(self.url) == _location(other.url)

    @property
    def in_memory(self) -> bool:
        """Whether the database is in this process's memory only."""
        return self.dialect.in_memory(self.url)

    @property
    def in_transaction(self) -> bool:
        """Whether this task is inside `transaction`."""
        return self._joined_connection() is not None

    def _joined_connection(self) -> AsyncConnection | None:
        joined = self._joined.get()
        # A task inherits the context variables of the one that started it, but must not share its connection.
        return joined[0] if joined is not None and joined[1] is asyncio.current_task() else None

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction under a named lock and without time limits.

        Of several processes that use the same name, one at a time enters the block. On MariaDB and MySQL, changes of
        the schema commit at once and are not rolled back.
        """
        engine = self.engine if self.in_memory else self._create_engine(time_limits=False)
        try:
            async with self._translated_errors(), self._checked_out(engine) as connection:
                await connection.execution_options(**self.dialect.write_options)
                async with self.dialect.lock(connection, name):
                    yield connection
                    await connection.commit()
        finally:
            if engine is not self.engine:
                await engine.dispose()

    @asynccontextmanager
    async def _checked_out(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        connection = engine.connect()
        try:
            await connection.start()
        except PoolTimeoutError:
            raise
        except Exception as error:
            # Drivers raise different errors here, and none is due to the caller.
            raise self._unreachable() from error
        try:
            yield connection
        finally:
            await connection.close()

    async def check(self) -> None:
        """Check that the database responds and accepts writes.

        Raises:
            UnavailableError: It does not.
        """
        async with self.read() as connection:
            flags = (await connection.execute(text(self.dialect.read_only_query))).one()
            if not {str(flag).lower() for flag in flags} <= {"0", "off"}:
                # It depends on the user, too. Changes nothing.
                await connection.execute(text("DELETE FROM replicas WHERE 1 = 0"))

    async def close(self) -> None:
        """Close all connections. The object cannot be used afterwards."""
        await self.engine.dispose()

    def _create_engine(self, *, time_limits: bool) -> AsyncEngine:
        arguments: dict[str, Any] = self.dialect.engine_arguments(
            self.url, self._pool, time_limits=time_limits
        )
        # Users' data must not get into logs as part of an error's text.
        engine = create_async_engine(self.dialect.driver_url(self.url), hide_parameters=True, **arguments)
        self.dialect.configure_engine(engine.sync_engine)
        if self._pool.pre_ping and self.dialect.has_server:
            pre_ping(engine.sync_engine)
        drop_read_only_connections(engine.sync_engine, self.dialect.is_read_only)
        return engine

    @asynccontextmanager
    async def _translated_errors(self) -> AsyncGenerator[None]:
        """Raise errors of the database and its connections as `UnavailableError`, and other errors unchanged."""
        try:
            yield
        except (DBAPIError, PoolTimeoutError, ConnectionError, TimeoutError) as error:
            translated = self._translate_error(error)
            if translated is None:
                raise
            raise translated from error

    def _translate_error(self, error: Exception) -> BackchannelError | None:
        if isinstance(error, PoolTimeoutError):
            return UnavailableError(
                "The server is busy: every connection to its database is in use. Try again in a moment.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        if not isinstance(error, DBAPIError):
            # Some drivers raise the errors of the socket unchanged.
            return self._unreachable()
        if self.dialect.is_conflict(error):
            return TransactionAbortedError(
                "The same data was changed by another request at the same time. Try again.", retry_after=1
            )
        if self.dialect.is_too_large(error):
            return too_large_to_store_error()
        if self.dialect.is_read_only(error.orig):
            return TransactionAbortedError(
                "The server's database accepts no changes at the moment. Try again soon.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        if error.connection_invalidated or self.dialect.is_unavailable(error):
            return self._unreachable()
        return None

    def _unreachable(self) -> TransactionAbortedError:
        return TransactionAbortedError(
            "The server's database cannot be reached. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        )


def no_response_error() -> UnavailableError:
    """The error of a transaction that took too long."""
    return UnavailableError(
        "The server's database does not respond. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
    )


def _location(url: URL) -> tuple[str, str, int | None, str]:
    backend, name = url.get_backend_name(), url.database or ""
    if backend == "sqlite":
        # The same file also through a symbolic link, or from another working directory.
        return backend, "", None, str(Path(name).resolve())
    return backend, (url.host or "localhost").lower(), url.port, name

"""The contract between the SQL stores and a kind of database.

Statements are the same for all databases, except for those that a `Dialect` builds. To support another kind of
database, write its dialect, add it to `urls.py`, and add a server to the contract suites.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Executable, Select, Table, Update
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK_SECONDS = 120
"""How long a process waits for the migration of another one."""

CONNECT_SECONDS = 5
"""How long the database may take to accept a connection."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The size of a process's connection pool, and time limits.

    Attributes:
        size: Connections kept open.
        overflow: Further ones opened under load and closed after it.
        timeout: Seconds that a caller waits for a free one before `UnavailableError`.
        recycle: Seconds after which a connection is replaced when it is next used; -1 never.
        pre_ping: Whether an idle connection is pinged before it is used; see `stores.sql.pre_ping`.
        statement_timeout: Seconds that one statement may take; on SQLite, that it waits for another writer.
    """

    size: int = 5
    overflow: int = 10
    timeout: float = 5
    recycle: float = 1800
    pre_ping: bool = True
    statement_timeout: float = 30

    def engine_arguments(self) -> dict[str, Any]:
        """The pool's arguments for `create_async_engine`."""
        return {
            "pool_size": self.size,
            "max_overflow": self.overflow,
            "pool_timeout": self.timeout,
            "pool_recycle": self.recycle,
        }


class Dialect(ABC):
    """A kind of database. Has no state.

    Attributes:
        name: The name of SQLAlchemy's dialect.
        scheme: The form of a URL, for messages.
        has_server: Whether connections are to a server, which may close them.
        read_options: Execution options of connections for reading.
        write_options: Execution options of connections for writing.
        read_only_query: A query for values of which each is `0` or `off` unless the server may refuse writes.
    """

    name: ClassVar[str]
    scheme: ClassVar[str]
    has_server: ClassVar[bool] = True
    read_options: ClassVar[Mapping[str, Any]] = {}
    write_options: ClassVar[Mapping[str, Any]] = {}
    read_only_query: ClassVar[str] = "SELECT 0"

    @abstractmethod
    def url(self, given: URL) -> URL:
        """The URL for the supported driver, regardless of the driver in the given one.

        Raises:
            ValueError: A parameter of the URL is unknown; the message names it.
        """

    def driver_url(self, url: URL) -> URL:
        """The URL without the parameters that `engine_arguments` passes to the driver. Default: unchanged."""
        return url

    @abstractmethod
    def engine_arguments(self, url: URL, pool: PoolOptions, *, time_limits: bool) -> dict[str, Any]:
        """Arguments of `create_async_engine` besides the URL.

        Args:
            time_limits: Whether statements have a time limit. Those of a migration have none.
        """

    def in_memory(self, url: URL) -> bool:
        """Whether the database is in this process's memory, in one connection. Default: no."""
        del url
        return False

    def configure_engine(self, engine: Engine) -> None:
        """Add event listeners to an engine. Default: none."""
        del engine

    @abstractmethod
    def is_conflict(self, error: DBAPIError) -> bool:
        """Whether the transaction was aborted because of another one, so that a retry may succeed."""

    @abstractmethod
    def is_unavailable(self, error: DBAPIError) -> bool:
        """Whether the database cannot be reached, is shutting down, is full, or was locked for too long."""

    def is_read_only(self, error: BaseException | None) -> bool:
        """Whether a driver's error says that the server refuses all writes, as in a fail-over. Default: no."""
        del error
        return False

    def is_too_large(self, error: DBAPIError) -> bool:
        """Whether the database refused a statement for its size. Default: no."""
        del error
        return False

    @abstractmethod
    def upsert(
        self,
        table: Table,
        values: Mapping[str, Any],
        *,
        key: Sequence[str],
        change: Sequence[str],
        owned: ColumnElement[bool],
    ) -> Executable:
        """`INSERT` a row, or `UPDATE` the columns `change` of the one with the same `key` if it is `owned`."""

    @abstractmethod
    async def increment(
        self, connection: AsyncConnection, change: Update, selected: Select[Any], column: ColumnElement[Any]
    ) -> Any:
        """Run `change` on one row; returns the new value of `column`, which `selected` selects, or `None` if there is
        no such row. The row is locked until the transaction ends."""

    async def execute_many(
        self, connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Execute a statement in the driver's own syntax once for each row. Errors may be raised only by the next
        statement of the transaction or its commit."""
        await connection.exec_driver_sql(statement, list(rows))

    @abstractmethod
    def lock(self, connection: AsyncConnection, name: str) -> AbstractAsyncContextManager[None]:
        """A lock between processes by name; waits for up to `LOCK_SECONDS`.

        The block must commit its transaction itself, before the lock is released.
        """

    @abstractmethod
    def search(self, entries: Table, words: Sequence[str]) -> "Match":
        """The condition for rows of `entries` whose `words` have, for each of the given words, one that begins with it.
        The words consist of letters and digits."""


@dataclass(frozen=True, slots=True)
class Match:
    """A full-text condition.

    Attributes:
        source: The `FROM` clause: the table of entries, joined with its index if that is a table.
        condition: The `WHERE` clause.
        rank: How well a row matches; larger is better.
    """

    source: Any
    condition: ColumnElement[bool]
    rank: ColumnElement[float]

"""The contract between the SQL store and a kind of database.

Statements are built once, for all databases; what cannot be said to all of them in the same words stands in a
`Dialect`. To serve another kind of database, write its dialect, name it in `urls.py`, and give the contract
suites its address.
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
"""How long a process waits for another one's migration before it gives up."""

CONNECT_SECONDS = 5
"""How long the database may take to accept a connection."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How many connections a process keeps, and for how long it waits.

    Attributes:
        size: Connections kept open.
        overflow: Further ones opened under load and closed after it.
        timeout: Seconds that a caller waits for a free one before it is told that the server is busy.
        recycle: Seconds after which a connection is replaced when it is next used; -1 never.
        pre_ping: Whether a connection that was idle is asked for a sign of life before it is used; see `pinging`.
        statement_timeout: Seconds that one statement may take; on SQLite, that it may wait for another writer.
    """

    size: int = 5
    overflow: int = 10
    timeout: float = 5
    recycle: float = 1800
    pre_ping: bool = True
    statement_timeout: float = 30

    def engine_arguments(self) -> dict[str, Any]:
        """What SQLAlchemy's pool is told."""
        return {
            "pool_size": self.size,
            "max_overflow": self.overflow,
            "pool_timeout": self.timeout,
            "pool_recycle": self.recycle,
        }


class Dialect(ABC):
    """A kind of database. Has no state.

    Attributes:
        name: As SQLAlchemy calls it.
        scheme: How a URL of it begins, for messages.
        served: Whether a server keeps it, which may end connections.
        read_options: Execution options of connections that only read.
        write_options: Execution options of connections that write.
    """

    name: ClassVar[str]
    scheme: ClassVar[str]
    served: ClassVar[bool] = True
    read_options: ClassVar[Mapping[str, Any]] = {}
    write_options: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def url(self, given: URL) -> URL:
        """The URL for the driver that is used, whatever driver and parameters the given one names.

        Raises:
            ValueError: A parameter of the URL is not known; the message names it.
        """

    def driver_url(self, url: URL) -> URL:
        """The URL without what `engine_arguments` hands to the driver in another way. The same, for most."""
        return url

    @abstractmethod
    def engine_arguments(self, url: URL, pool: PoolOptions, *, time_limits: bool) -> dict[str, Any]:
        """What `create_async_engine` is given besides the URL.

        Args:
            time_limits: Whether statements have a time limit. Those of a migration have none.
        """

    def in_memory(self, url: URL) -> bool:
        """Whether what a URL names lives in this process's memory, in one connection. Does not, for most."""
        del url
        return False

    def prepare(self, engine: Engine) -> None:
        """Add what has to be done for every connection. Nothing, for most."""
        del engine

    @abstractmethod
    def is_conflict(self, error: DBAPIError) -> bool:
        """Whether the database gave up the transaction for another one's sake, so that it is worth repeating."""

    @abstractmethod
    def is_out_of_reach(self, error: DBAPIError) -> bool:
        """Whether the database was not there, is shutting down, or is full or locked for too long."""

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
        """`INSERT` a row, or change the columns `change` of the one with the same `key`, if it is `owned`."""

    @abstractmethod
    async def count_up(
        self, connection: AsyncConnection, change: Update, count: Select[Any], column: ColumnElement[Any]
    ) -> Any:
        """Run `change` on one row and give its `column` afterwards, which `count` selects; `None` if there is no
        such row. The row stays locked until the transaction ends."""

    async def execute_many(
        self, connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Execute a statement in the driver's own words once for each row. What goes wrong may be raised only by the
        transaction's next statement or its commit."""
        await connection.exec_driver_sql(statement, list(rows))

    @abstractmethod
    def lock(self, connection: AsyncConnection, name: str) -> AbstractAsyncContextManager[None]:
        """Keep other processes out of the block, if they ask with the same name; waits `LOCK_SECONDS`.

        The block commits its work itself, before the next one is let in.
        """

    @abstractmethod
    def search(self, entries: Table, words: Sequence[str]) -> "Match":
        """How to find the rows of `entries` whose `words` have, for each of the given ones, one that begins with it.
        All are letters and digits."""


@dataclass(frozen=True, slots=True)
class Match:
    """A full-text condition.

    Attributes:
        source: What to select from: the table of entries, joined with its index where that is a table too.
        condition: Holds for the rows that match.
        rank: How well a row matches; more is better.
    """

    source: Any
    condition: ColumnElement[bool]
    rank: ColumnElement[float]

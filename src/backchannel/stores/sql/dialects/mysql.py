"""MariaDB from version 10.6, and MySQL from version 8.0.17."""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, override

from sqlalchemy import ColumnElement, Executable, Select, Table, Update, case, func, text
from sqlalchemy.dialects.mysql import insert, match
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.errors import UnavailableError
from backchannel.stores.sql.dialects.base import CONNECT_SECONDS, LOCK_SECONDS, Dialect, Match, PoolOptions
from backchannel.stores.sql.dialects.mysql_packets import limit_packets, rows_by_packet

# Sources: https://mariadb.com/kb/en/mariadb-error-codes/ and MySQL's server and client error references.
_LOCK_WAIT, _DEADLOCK, _CHANGED_SINCE_READ = 1205, 1213, 1020
_PACKET_TOO_LARGE = 1153
_UNAVAILABLE = frozenset(
    {
        1021,
        1037,
        1038,
        1040,
        1041,
        1047,
        1053,
        1129,
        1203,
        1927,
        1969,
        2002,
        2003,
        2006,
        2013,
        3024,
        3032,
        3168,
        4031,
    }
)
# The first is also the error of other options, which its text names.
_OPTION_PREVENTS, _READ_ONLY = 1290, frozenset({1036, 1792, 1836})

_DRIVER_PARAMETERS = frozenset({"unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_check_hostname"})


class Mysql(Dialect):
    """MariaDB or MySQL through asyncmy."""

    name = "mysql"
    read_only_query = "SELECT @@global.read_only, @@global.innodb_read_only"
    scheme = "mysql://USER:PASSWORD@HOST/NAME"

    @override
    def url(self, given: URL) -> URL:
        for name, value in given.query.items():
            if name == "charset":
                if value != "utf8mb4":
                    raise ValueError(f"charset={value} cannot hold every text; remove it")
            elif name not in _DRIVER_PARAMETERS:
                raise ValueError(f"the parameter {name}={value} is not known to the driver; remove it")
        if not given.database:
            raise ValueError("the name of the database is missing: mysql://USER:PASSWORD@HOST/NAME")
        return given.set(drivername="mysql+asyncmy").update_query_dict({"charset": "utf8mb4"})

    @override
    def engine_arguments(self, url: URL, pool: PoolOptions, *, time_limits: bool) -> dict[str, Any]:
        arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
        if time_limits:
            arguments["read_timeout"] = pool.statement_timeout
        # READ COMMITTED takes no gap locks, which would block writers of other threads.
        return {"connect_args": arguments, "isolation_level": "READ COMMITTED", **pool.engine_arguments()}

    @override
    def configure_engine(self, engine: Engine) -> None:
        limit_packets(engine)

    @override
    async def execute_many(
        self, connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        # MariaDB gets all rows of a statement in one packet.
        assert connection.sync_connection is not None
        for group in rows_by_packet(connection.sync_connection, statement, rows):
            await super().execute_many(connection, statement, group)

    @override
    def is_too_large(self, error: DBAPIError) -> bool:
        return _code(error.orig) == _PACKET_TOO_LARGE

    @override
    def is_conflict(self, error: DBAPIError) -> bool:
        return _code(error.orig) in {_LOCK_WAIT, _DEADLOCK, _CHANGED_SINCE_READ}

    @override
    def is_unavailable(self, error: DBAPIError) -> bool:
        return _code(error.orig) in _UNAVAILABLE

    @override
    def is_read_only(self, error: BaseException | None) -> bool:
        code = _code(error)
        return code in _READ_ONLY or (code == _OPTION_PREVENTS and "read" in str(error))

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
        statement = insert(table).values(values)
        if not change:
            # Changes nothing, and unlike INSERT IGNORE hides no other error.
            return statement.on_duplicate_key_update({key[0]: table.c[key[0]]})
        # There is no WHERE here; in a row of another owner each column is set to its current value.
        return statement.on_duplicate_key_update(
            {column: case((owned, statement.inserted[column]), else_=table.c[column]) for column in change}
        )

    @override
    async def increment(
        self, connection: AsyncConnection, change: Update, selected: Select[Any], column: ColumnElement[Any]
    ) -> Any:
        # MariaDB has no UPDATE … RETURNING. The update has locked the row until the transaction ends.
        del column
        if not (await connection.execute(change)).rowcount:
            return None
        return (await connection.execute(selected)).scalar_one()

    @override
    @asynccontextmanager
    async def lock(self, connection: AsyncConnection, name: str) -> AsyncGenerator[None]:
        # Named locks are global to the server, and their names have at most 64 characters.
        parameters = {"name": f"{name}:{connection.engine.url.database}"[:64], "seconds": LOCK_SECONDS}
        acquired = await connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), parameters)
        if acquired.scalar_one() != 1:
            raise UnavailableError("Another process is migrating the database and does not finish.")
        driver_logger = logging.getLogger("asyncmy")
        driver_logger.addFilter(_is_worth_logging)
        try:
            yield
        finally:
            driver_logger.removeFilter(_is_worth_logging)
            await connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": parameters["name"]})

    @override
    def search(self, entries: Table, words: Sequence[str]) -> Match:
        query = " ".join(f"+{word}*" for word in words)
        matching = match(entries.c.words, against=query).in_boolean_mode()
        return Match(source=entries, condition=matching, rank=func.coalesce(matching, 0))


def _code(error: BaseException | None) -> int:
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def _is_worth_logging(record: logging.LogRecord) -> bool:
    # Primary keys have no names on MariaDB and MySQL, which warn about those of the migrations.
    return "ignored for PRIMARY key" not in record.getMessage()

"""PostgreSQL, from version 12."""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, override

from sqlalchemy import ColumnElement, Table, func, literal_column, text
from sqlalchemy.dialects.postgresql import REGCONFIG, Insert, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.stores.sql.dialects.base import (
    CONNECT_SECONDS,
    LOCK_SECONDS,
    Match,
    PoolOptions,
)
from backchannel.stores.sql.dialects.on_conflict import OnConflict

# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
_READ_ONLY = "25006"
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")

# Parameters of URLs, most of them for libpq, by the way they are passed to the driver.
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_CONNECTION_PARAMETERS = frozenset({"host", "port", "passfile"})
_NUMERIC_PARAMETERS = frozenset({"prepared_statement_cache_size", "statement_cache_size"})
_SERVER_SETTINGS = frozenset({"application_name", "search_path", "timezone"})


class Postgresql(OnConflict):
    """PostgreSQL through asyncpg."""

    name = "postgresql"
    scheme = "postgresql://USER:PASSWORD@HOST/NAME"
    # A single statement sees one snapshot anyway; BEGIN and ROLLBACK would be two more round trips.
    read_only_query = "SELECT current_setting('transaction_read_only')"
    read_options: ClassVar[Mapping[str, Any]] = {"isolation_level": "AUTOCOMMIT"}

    @override
    def url(self, given: URL) -> URL:
        query: dict[str, Any] = {}
        for name, value in given.query.items():
            if name in {"sslmode", "ssl"}:
                if value not in _SSL_MODES:
                    raise ValueError(f"{name}={value} is not one of {', '.join(sorted(_SSL_MODES))}")
                query["ssl"] = value
            elif (
                name in _CONNECTION_PARAMETERS
                or name in _SERVER_SETTINGS
                or (name in _NUMERIC_PARAMETERS and str(value).isdecimal())
            ):
                query[name] = value
            elif name == "channel_binding" and value in {"disable", "prefer"}:
                pass
            else:
                raise ValueError(f"the parameter {name}={value} is not known to the driver; remove it")
        return given.set(drivername="postgresql+asyncpg", query=query)

    @override
    def driver_url(self, url: URL) -> URL:
        return url.difference_update_query([*_NUMERIC_PARAMETERS, *_SERVER_SETTINGS])

    @override
    def engine_arguments(self, url: URL, pool: PoolOptions, *, time_limits: bool) -> dict[str, Any]:
        settings = {name: value for name, value in url.query.items() if name in _SERVER_SETTINGS}
        arguments: dict[str, Any] = {
            "timeout": CONNECT_SECONDS,
            "server_settings": {"application_name": "backchannel", **settings},
            **{name: int(str(value)) for name, value in url.query.items() if name in _NUMERIC_PARAMETERS},
        }
        if time_limits:
            arguments["command_timeout"] = pool.statement_timeout
        return {"connect_args": arguments, **pool.engine_arguments()}

    @override
    def is_conflict(self, error: DBAPIError) -> bool:
        return _state(error.orig) in _CONFLICTS

    @override
    def is_unavailable(self, error: DBAPIError) -> bool:
        return _state(error.orig).startswith(_UNAVAILABLE_CLASSES)

    @override
    def is_read_only(self, error: BaseException | None) -> bool:
        return _state(error) == _READ_ONLY

    @override
    def insert(self, table: Table) -> Insert:
        return insert(table)

    @override
    @asynccontextmanager
    async def lock(self, connection: AsyncConnection, name: str) -> AsyncGenerator[None]:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        # Released when the transaction ends, so that its changes are visible to the next process.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
        yield

    @override
    def search(self, entries: Table, words: Sequence[str]) -> Match:
        terms = " & ".join(f"{word}:*" for word in words)
        simple = literal_column("'simple'", REGCONFIG)
        # A generated column, on PostgreSQL only; see migration 0002.
        lexemes: ColumnElement[Any] = literal_column("search_entries.lexemes")
        query = func.to_tsquery(simple, terms)
        return Match(
            source=entries, condition=lexemes.bool_op("@@")(query), rank=func.ts_rank_cd(lexemes, query)
        )


def _state(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")

"""PostgreSQL, from version 12."""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, override

from sqlalchemy import ColumnElement, Executable, Select, Table, Update, func, literal_column, text
from sqlalchemy.dialects.postgresql import REGCONFIG, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.stores.sql.dialects.base import (
    CONNECT_SECONDS,
    LOCK_SECONDS,
    Dialect,
    Match,
    PoolOptions,
)

# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
_OUT_OF_REACH_CLASSES = ("08", "53", "57", "58")

# What people's URLs carry, most of it for libpq, and how the driver wants it.
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_PASSED_ON = frozenset({"host", "port", "passfile", "prepared_statement_cache_size", "statement_cache_size"})
_SETTINGS = frozenset({"application_name", "search_path", "timezone"})


class Postgresql(Dialect):
    """PostgreSQL through asyncpg."""

    name = "postgresql"
    scheme = "postgresql://USER:PASSWORD@HOST/NAME"
    # A statement of its own is consistent by itself; BEGIN and ROLLBACK would be two more round trips.
    read_options: ClassVar[Mapping[str, Any]] = {"isolation_level": "AUTOCOMMIT"}

    @override
    def url(self, given: URL) -> URL:
        known: dict[str, Any] = {}
        for name, value in given.query.items():
            if name in {"sslmode", "ssl"}:
                if value not in _SSL_MODES:
                    raise ValueError(f"{name}={value} is not one of {', '.join(sorted(_SSL_MODES))}")
                known["ssl"] = value
            elif name in _PASSED_ON or name in _SETTINGS:
                known[name] = value
            elif name == "channel_binding" and value in {"disable", "prefer"}:
                pass
            else:
                raise ValueError(f"the parameter {name}={value} is not known to the driver; remove it")
        return given.set(drivername="postgresql+asyncpg", query=known)

    @override
    def engine_arguments(self, url: URL, pool: PoolOptions, *, hurried: bool) -> dict[str, Any]:
        settings = {name: value for name, value in url.query.items() if name in _SETTINGS}
        arguments: dict[str, Any] = {
            "timeout": CONNECT_SECONDS,
            "server_settings": {"application_name": "backchannel", **settings},
        }
        if hurried:
            arguments["command_timeout"] = pool.statement_timeout
        return {"connect_args": arguments, **pool.engine_arguments()}

    @override
    def is_conflict(self, error: DBAPIError) -> bool:
        return _state(error) in _CONFLICTS

    @override
    def is_out_of_reach(self, error: DBAPIError) -> bool:
        return _state(error).startswith(_OUT_OF_REACH_CLASSES)

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
            return statement.on_conflict_do_nothing(index_elements=list(key))
        changes = {column: statement.excluded[column] for column in change}
        return statement.on_conflict_do_update(index_elements=list(key), set_=changes, where=owned)

    @override
    async def count_up(
        self, connection: AsyncConnection, change: Update, count: Select[Any], column: ColumnElement[Any]
    ) -> Any:
        del count
        return (await connection.execute(change.returning(column))).scalar_one_or_none()

    @override
    @asynccontextmanager
    async def lock(self, connection: AsyncConnection, name: str) -> AsyncGenerator[None]:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        # Given back when the transaction ends, so that what was done is visible to the next one.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
        yield

    @override
    def search(self, entries: Table, words: Sequence[str]) -> Match:
        query = " & ".join(f"{word}:*" for word in words)
        simple = literal_column("'simple'", REGCONFIG)
        # The generated column that only this dialect has; see migration 0002.
        lexemes: ColumnElement[Any] = literal_column("search_entries.lexemes")
        asked = func.to_tsquery(simple, query)
        return Match(
            source=entries, condition=lexemes.bool_op("@@")(asked), rank=func.ts_rank_cd(lexemes, asked)
        )


def _state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")

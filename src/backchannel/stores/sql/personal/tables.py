"""The tables with users' data, and reading and deleting their rows in batches."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity
from backchannel.errors import ConfigurationError
from backchannel.stores.sql.file_deletions import delete_files
from backchannel.stores.sql.migrate import CORE, Migrations
from backchannel.stores.sql.ownership import delete_owned, select_owned
from backchannel.stores.sql.tables import (
    audit_log,
    budget_reservations,
    files,
    provider_logins,
    sessions,
    threads,
    users,
)

BATCH = 500
"""The most rows that one page reads or one transaction deletes."""

KEPT_TABLES = (audit_log, budget_reservations)
"""Tables whose rows are exported, and stay when a person is erased: the log must say who had access, and when. (The
GDPR permits it where it is needed for security and legal claims: article 17, paragraph 3.) The reservation of a call of
a model is deleted with the end of the call: erased before, what it holds of the tenant's budget would be lost."""

SECRET_COLUMNS = frozenset(
    {users.c.password_hash, sessions.c.token_hash, sessions.c.rotation_key, provider_logins.c.sealed}
)
"""Columns that are not exported: with them, somebody who has the file could guess a password or replay an exchange."""

MAX_PAUSE_SECONDS = 0.5
"""The longest pause after a transaction; see `throttled`."""


def owned_tables(*sets: Migrations) -> Sequence[Table]:
    """The tables of Backchannel and of each given set whose rows have an owner, in the order of deletion: a table comes
    after those that refer to it.

    Raises:
        ConfigurationError: One of them has no primary key.
    """
    parents_first = [table for each in dict.fromkeys((CORE, *sets)) for table in each.metadata.sorted_tables]
    owned = [table for table in reversed(parents_first) if {"tenant", "user_id"} <= set(table.columns.keys())]
    for table in owned:
        if not list(table.primary_key.columns):
            raise ConfigurationError(
                f"The table {table.name} has no primary key, and what it holds of people could not be deleted."
            )
    return owned


def thread_column(table: Table) -> Column[Any] | None:
    """The column of `table` that refers to threads; `None` if there is none."""
    references = (column for column in table.columns if _refers_to_threads(column))
    return next(references, None)


def _refers_to_threads(column: Column[Any]) -> bool:
    # By name, because an application's table may have other metadata than Backchannel's.
    return any(key.target_fullname == f"{threads.name}.id" for key in column.foreign_keys)


def keyset_after(columns: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """The condition of keyset pagination: rows after `last` in the order of `columns`."""
    column, value = columns[0], last[0]
    if len(columns) == 1:
        return column > value
    # The first condition bounds the index range, also on MariaDB, which uses no index for the second one.
    return and_(column >= value, or_(column > value, keyset_after(columns[1:], last[1:])))


async def delete_batch(
    connection: AsyncConnection,
    identity: Identity,
    table: Table,
    limit: int,
    *,
    where: Sequence[ColumnElement[bool]] = (),
    recheck: Sequence[ColumnElement[bool]] = (),
    order: Sequence[ColumnElement[Any]] = (),
) -> tuple[int, int]:
    """Delete up to `limit` of a user's rows; returns how many were found, and how many of them were deleted.

    Args:
        where: The conditions by which rows are found.
        recheck: Further conditions, which must still hold when the rows are deleted.
        order: Should be that of an index, because every batch is a new query.
    """
    # Two statements, because MariaDB supports no LIMIT in a subquery; the second one by keys only, because with the
    # first one's conditions a planner may scan all rows that match those.
    key = list(table.primary_key.columns)
    batch = select_owned(identity, table, *key).where(*where, *recheck).order_by(*order).limit(limit)
    found = [tuple(row) for row in await connection.execute(batch)]
    if not found:
        return 0, 0
    if table is files:
        return len(found), await delete_files(connection, [file_id for (file_id,) in found])
    deletion = delete_owned(identity, table).where(_has_key(key, found), *recheck)
    return len(found), (await connection.execute(deletion)).rowcount


def _has_key(key: Sequence[Column[Any]], values: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    *leading, last = key
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for *prefix, value in values:
        groups.setdefault(tuple(prefix), []).append(value)
    # Not a list of pairs, for which MariaDB would scan all rows.
    return or_(
        *(
            and_(
                *(column == value for column, value in zip(leading, prefix, strict=True)),
                _is_one_of(last, last_values),
            )
            for prefix, last_values in groups.items()
        )
    )


def _is_one_of(column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    is_one_of = column.in_(values)
    if not all(isinstance(value, int) for value in values):
        return is_one_of
    # The range is redundant, but PostgreSQL estimates its cost well; without it, it would scan all items of the
    # thread.
    return and_(column >= min(values), column <= max(values), is_one_of)


@asynccontextmanager
async def throttled() -> AsyncGenerator[None]:
    """Pause after the block for as long as it took, so that other writers get locks half of the time."""
    began = perf_counter()
    yield
    await asyncio.sleep(min(perf_counter() - began, MAX_PAUSE_SECONDS))

"""Which tables hold what belongs to people, and how their rows are read and deleted a few at a time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity
from backchannel.errors import ConfigurationError
from backchannel.stores.sql.migrate import CORE, Migrations
from backchannel.stores.sql.ownership import delete_owned, select_owned
from backchannel.stores.sql.tables import threads

BATCH = 500
"""The most rows that one page reads or one transaction deletes."""

LONGEST_PAUSE = 0.5
"""Seconds that other writers are given after a transaction, at most."""


def owned_tables(*sets: Migrations) -> Sequence[Table]:
    """The tables of Backchannel and of each given set whose rows have an owner, in an order in which they can be
    deleted: what refers to a table comes before it.

    Raises:
        ConfigurationError: One of them has no primary key, so that its rows cannot be told apart.
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
    """The column by which rows of `table` belong to a thread and are deleted with it, if there is one."""
    references = (column for column in table.columns if _refers_to_threads(column))
    return next(references, None)


def _refers_to_threads(column: Column[Any]) -> bool:
    # By name: an application's table may know of threads without having Backchannel's metadata.
    return any(key.target_fullname == f"{threads.name}.id" for key in column.foreign_keys)


def beyond(columns: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """The condition that a row comes after `last` in the order of `columns`."""
    column, value = columns[0], last[0]
    if len(columns) == 1:
        return column > value
    # The first condition alone bounds the index, also on MariaDB, which uses none for a pair's order.
    return and_(column >= value, or_(column > value, beyond(columns[1:], last[1:])))


async def delete_some(
    connection: AsyncConnection,
    identity: Identity,
    table: Table,
    limit: int,
    *,
    among: Sequence[ColumnElement[bool]] = (),
    still: Sequence[ColumnElement[bool]] = (),
    order: Sequence[ColumnElement[Any]] = (),
) -> tuple[int, int]:
    """Delete up to `limit` of a person's rows; gives how many were found, and how many of them were still there.

    Args:
        among: Where they are looked for.
        still: What must hold when they are looked for, and again when they are deleted.
        order: Which come first. Should be that of an index: every batch begins anew.
    """
    # Two statements, because MariaDB takes no LIMIT in a subquery; and the second one by keys alone, because a
    # planner that has more to choose from may choose to look at every row of the first one's.
    key = list(table.primary_key.columns)
    some = select_owned(identity, table, *key).where(*among, *still).order_by(*order).limit(limit)
    found = [tuple(row) for row in await connection.execute(some)]
    if not found:
        return 0, 0
    gone = delete_owned(identity, table).where(_has_key(key, found), *still)
    return len(found), (await connection.execute(gone)).rowcount


def _has_key(key: Sequence[Column[Any]], values: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    *leading, last = key
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for *front, back in values:
        groups.setdefault(tuple(front), []).append(back)
    # Not a list of pairs, for which MariaDB would look at every row.
    return or_(
        *(
            and_(
                *(column == value for column, value in zip(leading, front, strict=True)), _is_one(last, backs)
            )
            for front, backs in groups.items()
        )
    )


def _is_one(column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    is_one = column.in_(values)
    if not all(isinstance(value, int) for value in values):
        return is_one
    # A range says nothing new, but what it costs is plain to PostgreSQL, which would otherwise look at each of a
    # thread's items to find 500.
    return and_(column >= min(values), column <= max(values), is_one)


@asynccontextmanager
async def giving_way() -> AsyncGenerator[None]:
    """Wait, after the block, as long as it took, so that other writers get every second turn."""
    began = perf_counter()
    yield
    await asyncio.sleep(min(perf_counter() - began, LONGEST_PAUSE))

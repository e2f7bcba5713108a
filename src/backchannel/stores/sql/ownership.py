"""Whose rows a statement may touch: the one place where that is decided.

Statements on rows that belong to people are built here and nowhere else; `tests/architecture` fails on a
`select`, `insert`, `update` or `delete` from SQLAlchemy in any other module but the few it names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    Update,
    and_,
    delete,
    insert,
    select,
    true,
    update,
)

from backchannel.context import Identity
from backchannel.stores.sql.dialects import Dialect, Match


def owned(identity: Identity, table: Table) -> ColumnElement[bool]:
    """The condition that a row of `table` belongs to `identity`."""
    return and_(table.c.tenant == identity.tenant, table.c.user_id == identity.user)


def owner_values(identity: Identity) -> dict[str, Any]:
    """The column values that make a row belong to `identity`."""
    return {"tenant": identity.tenant, "user_id": identity.user}


def select_owned(identity: Identity, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
    """`SELECT` over the caller's rows; all columns of the table if none are named."""
    return select(*(columns or (table,))).select_from(table).where(owned(identity, table))


def select_matching(
    identity: Identity, table: Table, match: Match, *columns: ColumnElement[Any]
) -> Select[Any]:
    """`SELECT` over those of the caller's rows that match a search, the best first; adds the column `rank`."""
    return (
        select(*columns, match.rank.label("rank"))
        .select_from(match.source)
        .where(match.condition, owned(identity, table))
        .order_by(match.rank.desc(), table.c.id.desc())
    )


def insert_owned(identity: Identity, table: Table, values: Mapping[str, Any]) -> Insert:
    """`INSERT` of one row that belongs to the caller."""
    return insert(table).values({**values, **owner_values(identity)})


def upsert_owned(
    dialect: Dialect,
    identity: Identity,
    table: Table,
    values: Mapping[str, Any],
    *,
    key: Sequence[str],
    change: Sequence[str],
) -> Executable:
    """`INSERT` a row of the caller's, or change the columns `change` of the one with the same `key`; with
    nothing to change, leave it. A row with that key that belongs to somebody else stays as it is.
    """
    whole = {**values, **owner_values(identity)}
    return dialect.upsert(table, whole, key=key, change=change, owned=owned(identity, table))


def insert_new_owned(dialect: Dialect, table: Table, *, key: Sequence[str]) -> Executable:
    """`INSERT` of rows that may belong to several people, each with its `owner_values`; a row whose `key` is there
    already is left out."""
    return dialect.upsert(table, {}, key=key, change=(), owned=true())


def update_owned(identity: Identity, table: Table) -> Update:
    """`UPDATE` of the caller's rows."""
    return update(table).where(owned(identity, table))


def delete_owned(identity: Identity, table: Table) -> Delete:
    """`DELETE` of the caller's rows."""
    return delete(table).where(owned(identity, table))

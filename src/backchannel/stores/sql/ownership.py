"""Whose rows a statement may touch: the one place where that is decided.

Statements on rows that belong to people are built here and nowhere else; `tests/architecture` fails on a
`select`, `insert`, `update` or `delete` from SQLAlchemy in any other module but the few it names.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    and_,
    delete,
    insert,
    select,
    update,
)

from backchannel.context import Identity


def owned(identity: Identity, table: Table) -> ColumnElement[bool]:
    """The condition that a row of `table` belongs to `identity`."""
    return and_(table.c.tenant == identity.tenant, table.c.user_id == identity.user)


def owner_values(identity: Identity) -> dict[str, Any]:
    """The column values that make a row belong to `identity`."""
    return {"tenant": identity.tenant, "user_id": identity.user}


def select_owned(identity: Identity, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
    """`SELECT` over the caller's rows; all columns of the table if none are named."""
    return select(*(columns or (table,))).select_from(table).where(owned(identity, table))


def insert_owned(identity: Identity, table: Table, values: Mapping[str, Any]) -> Insert:
    """`INSERT` of one row that belongs to the caller."""
    return insert(table).values({**values, **owner_values(identity)})


def update_owned(identity: Identity, table: Table) -> Update:
    """`UPDATE` of the caller's rows."""
    return update(table).where(owned(identity, table))


def delete_owned(identity: Identity, table: Table) -> Delete:
    """`DELETE` of the caller's rows."""
    return delete(table).where(owned(identity, table))

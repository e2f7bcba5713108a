"""Row ownership: the only place that decides which rows a statement may read or change.

Statements on rows with an owner are built here; `tests/architecture` fails on a `select`, `insert`, `update` or
`delete` from SQLAlchemy in any other module, except for those that it lists.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Delete,
    Executable,
    Insert,
    Integer,
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
from backchannel.errors import InvalidInputError
from backchannel.stores.sql.dialects import Dialect, Match

_INTEGERS = ((BigInteger, 63), (Integer, 31))
"""Types of whole numbers with their bits, without the sign."""


def fitting(table: Table, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values, unless one does not fit into its column: databases cut such values off, refuse them, or store them.

    Raises:
        InvalidInputError: A text is too long, or a number too large; the message names the column.
    """
    for name, value in values.items():
        kind = table.c[name].type
        length = getattr(kind, "length", None)
        if isinstance(value, str) and length is not None and len(value) > length:
            raise InvalidInputError(f"{name} has {len(value)} characters; at most {length} can be stored.")
        if isinstance(value, int):
            bits = next((bits for type_, bits in _INTEGERS if isinstance(kind, type_)), None)
            if bits is not None and not -(2**bits) <= value < 2**bits:
                raise InvalidInputError(f"{name} is a number of more than {bits + 1} bits.")
    return values


def owned(identity: Identity, table: Table) -> ColumnElement[bool]:
    """The condition that a row of `table` belongs to `identity`."""
    return and_(table.c.tenant == identity.tenant, table.c.user_id == identity.user)


def owner_values(identity: Identity) -> dict[str, Any]:
    """The column values that make a row belong to `identity`."""
    return {"tenant": identity.tenant, "user_id": identity.user}


def select_owned(identity: Identity, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
    """`SELECT` of the caller's rows; by default of all columns."""
    return select(*(columns or (table,))).select_from(table).where(owned(identity, table))


def select_matching(
    identity: Identity, table: Table, match: Match, *columns: ColumnElement[Any]
) -> Select[Any]:
    """`SELECT` of the caller's rows that match a search, best first, with an additional column `rank`."""
    return (
        select(*columns, match.rank.label("rank"))
        .select_from(match.source)
        .where(match.condition, owned(identity, table))
        .order_by(match.rank.desc(), table.c.id.desc())
    )


def insert_owned(identity: Identity, table: Table, values: Mapping[str, Any]) -> Insert:
    """`INSERT` of one row that belongs to the caller.

    Raises:
        InvalidInputError: A value does not fit into its column.
    """
    return insert(table).values(fitting(table, {**values, **owner_values(identity)}))


def upsert_owned(
    dialect: Dialect,
    identity: Identity,
    table: Table,
    values: Mapping[str, Any],
    *,
    key: Sequence[str],
    change: Sequence[str],
) -> Executable:
    """`INSERT` a row of the caller, or `UPDATE` the columns `change` of the one with the same `key`. Without such
    columns, or if that row has another owner, it is not changed.

    Raises:
        InvalidInputError: A value does not fit into its column.
    """
    row = fitting(table, {**values, **owner_values(identity)})
    return dialect.upsert(table, row, key=key, change=change, owned=owned(identity, table))


def insert_new_owned(dialect: Dialect, table: Table, *, key: Sequence[str]) -> Executable:
    """`INSERT` of rows of several owners, each with its `owner_values`; rows whose `key` exists already are skipped."""
    return dialect.upsert(table, {}, key=key, change=(), owned=true())


def update_owned(identity: Identity, table: Table) -> Update:
    """`UPDATE` of the caller's rows."""
    return update(table).where(owned(identity, table))


def delete_owned(identity: Identity, table: Table) -> Delete:
    """`DELETE` of the caller's rows."""
    return delete(table).where(owned(identity, table))


_IDENTIFYING = frozenset({"users.name", "sessions.token_hash"})
"""Columns whose value says who somebody is, before their identity is known."""


def select_identified(column: Column[Any], value: str) -> Select[Any]:
    """`SELECT` of the one row that the caller is identified by: of an account by the name for its login, of a session
    by the digest of its token. The result says who is calling, and never goes to a caller unchecked.

    Raises:
        ValueError: The column does not identify anybody.
    """
    _check_identifies(column)
    return select(column.table).where(column == value)


def select_identified_with(
    column: Column[Any], value: str, other: Table, *columns: ColumnElement[Any]
) -> Select[Any]:
    """The same, with `columns` of the row that its owner has in another table, one at the most; NULL without one.

    Raises:
        ValueError: The column does not identify anybody.
    """
    _check_identifies(column)
    table = column.table
    same_owner = and_(other.c.tenant == table.c.tenant, other.c.user_id == table.c.user_id)
    return select(table, *columns).select_from(table.outerjoin(other, same_owner)).where(column == value)


def _check_identifies(column: Column[Any]) -> None:
    if str(column) not in _IDENTIFYING:
        raise ValueError(f"{column} does not identify anybody")

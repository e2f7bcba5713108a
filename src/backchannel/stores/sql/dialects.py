"""What the databases do differently, in one place."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Table
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backchannel.context import Identity
from backchannel.stores.sql.ownership import owned, owner_values


def upsert_owned(
    identity: Identity, table: Table, values: Mapping[str, Any], *, key: Sequence[str], change: Sequence[str]
) -> Executable:
    """`INSERT` a row of the caller's, or change the columns `change` of the one with the same `key`; with
    nothing to change, leave it.

    A row with that key that belongs to somebody else stays as it is; the statement then affects no row.
    """
    statement = sqlite_insert(table).values({**values, **owner_values(identity)})
    if not change:
        return statement.on_conflict_do_nothing(index_elements=list(key))
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_={column: statement.excluded[column] for column in change},
        where=owned(identity, table),
    )

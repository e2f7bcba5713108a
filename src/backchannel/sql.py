"""What an application needs to keep tables of its own in Backchannel's database.

Each table carries `owner_columns()`, and each statement is built by `select_owned` and its siblings, so that
nobody's rows can be reached by somebody else.
"""

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations, run_env
from backchannel.stores.sql.ownership import (
    delete_owned,
    insert_owned,
    owned,
    select_owned,
    update_owned,
    upsert_owned,
)
from backchannel.stores.sql.tables import owner_columns
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

__all__ = [
    "BigId",
    "Database",
    "Exact",
    "LongText",
    "Migrations",
    "UtcDateTime",
    "delete_owned",
    "insert_owned",
    "owned",
    "owner_columns",
    "retryable",
    "run_env",
    "select_owned",
    "update_owned",
    "upsert_owned",
]

"""For applications with tables of their own in Backchannel's database.

Give each table the `owner_columns()`, and build each statement with `select_owned`, `insert_owned` and so on, which
restrict it to the rows of one owner.
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

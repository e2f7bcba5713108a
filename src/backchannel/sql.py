"""What an application needs to keep tables of its own in Backchannel's database.

Each table carries `owner_columns()`, and each statement is built by `select_owned` and its siblings, so that
nobody's rows can be reached by somebody else.
"""

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations, run_env
from backchannel.stores.sql.ownership import delete_owned, insert_owned, owned, select_owned, update_owned
from backchannel.stores.sql.tables import owner_columns
from backchannel.stores.sql.types import BigId, UtcDateTime

__all__ = [
    "BigId",
    "Database",
    "Migrations",
    "UtcDateTime",
    "delete_owned",
    "insert_owned",
    "owned",
    "owner_columns",
    "run_env",
    "select_owned",
    "update_owned",
]

"""Users' data: exported or erased on request, and deleted when it is old."""

from backchannel.stores.sql.personal.person import PersonalData
from backchannel.stores.sql.personal.retention import delete_older
from backchannel.stores.sql.personal.tables import BATCH, owned_tables

__all__ = ["BATCH", "PersonalData", "delete_older", "owned_tables"]

"""Asking idle connections for a sign of life before they are used: a restart of the database, or a firewall, may have
ended them. SQLAlchemy would ask before every use, which is more trips to the database than most uses are themselves.
"""

from time import monotonic
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InvalidatePoolError

IDLE_SECONDS = 1.0
"""A connection that was used more recently is not asked. If it has ended since, its first statement finds out, and
`transactions.retryable` does the transaction again."""

_USED = "backchannel_used"


def pre_ping(engine: Engine) -> None:
    """Have an engine's connections asked. When one is dead, all that are open by then are replaced as they come up."""
    dialect = engine.dialect

    def note(_connection: Any, record: Any) -> None:
        record.info[_USED] = monotonic()

    def ask(connection: Any, record: Any, _checked_out: Any) -> None:
        used = record.info.get(_USED)
        if used is None or monotonic() - used < IDLE_SECONDS:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if not dialect.is_disconnect(error, connection, None):
                raise
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", ask)

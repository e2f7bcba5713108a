"""Pings idle connections before they are used: a restart of the database, or a firewall, may have closed them.

SQLAlchemy's `pool_pre_ping` pings before every use, an additional round trip where most uses need only one or two.
"""

from time import monotonic
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InvalidatePoolError

IDLE_SECONDS = 1.0
"""A connection that was used more recently is not pinged. If it is closed, its first statement fails, and
`transactions.retryable` retries the transaction."""

_LAST_USED = "backchannel_last_used"


def pre_ping(engine: Engine) -> None:
    """Ping an engine's idle connections. If one is closed, all that are open at this time are replaced on their next
    use."""
    dialect = engine.dialect

    def record_use(_connection: Any, record: Any) -> None:
        record.info[_LAST_USED] = monotonic()

    def ping_if_idle(connection: Any, record: Any, _checked_out: Any) -> None:
        last_used = record.info.get(_LAST_USED)
        if last_used is None or monotonic() - last_used < IDLE_SECONDS:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if not dialect.is_disconnect(error, connection, None):
                raise
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", record_use)
    event.listen(engine, "checkout", ping_if_idle)

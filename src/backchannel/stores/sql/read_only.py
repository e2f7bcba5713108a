"""Gives up connections to a server that has become read-only, as the former primary does in a fail-over.

Such a server still answers reads and pings, so that its connections would stay in the pool for good while the writable
server is elsewhere.
"""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext


def drop_read_only_connections(engine: Engine, is_read_only: Callable[[BaseException | None], bool]) -> None:
    """Treat an error for which `is_read_only` is true like a closed connection: all connections that are open at this
    time are replaced on their next use, which resolves the name of the server's host anew."""

    def mark(context: ExceptionContext) -> None:
        if is_read_only(context.original_exception):
            context.is_disconnect = True

    event.listen(engine, "handle_error", mark)

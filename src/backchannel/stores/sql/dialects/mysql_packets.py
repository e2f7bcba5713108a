"""Statements of MariaDB and MySQL are limited in size (`max_allowed_packet`).

A server that gets a larger one closes the connection while it is being sent, so that it looks like an outage, and would
be retried like one. Sizes are therefore checked before anything is sent.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from backchannel.errors.base import too_large_to_store_error

_LIMIT = "backchannel_max_packet"
_OVERHEAD_BYTES = 1024
"""For headers of packets and values other than texts."""
_MAX_BYTES_PER_CHARACTER = 8
"""Four bytes in UTF-8; or two characters for one that is escaped."""
_ESCAPED = "\0\n\r\x1a\"'\\"


def limit_packets(engine: Engine) -> None:
    """Raise `TooLargeToStoreError` for a statement that exceeds the limit of its connection."""
    event.listen(engine, "connect", _read_limit)
    event.listen(engine, "before_cursor_execute", _check)


def rows_by_packet(
    connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of one statement in groups of which each fits into a packet.

    Raises:
        TooLargeToStoreError: One row does not.
    """
    limit = _limit(connection)
    sizes = [len(statement) + _OVERHEAD_BYTES + _size(row, limit) for row in rows]
    if (largest := max(sizes, default=0)) > limit:
        raise too_large_to_store_error(largest, limit)
    group: list[tuple[Any, ...]] = []
    total = 0
    for row, size in zip(rows, sizes, strict=True):
        if group and total + size > limit:
            yield group
            group, total = [], 0
        group.append(row)
        total += size
    if group:
        yield group


def _read_limit(connection: Any, record: Any) -> None:
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT @@max_allowed_packet")
        record.info[_LIMIT] = int(cursor.fetchone()[0])
        cursor.close()
    except BaseException:
        # The pool does not have the connection yet, and would not close it.
        connection.close()
        raise


def _limit(connection: Connection) -> int:
    return connection.info[_LIMIT]


def _check(
    connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
) -> None:
    limit = _limit(connection)
    for row in parameters if executemany else (parameters,):
        if (size := len(statement) + _OVERHEAD_BYTES + _size(row or (), limit)) > limit:
            raise too_large_to_store_error(size, limit)


def _size(values: Iterable[Any], limit: int) -> int:
    """The size of the texts among some values: exact, or, if it is far from the limit, an upper bound."""
    texts = [value for value in values if isinstance(value, str)]
    bound = sum(map(len, texts)) * _MAX_BYTES_PER_CHARACTER
    if bound * 2 < limit:
        return bound
    return sum(len(text.encode(errors="replace")) + sum(map(text.count, _ESCAPED)) for text in texts)

"""The points of a turn at which a crash leaves a different state behind, by name.

Tests let a process die at each of them (`observe`); otherwise reaching one costs a comparison.
"""

from collections.abc import Callable

POINTS = (
    "request.arrived",  # nothing is stored
    "request.stored",  # inside the transaction that accepts the request
    "request.accepted",  # the request is stored, and the client does not know that yet
    "queue.stored",  # the run waits for its turn
    "queue.claimed",  # its turn has come, and its request is not accepted yet
    "answer.began",  # the person's message is in the log
    "item.completed",  # an item is complete but not stored
    "item.stored",  # it is stored, and not in the log yet
    "tool.journaled",  # a tool is about to run
    "tool.returned",  # it has run, and its output is not stored
    "stop.stored",  # a stop is, and the unfinished part of the answer is not
    "failure.stored",  # an error is, and the unfinished part of the answer is not
    "part.stored",  # the part is, too; the run is still running
    "answer.completed",  # everything is stored, the run is still running
    "run.finished",  # the run has ended, its log has not
    "log.ended",  # the log has
)

FILE_POINTS = (
    "file.received",  # its bytes are in the spool, and it has no row
    "file.announced",  # it has a row, and no bytes
    "file.written",  # it has its bytes, and what was made of it is missing
    "file.formed",  # everything is written, and the row does not say so
    "file.stored",  # it does
    "file.deleted",  # its row is deleted, and its bytes are not
    "file.erased",  # its bytes are, too, and their deletion is still scheduled
)
"""Of an upload and a deletion."""

_observer: Callable[[str], None] | None = None


def observe(observer: Callable[[str], None] | None) -> None:
    """Have `observer` called with the name of each point that is reached; `None` removes it."""
    global _observer  # noqa: PLW0603 - one switch of the process
    _observer = observer


def reached(point: str) -> None:
    """A point is reached."""
    if _observer is not None:
        _observer(point)

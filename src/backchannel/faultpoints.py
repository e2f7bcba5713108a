"""The points of a turn at which a crash leaves something else behind, by name.

Tests let a process die at each of them (`observe`); otherwise reaching one costs a comparison.
"""

from collections.abc import Callable

POINTS = (
    "request.arrived",  # nothing is kept
    "request.kept",  # inside the transaction that takes the request in
    "request.taken_in",  # the request is kept, nobody knows it
    "queue.kept",  # the run waits for its turn
    "queue.claimed",  # its turn has come, its request is not taken in yet
    "answer.began",  # the person's message is on the log
    "item.said",  # an item is complete but not kept
    "item.kept",  # it is kept, and not on the log yet
    "tool.noted",  # a tool is about to run
    "tool.done",  # it has run, and its output is not kept
    "answer.made",  # all is kept, the run goes on
    "run.finished",  # the run has ended, its log has not
    "log.ended",  # the log has
)

_observer: Callable[[str], None] | None = None


def observe(observer: Callable[[str], None] | None) -> None:
    """Have `observer` called with the name of each point that is reached, or nobody any more."""
    global _observer  # noqa: PLW0603 - one switch of the process
    _observer = observer


def reached(point: str) -> None:
    """A point is reached."""
    if _observer is not None:
        _observer(point)

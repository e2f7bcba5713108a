"""How long a task's stores may wait for a database that is away or busy. A request is better refused at once than kept
waiting; an answer that is being made is not."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_seconds: ContextVar[float] = ContextVar("patience", default=0.0)


def patience() -> float:
    """Seconds for which this task wants its transactions tried again, whatever the database's own tries are."""
    return _seconds.get()


@contextmanager
def patient(seconds: float) -> Generator[None]:
    """Let everything in the block, and in tasks that it starts, have that much patience with each transaction."""
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)

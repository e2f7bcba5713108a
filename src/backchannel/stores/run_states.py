"""The states of a run and the steps between them: the one place that knows which are possible.

```
queued ──→ running ──→ waiting ──→ completed
   │          ├──→ completed          ↑ cancelled
   │          ├──→ failed
   │          ├──→ cancelled
   └──────────┴──→ interrupted
```

`waiting` means that the answer ended by asking the person for something: the result of a client tool, or structured
input. It holds nothing up. An end is final.
"""

from typing import Literal

type RunStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled", "interrupted"]

NEXT: dict[RunStatus, frozenset[RunStatus]] = {
    "queued": frozenset({"running", "failed", "cancelled", "interrupted"}),
    "running": frozenset({"waiting", "completed", "failed", "cancelled", "interrupted"}),
    "waiting": frozenset({"completed", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "interrupted": frozenset(),
}
"""What each state can become."""

ACTIVE: frozenset[RunStatus] = frozenset({"queued", "running"})
"""States in which a run holds its thread or waits for it."""

ENDED: frozenset[RunStatus] = frozenset(status for status, following in NEXT.items() if not following)
"""States that nothing follows."""


class IllegalTransitionError(Exception):
    """A run cannot go from one state to the other. An error of the program, never of a caller."""


def sources(status: RunStatus) -> frozenset[RunStatus]:
    """The states from which `status` can be reached: what a statement that sets it must demand."""
    return frozenset(source for source, following in NEXT.items() if status in following)


def check_step(old: RunStatus, new: RunStatus) -> None:
    """Make sure that a step is possible.

    Raises:
        IllegalTransitionError: It is not.
    """
    if new not in NEXT[old]:
        raise IllegalTransitionError(f"A run that is {old} cannot become {new}.")

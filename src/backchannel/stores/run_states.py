"""The states of a run and the permitted transitions.

```
queued ──→ running ──→ waiting ──→ completed
   │          ├──→ completed          ↑ cancelled
   │          ├──→ failed
   │          ├──→ cancelled
   └──────────┴──→ interrupted
```

`waiting` means that the answer ended with a request to the user: a client tool call or structured input. A waiting run
goes on holding its thread for messages that were queued before: they were written without knowledge of the request, and
must not count as a refusal of it. Whatever the user does next completes it. Ended states are final.
"""

from typing import Literal

type RunStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled", "interrupted"]

TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    "queued": frozenset({"running", "failed", "cancelled", "interrupted"}),
    "running": frozenset({"waiting", "completed", "failed", "cancelled", "interrupted"}),
    "waiting": frozenset({"completed", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "interrupted": frozenset(),
}
"""The states that may follow each state."""

ACTIVE: frozenset[RunStatus] = frozenset({"queued", "running"})
"""States in which a run holds its thread or waits for it."""

ENDED: frozenset[RunStatus] = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""Final states."""


class IllegalTransitionError(Exception):
    """A transition that is not permitted: a bug, not a caller's mistake."""


def sources(status: RunStatus) -> frozenset[RunStatus]:
    """The states from which `status` can be reached, for the `WHERE` of a statement that sets it."""
    return frozenset(source for source, following in TRANSITIONS.items() if status in following)


def check_transition(old: RunStatus, new: RunStatus) -> None:
    """Check that a transition is permitted.

    Raises:
        IllegalTransitionError: It is not.
    """
    if new not in TRANSITIONS[old]:
        raise IllegalTransitionError(f"A run that is {old} cannot become {new}.")

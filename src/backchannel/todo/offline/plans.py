"""Plans: generators that yield batches of tool calls, and their replay.

A plan yields the calls whose outputs it needs and is resumed with those outputs. As the model has no state
between calls, each call restarts the plan and replays the outputs that are already in the conversation, until
the plan yields a new batch or returns the reply.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from backchannel import Call
from backchannel.todo.offline import replies
from backchannel.todo.offline.conversation import Conversation, Shown, Step
from backchannel.todo.offline.todos import Todo

MOST_BATCHES = 8
"""How many batches of calls one message may take."""

_MOST_PER_LIST = 100


type Plan[T] = Generator[list[Call], list[Step], T]


def advance(plan: Plan[str], steps: Sequence[Step]) -> list[Call] | str:
    """Replay the plan with the outputs so far. Returns the next calls, or the reply that ends it.

    An output is assigned to the first call of the same name that has none yet. Arguments are not compared,
    because those with the current time differ between calls.
    """
    unused = list(steps)
    try:
        batch = next(plan)
        for _ in range(MOST_BATCHES):
            answers: list[Step] = []
            missing: list[Call] = []
            for call in batch:
                step = next((step for step in unused if step.name == call.name), None)
                if step is None:
                    missing.append(call)
                else:
                    unused.remove(step)
                    answers.append(step)
            if missing:
                return missing
            batch = plan.send(answers)
    except StopIteration as stop:
        return str(stop.value)
    return replies.TOO_MANY_STEPS


def failure(step: Step) -> str | None:
    """The message of a tool's error, or `None` if the call succeeded."""
    error = step.data.get("error")
    if isinstance(error, dict):
        return str(cast(dict[str, Any], error).get("message") or "the tool gave no reason.")
    if error:
        return str(error)
    if not step.data:
        said = (step.output or "").strip()
        return said[:300] or "the tool gave no answer."
    return None


@dataclass(slots=True)
class Work:
    """The state of a plan.

    Attributes:
        now: The user's current wall time.
        conversation: The conversation so far.
        tools: The names of the available tools.
        parts: The paragraphs of the reply.
        touched: The todos last changed or shown in this turn.
        listing: The list last shown in this turn.
        everything: All todos as last fetched, or `None` before that.
        more: Whether there are more todos than `everything`.
    """

    now: datetime
    conversation: Conversation
    tools: frozenset[str]
    parts: list[str] = field(default_factory=list[str])
    touched: list[Todo] = field(default_factory=list[Todo])
    listing: list[Todo] = field(default_factory=list[Todo])
    everything: list[Todo] | None = None
    more: bool = False

    def focus(self) -> list[Shown]:
        """The todos that `it` or `them` refers to."""
        return [Shown(todo.title, todo) for todo in self.touched] or self.conversation.focus()

    def last_list(self) -> list[Shown]:
        """The list that `the second one` refers to."""
        return [Shown(todo.title, todo) for todo in self.listing] or self.conversation.last_list()

    def show(self, todos: list[Todo]) -> None:
        """Record the todos shown last."""
        self.touched = todos
        self.listing = todos

    def changed(self, todos: list[Todo], *, deleted: bool = False) -> None:
        """Record the result of a change for later intents of the message."""
        self.touched = todos
        if self.everything is not None:
            new = {todo.id: todo for todo in todos}
            kept = [new.pop(todo.id, todo) for todo in self.everything if not (deleted and todo.id in new)]
            self.everything = kept if deleted else [*kept, *new.values()]


def fetch_all(work: Work) -> Plan[list[Todo]]:
    """All todos (at most the first hundred), open ones first. Fetched once per turn."""
    if work.everything is None:
        name = "list_todos" if "list_todos" in work.tools else "search_todos"
        (step,) = yield [Call(name, {"limit": _MOST_PER_LIST})]
        work.everything = step.todos
        total = step.data.get("total")
        work.more = isinstance(total, int) and total > len(work.everything)
    return work.everything

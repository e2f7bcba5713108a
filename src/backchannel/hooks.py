"""Hooks: what happens to runs, requests and streams, for metrics, audit, limits, webhooks and log lines.

Subclass `Hooks`, override the methods whose events are of interest, and hand an instance over as
`Application(hooks=[...])`:

```python
class FirstTokens(Hooks):
    def __init__(self) -> None:
        self.count = 0

    def first_token(self, event: FirstToken) -> None:
        self.count += 1
```

Contract:

- A method is called on the event loop of the run, right after what it reports. It must return quickly; one that takes
  longer than `SLOW_SECONDS` is logged as `hook_slow`. A method may be `async def`: then it runs outside of the run, in
  order, one call of the same listener at a time; at most `MAX_PENDING` calls wait, further ones are dropped and logged
  as `hook_overloaded`. The same holds for any other method that returns an awaitable.
- A method that could not be called with its event is refused when the `Application` is made. An instance that is given
  twice is called once.
- An exception in a method is logged as `hook_failed` and changes nothing for the run or the request.
- Events of one run come in the order in which things happened. After a crash, the process that takes the run over
  reports `run_taken_over`; what the dead process had reported is not reported again, and what it had not reported in
  time is lost. `run_ended` comes once for each run that this process ends.
- Structured log lines of a listener carry the run's or the request's ids.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Literal

from chatkit.types import ThreadItem

from backchannel.context import Identity, RequestContext, Usage

__all__ = [
    "MAX_PENDING",
    "SLOW_SECONDS",
    "FirstToken",
    "HandOff",
    "Handled",
    "HookEvent",
    "Hooks",
    "ItemCommitted",
    "ModelCall",
    "RequestRefused",
    "RunEnded",
    "RunEvent",
    "RunQueued",
    "RunStarted",
    "RunTakenOver",
    "StreamClosed",
    "StreamOpened",
    "ToolCall",
]

SLOW_SECONDS = 0.05
"""How long a synchronous listener may take before that is logged: all streams of the process wait meanwhile."""

MAX_PENDING = 1000
"""How many calls of one asynchronous listener may wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """What every event of a run says.

    Attributes:
        run_id: `run_…`.
        thread_id: The thread that the run answers in; empty while a new thread is not stored yet.
        identity: Whose run it is.
        request_id: `req_…` of the request that asked for it.
    """

    run_id: str
    thread_id: str
    identity: Identity
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueued(RunEvent):
    """A run waits for its turn, because its thread is being answered.

    Attributes:
        operation: The ChatKit op, such as `threads.add_user_message`.
    """

    operation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(RunEvent):
    """A run's request was accepted and stored, and its answer begins.

    Attributes:
        operation: The ChatKit op, such as `threads.add_user_message`.
        queued_seconds: How long it had waited since it was asked for.
    """

    operation: str
    queued_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken(RunEvent):
    """The first text of the assistant's answer that a reader can see. Empty text and white space do not count.

    Attributes:
        seconds: Since this process began with the answer.
    """

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCommitted(RunEvent):
    """An item of the answer is stored.

    Attributes:
        item: The item; also hidden ones, such as the journal's. May come again under the same id when it changed.
    """

    item: ThreadItem


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall(RunEvent):
    """A model was called by an agent that Backchannel runs.

    Attributes:
        agent: The agent's name.
        model: The model's name, as the agent or the settings have it.
        usage: What the call used; zero if it did not complete.
        seconds: How long it took, streaming included.
        outcome: Whether it completed, failed, or was cancelled because the run was stopped.
    """

    agent: str
    model: str
    usage: Usage
    seconds: float
    outcome: Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(RunEvent):
    """A tool was called by an agent that Backchannel runs.

    Attributes:
        agent: The agent's name.
        tool: The tool's name.
        call_id: The model's id for the call.
        seconds: How long it took.
        outcome: Whether it returned, or was cut off by an error or a stop. An error that the tool's own handler turns
            into an answer for the model counts as returned.
    """

    agent: str
    tool: str
    call_id: str
    seconds: float
    outcome: Literal["returned", "cut_off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff(RunEvent):
    """An agent handed the conversation to another one.

    Attributes:
        from_agent: The name of the agent that answered until then.
        to_agent: The name of the agent that answers from then on.
    """

    from_agent: str
    to_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(RunEvent):
    """A run has come to its end, and that is stored.

    Attributes:
        operation: The ChatKit op, such as `threads.add_user_message`.
        status: `completed`, `failed`, `cancelled`, `interrupted`, or `waiting` for the person.
        error_code: The stable code of the error that failed it, if any.
        usage: What its model calls used.
        seconds: Since it was asked for.
    """

    operation: str
    status: str
    error_code: str | None
    usage: Usage
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTakenOver(RunEvent):
    """This process goes on with a run that another process began.

    Attributes:
        attempt: How many times its answer was begun, not counting runs that were released in good order.
        fence: How many processes have had the run.
    """

    attempt: int
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOpened:
    """A client follows a run's events.

    Attributes:
        format: The vocabulary of the stream.
    """

    run_id: str
    identity: Identity
    request_id: str
    format: Literal["chatkit", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamClosed:
    """A client follows a run's events no more.

    Attributes:
        seconds: How long the stream was open.
        outcome: `ended` with the run, `reconnect` because this process shuts down, `disconnected` by the client, or
            `failed`.
    """

    run_id: str
    identity: Identity
    request_id: str
    format: Literal["chatkit", "plain"]
    seconds: float
    outcome: Literal["ended", "reconnect", "disconnected", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """A request was answered with an error, status 400 or above.

    Attributes:
        path: The path, without its query.
        status: The HTTP status.
        code: The error's stable code, such as `not_found`; `http_error` if the response had none.
        identity: Who asked, if that was found out.
    """

    request_id: str
    method: str
    path: str
    status: int
    code: str
    identity: Identity | None


type HookEvent = (
    RunQueued
    | RunStarted
    | FirstToken
    | ItemCommitted
    | ModelCall
    | ToolCall
    | HandOff
    | RunEnded
    | RunTakenOver
    | StreamOpened
    | StreamClosed
    | RequestRefused
)
"""Any event."""

type Handled = Awaitable[None] | None
"""What a listener's method returns: nothing, or an awaitable, such as the coroutine of an `async def`."""


class Hooks:
    """A listener. Override what is of interest; every method does nothing by default. See the module for the rules."""

    def run_queued(self, event: RunQueued) -> Handled:
        """A run waits for its turn."""

    def run_started(self, event: RunStarted) -> Handled:
        """A run's answer begins."""

    def first_token(self, event: FirstToken) -> Handled:
        """The first text of an answer."""

    def item_committed(self, event: ItemCommitted) -> Handled:
        """An item of an answer is stored."""

    def model_call(self, event: ModelCall) -> Handled:
        """A model call has ended."""

    def tool_call(self, event: ToolCall) -> Handled:
        """A tool call has ended."""

    def hand_off(self, event: HandOff) -> Handled:
        """Another agent answers from now on."""

    def run_ended(self, event: RunEnded) -> Handled:
        """A run has ended."""

    def run_taken_over(self, event: RunTakenOver) -> Handled:
        """This process goes on with another one's run."""

    def stream_opened(self, event: StreamOpened) -> Handled:
        """A client follows a run."""

    def stream_closed(self, event: StreamClosed) -> Handled:
        """A client follows a run no more."""

    def request_refused(self, event: RequestRefused) -> Handled:
        """A request was answered with an error."""


def run_fields(context: RequestContext, thread_id: str) -> dict[str, Any]:
    """The fields of `RunEvent`, from the context of a run."""
    return {
        "run_id": context.run_id or "",
        "thread_id": thread_id,
        "identity": context.identity,
        "request_id": context.request_id,
    }

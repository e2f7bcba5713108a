"""Watches the runs of inner agents: they are streamed, so that what they say and do is shown while it happens.

`Agent.as_tool` runs its agent without streaming unless the application has an `on_stream`. The Agents SDK has no other
place to get at the run, so its default runner is replaced, once per process, by one that streams it and returns the
same result (`runner`). All other runs go to the runner that was there before (decision 32).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast, override

from agents import (
    Agent,
    AgentHookContext,
    AgentUpdatedStreamEvent,
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    RawResponsesStreamEvent,
    RunHooks,
    RunItemStreamEvent,
    RunResultStreaming,
    StreamEvent,
)
from agents.items import HandoffOutputItem
from agents.lifecycle import RunHooksBase
from agents.run import AgentRunner
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
)

from backchannel.chat.agent.context import AnswerContext, RunEvents, keep_events
from backchannel.chat.agent.inner_text import FINAL_CHARS, LIVE_CHARS, InnerText, Pace, end_of
from backchannel.model_calls.messages import TextWasThought

_HOSTED = {
    "web_search_call", "file_search_call", "code_interpreter_call", "mcp_call", "image_generation_call"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class InnerCall:
    """The call of an agent that is a tool.

    Attributes:
        task: The key of its task in the workflow.
        caller: The id of the call of the outermost agent that is a tool.
        call_id: The id of the call itself.
        agent: The agent that is the tool.
        speaks: Whether its text is shown. It is not if guardrails have still to check the tool's output.
    """

    task: str
    caller: str
    call_id: str
    agent: object
    speaks: bool


current_call: ContextVar[InnerCall | None] = ContextVar("inner_call", default=None)
"""The innermost agent that is a tool, in the task that executes it."""


@dataclass(frozen=True, slots=True)
class InnerEvent:
    """Something that an inner agent does.

    Attributes:
        call: The call of the agent.
        agent: The name of the agent that does it: after a hand-off, another one.
    """

    call: InnerCall
    agent: str


@dataclass(frozen=True, slots=True)
class Spoke(InnerEvent):
    """The text of an inner agent's run has changed.

    Attributes:
        text: The end of it.
        last: Whether the run has ended.
        failed: Whether it has ended with an error.
    """

    text: str
    last: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Thought(InnerEvent):
    """A thought of an inner agent has changed. `key` identifies the thought, `text` is the end of it."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class HandedOff(InnerEvent):
    """An inner agent has handed off to `target`."""

    target: str


@dataclass(frozen=True, slots=True)
class HostedOutput(InnerEvent):
    """A response event about a tool that the model's provider runs."""

    event: object


def stream_inner(
    runner: AgentRunner, call: InnerCall, agent: Agent[Any], run_input: Any, options: dict[str, Any]
) -> RunResultStreaming:
    """Run the agent of a call, and have what it does shown while it happens.

    Args:
        options: Of `Runner.run`.
    """
    answer: AnswerContext = options["context"].context
    hooks = options.get("hooks")
    if hooks is None or isinstance(hooks, RunHooksBase):
        options = {**options, "hooks": _InnerHooks(answer, cast("RunHooks[Any] | None", hooks))}
    result = runner.run_streamed(agent, run_input, **options)
    watcher = _Watcher(call, answer, result.current_agent)
    events = cast("AsyncGenerator[StreamEvent]", result.stream_events())
    watched = _watched(result, events, keep_events(result), watcher)
    # `Agent.as_tool` reads the events itself if there is an `on_stream`.
    cast("Any", result).stream_events = lambda: watched
    return result


def inner_call_of(agent: Agent[Any], options: dict[str, Any]) -> InnerCall | None:
    """The call that an `Agent.as_tool` makes this run for; `None` if application code makes it."""
    call = current_call.get()
    context = options.get("context")
    if call is None or call.agent is not agent or getattr(context, "tool_call_id", None) != call.call_id:
        return None
    return call if isinstance(getattr(context, "context", None), AnswerContext) else None


class _InnerHooks(RunHooks[Any]):
    """The hooks of an inner agent's run: those that the application gave it, and the preparation of each agent."""

    def __init__(self, answer: AnswerContext, hooks: RunHooks[Any] | None) -> None:
        self._answer = answer
        self._hooks = hooks
        for name in dir(RunHooksBase) if hooks is not None else ():
            if name.startswith("on_") and name != "on_agent_start":
                setattr(self, name, getattr(hooks, name))

    @override
    async def on_agent_start(self, context: AgentHookContext[Any], agent: Agent[Any]) -> None:
        if self._answer.prepare is not None:
            await self._answer.prepare(agent)
        if self._hooks is not None:
            await self._hooks.on_agent_start(context, agent)


async def _watched(
    result: RunResultStreaming,
    events: AsyncGenerator[StreamEvent],
    queue: RunEvents,
    watcher: "_Watcher",
) -> AsyncGenerator[StreamEvent]:
    try:
        async with aclosing(events):
            async for event in events:
                watcher.watch(event)
                yield event
    except (InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered):
        watcher.fail(refused=True)
        raise
    except Exception:
        # The SDK raises at once, and discards what the model wrote in the same moment.
        for event in queue.discarded:
            watcher.watch(event)
        watcher.fail()
        raise
    finally:
        watcher.close()
        # Otherwise the SDK's background task keeps consuming the model after the tool was cancelled.
        result.cancel()


class _Watcher:
    """Sends what an inner agent's run says and does to the answer."""

    def __init__(self, call: InnerCall, answer: AnswerContext, agent: Agent[Any]) -> None:
        self._call = call
        self._answer = answer
        self._agent = agent.name
        self._text = InnerText(answer.render_output)
        self._text.use(agent)
        self._pace = Pace(self._send_text)
        self._thought: list[str] = []
        self._thought_key: str | None = None
        self._thoughts = 0
        self._thought_pace = Pace(self._send_thought)
        self._hosted = False
        self._failed = False

    def watch(self, event: object) -> None:
        """Take one event of the run, in order."""
        match event:
            case RawResponsesStreamEvent():
                self._model_event(event.data)
            case AgentUpdatedStreamEvent():
                self._agent = event.new_agent.name
                self._text.use(event.new_agent)
            case RunItemStreamEvent(item=HandoffOutputItem() as item):
                handed_off = HandedOff(self._call, item.source_agent.name, item.target_agent.name)
                self._answer.post(handed_off)
            case _:
                pass

    def fail(self, *, refused: bool = False) -> None:
        """The run has failed.

        Args:
            refused: A guardrail has refused the text, which is withdrawn.
        """
        self._failed = True
        if refused:
            self._text.clear()

    def close(self) -> None:
        """The run has ended."""
        self._end_thought()
        self._pace.stop()
        text = self._text.end(FINAL_CHARS) if self._call.speaks else ""
        self._answer.post(Spoke(self._call, self._agent, text, last=True, failed=self._failed))

    def _model_event(self, event: object) -> None:
        match event:
            case ResponseTextDeltaEvent() | ResponseRefusalDeltaEvent():
                self._end_thought()
                self._text.add(event.item_id, event.delta)
                self._changed()
            case ResponseReasoningSummaryTextDeltaEvent() | ResponseReasoningSummaryTextDoneEvent():
                self._think(event)
            case ResponseOutputItemDoneEvent(item=ResponseOutputMessage() as message):
                self._text.finish(message)
                self._changed()
            case ResponseOutputItemAddedEvent() | ResponseOutputItemDoneEvent():
                if getattr(event.item, "type", None) in _HOSTED:
                    self._hosted = True
                    self._answer.post(HostedOutput(self._call, self._agent, event))
            case ResponseCompletedEvent():
                self._end_thought()
                if self._hosted:
                    self._hosted = False
                    self._answer.post(HostedOutput(self._call, self._agent, event))
            case TextWasThought():
                self._text.withdraw(event.item_id)
                self._changed()
            case _:
                pass

    def _changed(self) -> None:
        if self._call.speaks:
            self._pace.changed()

    def _send_text(self) -> int:
        text = self._text.end(LIVE_CHARS)
        self._answer.post(Spoke(self._call, self._agent, text))
        return len(text)

    def _think(
        self, event: ResponseReasoningSummaryTextDeltaEvent | ResponseReasoningSummaryTextDoneEvent
    ) -> None:
        key = f"{event.item_id}:{event.summary_index}"
        if key != self._thought_key:
            self._end_thought()
            self._thought_key = key
            self._thoughts += 1
        if isinstance(event, ResponseReasoningSummaryTextDeltaEvent):
            self._thought.append(event.delta)
        else:
            self._thought = [event.text]
        self._thought_pace.changed()

    def _end_thought(self) -> None:
        if self._thought_key is not None:
            self._thought_pace.stop()
            self._send_thought()
            self._thought_key, self._thought = None, []

    def _send_thought(self) -> int:
        self._thought = ["".join(self._thought)]
        text = end_of(self._thought[0], LIVE_CHARS)
        key = f"{self._call.task} {id(self)} {self._thoughts}"
        self._answer.post(Thought(self._call, self._agent, key, text))
        return len(text)

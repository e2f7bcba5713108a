"""An agent's run, by the SDK's own runner, as thread events."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    OutputGuardrail,
    OutputGuardrailTripwireTriggered,
    RunContextWrapper,
    StopAtTools,
    function_tool,
)
from anyio.lowlevel import checkpoint
from chatkit import types as ck
from chatkit.agents import ClientToolCall
from chatkit.widgets import WidgetRoot
from pydantic import TypeAdapter

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.protocol.wire import is_hidden
from backchannel.chat.recovery import journal
from backchannel.testing import Call, Fail, Say, ScriptedModel

pytestmark = pytest.mark.row("A1", "B5", "C5")

type Ask = Callable[[Agent[Any]], Awaitable[list[ck.ThreadStreamEvent]]]
type Answering = Callable[[Agent[Any]], AsyncGenerator[ck.ThreadStreamEvent]]

PATIENCE = 5
CARD: Any = TypeAdapter[Any](WidgetRoot).validate_python(
    {"type": "Card", "children": [{"type": "Text", "value": "hi"}]}
)


@function_tool
def add_todo(title: str) -> str:
    """Add a todo."""
    return f"added {title}"


@function_tool
def fail_politely() -> str:
    """Refuse."""
    return json.dumps({"error": {"code": "not_found", "message": "There is no todo 7."}})


@function_tool
async def show_card(ctx: RunContextWrapper[Any]) -> str:
    """Show a widget."""
    await ctx.context.stream_widget(CARD)
    return "shown"


@function_tool
async def notify(ctx: RunContextWrapper[Any]) -> str:
    """Tell something on the side."""
    await ctx.context.stream(ck.ProgressUpdateEvent(text="half way"))
    return "told"


@function_tool
def pick_colour(ctx: RunContextWrapper[Any]) -> str:
    """Ask the page."""
    ctx.context.client_tool_call = ClientToolCall(name="pick_colour", arguments={"of": ["red"]})
    return "asked"


def outline(events: Sequence[ck.ThreadStreamEvent]) -> list[str]:
    """The events in short, journal entries left out."""
    lines: list[str] = []
    for event in events:
        match event:
            case ck.ThreadItemAddedEvent() | ck.ThreadItemDoneEvent():
                if event.item.type != "hidden_context_item":
                    lines.append(f"{event.item.type} {event.type.rpartition('.')[2]}")
            case ck.ThreadItemUpdatedEvent():
                lines.append(event.update.type)
            case _:
                lines.append(event.type)
    return lines


def messages(events: Sequence[ck.ThreadStreamEvent]) -> list[str]:
    return [
        event.item.content[0].text
        for event in events
        if isinstance(event, ck.ThreadItemDoneEvent) and isinstance(event.item, ck.AssistantMessageItem)
    ]


def workflows(events: Sequence[ck.ThreadStreamEvent]) -> list[list[tuple[str | None, str, str | None]]]:
    """The tasks of each workflow as it ended: title, state, content."""
    return [
        [
            (task.title, task.status_indicator, getattr(task, "content", None))
            for task in event.item.workflow.tasks
        ]
        for event in events
        if isinstance(event, ck.ThreadItemDoneEvent) and isinstance(event.item, ck.WorkflowItem)
    ]


def journaled(events: Sequence[ck.ThreadStreamEvent]) -> list[tuple[str, journal.ToolCall]]:
    found: list[tuple[str, journal.ToolCall]] = []
    for event in events:
        if isinstance(event, ck.ThreadItemDoneEvent):
            call = journal.tool_call(event.item)
            if call is not None:
                found.append((event.item.id, call))
    return found


async def test_a_message_streams_and_ends(ask: Ask):
    replay = await ask(Agent(name="A", model=ScriptedModel(Say(["Hel", "lo"]))))
    assert outline(replay) == [
        "assistant_message added",
        "assistant_message.content_part.added",
        "assistant_message.content_part.text_delta",
        "assistant_message.content_part.text_delta",
        "assistant_message.content_part.done",
        "assistant_message done",
    ]
    assert messages(replay) == ["Hello"]


async def test_a_tool_is_a_task_that_begins_and_ends_before_the_message(ask: Ask):
    model = ScriptedModel(Call("add_todo", {"title": "Milk"}), Say("Done."))
    replay = await ask(Agent(name="A", model=model, tools=[add_todo]))
    assert outline(replay)[:4] == [
        "workflow added",
        "workflow.task.updated",
        "workflow done",
        "assistant_message added",
    ]
    first = replay[[event.type for event in replay].index("thread.item.added")]
    assert isinstance(first, ck.ThreadItemAddedEvent)
    assert workflows(replay) == [[("Add todo", "complete", "title: Milk")]]
    assert messages(replay) == ["Done."]


async def test_a_tool_call_is_journaled_when_it_starts_and_when_it_ends(ask: Ask):
    model = ScriptedModel(Call("add_todo", {"title": "Milk"}), Say("Done."))
    replay = await ask(Agent(name="A", model=model, tools=[add_todo]))
    (first_id, started), (second_id, ended) = journaled(replay)
    assert first_id == second_id
    assert (started.name, json.loads(started.arguments)) == ("add_todo", {"title": "Milk"})
    assert (started.finished, started.output) == (False, None)
    assert (ended.call_id, ended.finished, ended.output) == (started.call_id, True, "added Milk")


async def test_tools_called_together_are_tasks_of_one_workflow(ask: Ask):
    calls = [Call("add_todo", {"title": "a"}), Call("fail_politely"), Call("add_todo", {"title": "b"})]
    replay = await ask(Agent(name="A", model=ScriptedModel(calls, Say("x")), tools=[add_todo, fail_politely]))
    assert workflows(replay) == [
        [
            ("Add todo", "complete", "title: a"),
            ("Fail politely", "complete", "There is no todo 7."),
            ("Add todo", "complete", "title: b"),
        ]
    ]
    outputs = {call.call_id: call.output for _, call in journaled(replay) if call.finished}
    assert sorted(map(str, outputs.values()))[:2] == ["added a", "added b"]
    assert len(outputs) == 3


async def test_a_message_closes_the_workflow_and_the_next_tool_opens_another(ask: Ask):
    model = ScriptedModel(
        Call("add_todo", {"title": "a"}), [Say("One."), Call("add_todo", {"title": "b"})], Say("Two.")
    )
    replay = await ask(Agent(name="A", model=model, tools=[add_todo]))
    assert [line for line in outline(replay) if line.endswith((" added", " done"))] == [
        "workflow added",
        "workflow done",
        "assistant_message added",
        "assistant_message done",
        "workflow added",
        "workflow done",
        "assistant_message added",
        "assistant_message done",
    ]


async def test_a_hand_off_is_a_task_from_loading_to_complete(ask: Ask):
    specialist = Agent[Any](name="Search", model=ScriptedModel(Say("Found it.")))
    triage = Agent[Any](name="Triage", model=ScriptedModel(Call("transfer_to_search")), handoffs=[specialist])
    replay = await ask(triage)
    opened = next(event for event in replay if isinstance(event, ck.ThreadItemAddedEvent))
    assert isinstance(opened.item, ck.WorkflowItem)
    changes = [
        event.update.task
        for event in replay
        if isinstance(event, ck.ThreadItemUpdatedEvent) and isinstance(event.update, ck.WorkflowTaskUpdated)
    ]
    assert [(task.title, task.status_indicator) for task in changes] == [("Search is answering", "complete")]
    assert workflows(replay) == [[("Search is answering", "complete", None)]]
    assert messages(replay) == ["Found it."]


async def test_a_task_is_loading_while_its_tool_runs(answering: Answering):
    running = asyncio.Event()

    @function_tool
    async def wait() -> str:
        """Wait."""
        await running.wait()
        return "ok"

    events = answering(Agent(name="A", model=ScriptedModel(Call("wait"), Say("x")), tools=[wait]))
    opened = await anext(events)
    assert isinstance(opened, ck.ThreadItemAddedEvent)
    assert isinstance(opened.item, ck.WorkflowItem)
    assert opened.item.workflow.tasks[0].status_indicator == "loading"
    running.set()
    assert workflows([event async for event in events])[0][0][1] == "complete"


@pytest.mark.row("P9")
@pytest.mark.parametrize("_round", range(20))
async def test_a_tools_widget_never_overtakes_the_message_before_it(ask: Ask, _round: int):
    model = ScriptedModel([Say(["Here ", "it ", "is."]), Call("show_card")], Say("Well?"))
    replay = await ask(Agent(name="A", model=model, tools=[show_card]))
    lines = [line for line in outline(replay) if line.endswith(" done") and not line.startswith("workflow")]
    assert lines == ["assistant_message done", "widget done", "assistant_message done"]
    assert messages(replay) == ["Here it is.", "Well?"]


async def test_a_widget_closes_the_workflow_above_it_and_other_events_do_not(ask: Ask):
    replay = await ask(Agent(name="A", model=ScriptedModel(Call("show_card"), Say("x")), tools=[show_card]))
    assert outline(replay)[:3] == ["workflow added", "workflow done", "widget done"]
    replay = await ask(Agent(name="A", model=ScriptedModel(Call("notify"), Say("x")), tools=[notify]))
    assert outline(replay)[:4] == [
        "workflow added",
        "progress_update",
        "workflow.task.updated",
        "workflow done",
    ]


def client_tool_agent(*calls: Call) -> Agent[Any]:
    return Agent(
        name="A",
        model=ScriptedModel(list(calls)),
        tools=[pick_colour, add_todo],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["pick_colour"]),
    )


async def test_a_client_tool_call_is_the_last_item_and_carries_the_models_call_id(ask: Ask):
    replay = await ask(client_tool_agent(Call("pick_colour")))
    last = replay[-1]
    assert isinstance(last, ck.ThreadItemDoneEvent)
    assert isinstance(last.item, ck.ClientToolCallItem)
    assert (last.item.name, last.item.arguments, last.item.status) == (
        "pick_colour",
        {"of": ["red"]},
        "pending",
    )
    assert last.item.call_id == journaled(replay)[0][1].call_id
    assert last.item.id.startswith("tc_")


async def test_a_client_tool_called_beside_another_keeps_its_own_call_id(ask: Ask):
    replay = await ask(client_tool_agent(Call("pick_colour"), Call("add_todo", {"title": "a"})))
    last = replay[-1]
    assert isinstance(last, ck.ThreadItemDoneEvent)
    assert isinstance(last.item, ck.ClientToolCallItem)
    by_name = {call.name: call.call_id for _, call in journaled(replay)}
    assert last.item.call_id == by_name["pick_colour"]


def tripping(_context: Any, _agent: Any, _said: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)


async def refused(events: AsyncGenerator[ck.ThreadStreamEvent], error: type[Exception]) -> list[Any]:
    replay: list[ck.ThreadStreamEvent] = []

    async def follow() -> None:
        async for event in events:
            replay.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(error):
        await follow()
    return replay


def left(events: Sequence[ck.ThreadStreamEvent]) -> set[str]:
    """The ids of items that a person was shown and still sees."""
    there: set[str] = set()
    for event in events:
        if isinstance(event, ck.ThreadItemAddedEvent | ck.ThreadItemDoneEvent):
            if not is_hidden(event.item):
                there.add(event.item.id)
        elif isinstance(event, ck.ThreadItemRemovedEvent):
            assert event.item_id in there
            there.discard(event.item_id)
    return there


async def test_an_output_guardrail_removes_what_was_shown(answering: Answering):
    guardrail: OutputGuardrail[Any] = OutputGuardrail(tripping)
    model = ScriptedModel(Call("add_todo", {"title": "a"}), Say("Secret!"))
    agent = Agent[Any](name="A", model=model, tools=[add_todo], output_guardrails=[guardrail])
    replay = await refused(answering(agent), OutputGuardrailTripwireTriggered)
    assert messages(replay) == ["Secret!"]
    assert left(replay) == set()


async def test_an_input_guardrail_leaves_nothing(answering: Answering):
    guardrail: InputGuardrail[Any] = InputGuardrail(tripping, run_in_parallel=True)
    agent = Agent[Any](name="A", model=ScriptedModel(Say("Secret!")), input_guardrails=[guardrail])
    replay = await refused(answering(agent), InputGuardrailTripwireTriggered)
    assert left(replay) == set()


async def test_a_failure_comes_after_everything_that_was_said(answering: Answering):
    model = ScriptedModel([Say("First."), Call("add_todo", {"title": "a"})], Fail(RuntimeError("broken")))
    replay = await refused(answering(Agent(name="A", model=model, tools=[add_todo])), RuntimeError)
    assert messages(replay) == ["First."]
    assert journaled(replay)[-1][1].finished
    assert model.streaming == 0


async def test_too_many_turns(answering: Answering):
    model = ScriptedModel(*[Call("add_todo", {"title": "a"})] * 30)
    replay = await refused(answering(Agent(name="A", model=model, tools=[add_todo])), MaxTurnsExceeded)
    assert len(journaled(replay)) >= 2


@pytest.mark.row("P2")
async def test_closing_the_answer_lets_go_of_the_model(answering: Answering):
    forever = asyncio.Event()
    model = ScriptedModel(Say(["one ", "two ", "three"], until=forever))
    events = answering(Agent(name="A", model=model))
    while "text_delta" not in (await anext(events)).model_dump_json():
        pass
    assert model.streaming == 1
    await events.aclose()
    async with asyncio.timeout(PATIENCE):
        while model.streaming:  # noqa: ASYNC110 - the model has no event for it
            await asyncio.sleep(0)
    assert model.deltas_sent == 2
    forever.set()
    await asyncio.sleep(0)
    assert model.deltas_sent == 2


@pytest.mark.row("P2")
async def test_closing_the_answer_stops_a_tool(answering: Answering):
    started, stopped = asyncio.Event(), asyncio.Event()

    @function_tool
    async def wait_forever() -> str:
        """Wait."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    events = answering(Agent(name="A", model=ScriptedModel(Call("wait_forever")), tools=[wait_forever]))

    async def follow() -> None:
        async with aclosing(events):
            async for _ in events:
                pass

    async with asyncio.timeout(PATIENCE):
        following = asyncio.create_task(follow())
        await started.wait()
        following.cancel()
        await stopped.wait()
        await asyncio.wait([following])


async def test_a_tool_starts_once_its_call_is_kept_and_the_model_goes_on_once_its_output_is(
    answering: Answering,
):
    """A crash must never leave a tool that ran and of which nobody knows."""
    began: list[str] = []

    @function_tool
    async def note() -> str:
        """Note that it ran."""
        began.append("tool")
        return "noted"

    model = ScriptedModel(Call("note"), Say("x"))
    events = answering(Agent(name="A", model=model, tools=[note]))
    steps = list[tuple[bool, bool, int]]()
    async for event in events:
        for _ in range(50):
            await checkpoint()
        if isinstance(event, ck.ThreadItemDoneEvent) and (call := journal.tool_call(event.item)):
            steps.append((call.finished, bool(began), len(model.calls)))
    assert steps == [(False, False, 1), (True, True, 1)]


async def test_tools_find_the_caller_in_their_context(ask: Ask):
    seen: list[Any] = []

    @function_tool
    def who(ctx: RunContextWrapper[Any]) -> str:
        """Tell who asks."""
        seen.append(ctx.context)
        return "ok"

    await ask(Agent(name="A", model=ScriptedModel(Call("who"), Say("x")), tools=[who]))
    assert isinstance(seen[0], AnswerContext)
    assert seen[0].request_context.user_id == "ann"
    assert seen[0].thread.id == "thr_1"

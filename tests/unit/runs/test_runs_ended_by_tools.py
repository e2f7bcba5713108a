"""A process dies between the output of a tool that is the answer and the message that shows it: the answer ends as it
would have, and neither the model nor the tool is called again.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from agents import (
    Agent,
    FunctionToolResult,
    GuardrailFunctionOutput,
    RunContextWrapper,
    StopAtTools,
    ToolsToFinalOutputResult,
    function_tool,
    output_guardrail,
)
from agents.models.multi_provider import MultiProvider
from agents.tool_context import ToolContext
from chatkit.agents import AgentContext, ClientToolCall
from chatkit.types import ClientToolCallItem, ThreadItem, ThreadMetadata
from chatkit.widgets import Card, Text

from backchannel import faultpoints
from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.finished_tools import final_result
from backchannel.chat.agent.server import ChatServer
from backchannel.chat.recovery import journal
from backchannel.context import RequestContext
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.times import utc_now
from backchannel.testing import Call, Say, ScriptedModel
from unit.runs.requests import say

pytestmark = pytest.mark.row("H1", "A1")

type Converse = Callable[..., Awaitable["Ended"]]

WIDGET = Card(children=[Text(value="Rome, 21")])
done: list[str] = []


@function_tool
def look_up(key: str) -> str:
    """Look something up."""
    done.append(key)
    return f"value of {key}"


@function_tool
def weather() -> dict[str, Any]:
    """The weather."""
    done.append("weather")
    return {"city": "Rome", "degrees": 21}


@function_tool
async def hold() -> str:
    """Does not return."""
    await asyncio.Event().wait()
    return ""


@function_tool
def broken() -> str:
    """Fails."""
    done.append("broken")
    raise RuntimeError("no")


@function_tool
async def card(ctx: ToolContext[AgentContext[Any]]) -> str:
    """Shows a card."""
    done.append("card")
    await ctx.context.stream_widget(WIDGET)
    return "A card is shown."


@function_tool
async def place(ctx: ToolContext[AgentContext[Any]]) -> str:
    """Asks the page where it is."""
    done.append("place")
    ctx.context.client_tool_call = ClientToolCall(name="place", arguments={"exact": True})
    return "asked"


def join(_: RunContextWrapper[Any], results: list[FunctionToolResult]) -> ToolsToFinalOutputResult:
    return ToolsToFinalOutputResult(is_final_output=True, final_output=" + ".join(r.output for r in results))


def unable(_: RunContextWrapper[Any], results: list[FunctionToolResult]) -> ToolsToFinalOutputResult:
    if len(done) == len(results):
        done.append("unable")
        raise ValueError("no")
    return ToolsToFinalOutputResult(is_final_output=False)


class Ended:
    """What came of an answer, without ids."""

    def __init__(
        self, status: str, code: str | None, items: Sequence[ThreadItem], model: ScriptedModel
    ) -> None:
        self.status = status
        self.code = code
        self.shown = [
            item.model_dump(exclude={"id", "thread_id", "created_at", "call_id"})
            for item in items
            if item.type in {"assistant_message", "widget", "client_tool_call"}
        ]
        self.queued = sum(isinstance(journal.read(item), journal.QueuedClientCall) for item in items)
        self.calls = len(model.calls)
        client_calls = [item.call_id for item in items if isinstance(item, ClientToolCallItem)]
        made = [call.call_id for item in items if (call := journal.tool_call(item)) is not None]
        self.for_calls = [made.index(call_id) for call_id in client_calls]


@pytest.fixture
async def converse(
    store: SqlStore, stores: RunStores, events: MemoryEventLog, ann: RequestContext,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Converse]:  # fmt: skip
    """Asks an agent something; the process dies once so many calls of tools have their outputs in the journal."""
    monkeypatch.setattr(events, "disconnect_readers", lambda: None)
    made: list[Runs] = []

    def process(agent: Agent[Any]) -> Runs:
        made.append(Runs(ChatServer(agent, store, AnswerOptions(MultiProvider())), stores))
        return made[-1]

    async def converse(agent: Agent[Any], *, dies_after: int | None) -> Ended:
        done.clear()
        model = agent.model
        assert isinstance(model, ScriptedModel)
        one = process(agent)
        if dies_after is not None:
            _kill_after(dies_after, one)
        run_id = await one.start(say("go"), ann)
        run = one.worker.get(run_id)
        if run is not None and run.task is not None:
            await asyncio.wait([run.task], timeout=10)
        record = await one.load(run_id, ann.identity)
        if dies_after is not None:
            assert record.status == "running", "it died too late"
            assert await process(agent).worker.take_over([run_id], record.replica) == 1
            run = made[-1].worker.get(run_id)
            if run is not None and run.task is not None:
                await asyncio.wait([run.task], timeout=10)
            record = await one.load(run_id, ann.identity)
        page = await store.load_thread_items(record.thread_id, None, 100, "asc", ann)
        return Ended(record.status, record.error_code, page.data, model)

    yield converse
    faultpoints.observe(None)
    for runs in made:
        await runs.drain(0)


def _kill_after(outputs: int, runs: Runs) -> None:
    left, storing = outputs, False

    def observe(point: str) -> None:
        nonlocal left, storing
        if storing and point == "item.stored":
            storing, left = False, left - 1
            if left == 0:
                faultpoints.observe(None)
                task = asyncio.current_task()
                assert task is not None
                # Named after its run.
                run = runs.worker.get(task.get_name())
                assert run is not None
                run.stop("fenced")
        storing |= point == "tool.returned"

    faultpoints.observe(observe)


def agent(tools: Sequence[Any], behavior: Any, *answers: Any, **options: Any) -> Agent[Any]:
    model = ScriptedModel(*answers, Say("The model was called again."))
    return Agent(name="A", model=model, tools=list(tools), tool_use_behavior=behavior, **options)


ENDINGS = {
    "the first tool": ([look_up], "stop_on_first_tool", [Call("look_up", {"key": "a"})]),
    "a value": ([weather], "stop_on_first_tool", [Call("weather")]),
    "a named tool": ([look_up], StopAtTools(stop_at_tool_names=["look_up"]), [Call("look_up", {"key": "a"})]),
    "the second tool": (
        [look_up, weather],
        StopAtTools(stop_at_tool_names=["weather"]),
        [Call("look_up", {"key": "a"}), Call("weather")],
    ),
    "a function of two": (
        [look_up],
        join,
        [[Call("look_up", {"key": "a"}), Call("look_up", {"key": "b"})]],
    ),
    "a tool that fails": ([broken], "stop_on_first_tool", [Call("broken")]),
    "a tool that shows": ([card], "stop_on_first_tool", [Call("card")]),
    "a client tool": ([place], StopAtTools(stop_at_tool_names=["place"]), [Call("place")]),
    "two client tools": (
        [place],
        StopAtTools(stop_at_tool_names=["place"]),
        [[Call("place"), Call("place")]],
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_the_answer_ends_as_it_would_have(converse: Converse, name: str):
    tools, behavior, answers = ENDINGS[name]
    whole = await converse(agent(tools, behavior, *answers), dies_after=None)
    tools_called = list(done)
    again = await converse(agent(tools, behavior, *answers), dies_after=len(tools_called))
    assert vars(again) == vars(whole)
    assert done == tools_called
    assert whole.calls == len(answers)


@output_guardrail
async def pass_all(*_: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)


@pytest.mark.parametrize(
    ("behavior", "answers", "guardrails"),
    [
        ("run_llm_again", [Call("look_up", {"key": "a"})], []),
        (StopAtTools(stop_at_tool_names=["other"]), [Call("look_up", {"key": "a"})], []),
        ("stop_on_first_tool", [[Call("look_up", {"key": "a"}), Call("hold")]], []),
        ("stop_on_first_tool", [Call("look_up", {"key": "a"})], [pass_all]),
        (unable, [Call("look_up", {"key": "a"})], []),
    ],
    ids=[
        "never",
        "another tool",
        "one of two has returned",
        "a guardrail has to check",
        "its function fails",
    ],
)
async def test_otherwise_the_model_is_called_again(
    converse: Converse, behavior: Any, answers: list[Any], guardrails: list[Any]
):
    ended = await converse(
        agent([look_up, hold], behavior, *answers, output_guardrails=guardrails), dies_after=1
    )
    assert ended.status == "completed"
    assert [item["content"][0]["text"] for item in ended.shown] == ["The model was called again."]


@pytest.mark.parametrize(("response_calls", "ends"), [(1, True), (2, False), (0, False)])
async def test_calls_that_had_not_begun_count(
    response_calls: int, ends: bool, store: SqlStore, ann: RequestContext
):
    """Zero is an entry of an earlier version."""
    now = utc_now()
    thread = ThreadMetadata(id="thr_1", created_at=now)
    context = AnswerContext(thread=thread, store=store, request_context=ann)
    call = journal.ToolCall(
        call_id="c",
        name="look_up",
        arguments="{}",
        output="x",
        finished=True,
        response="r",
        response_calls=response_calls,
    )
    stops = agent([look_up], "stop_on_first_tool")
    final = await final_result([journal.to_item(call, "thr_1")], stops, context)
    assert (final is not None) == ends

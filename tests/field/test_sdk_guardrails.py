"""Guardrails of agents and of tools: what is shown, what is stored, and what the next turn's model sees."""

import json
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    ToolOutputGuardrailData,
    function_tool,
    input_guardrail,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)

from backchannel import Application, Hooks
from backchannel.hooks import ItemCommitted
from backchannel.testing import Call, Say, ScriptedModel
from field.odd_models import error, outputs, say, tasks, texts
from programs import ask, events_of, message

pytestmark = pytest.mark.row("B10", "M6", "M16")

SECRET = "sk-secret-4711"


def outcome(*, tripped: bool) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=tripped)


@pytest.mark.parametrize("parallel", [True, False])
async def test_an_input_guardrail_refuses_a_message(serve: Any, parallel: bool) -> None:
    """openai/openai-agents-python#300: text had been streamed before the guardrail tripped."""
    seen: list[str] = []

    @input_guardrail(run_in_parallel=parallel)
    async def no_homework(_context: Any, _agent: Any, given: Any) -> GuardrailFunctionOutput:
        seen.append(json.dumps(given))
        return outcome(tripped="homework" in seen[-1])

    model = ScriptedModel(Say("one"), *([Say("x = 2")] if parallel else []), Say("three"))
    served = await serve(Agent(name="A", model=model, input_guardrails=[no_homework]), titles="rule")
    thread_id, _ = await served.create("hello")
    events = await say(served, thread_id, "my homework")
    assert error(events) == ("guardrail", False)
    if not parallel:
        assert len(model.calls) == 1, "the model is not called"
    assert error(await say(served, thread_id, "thanks")) is None
    assert texts(await served.items(thread_id)) == ["hello", "one", "my homework", "thanks", "three"]
    assert "homework" not in json.dumps(model.calls[-1])
    assert "homework" not in seen[-1]


async def test_an_output_guardrail_takes_the_answer_back(serve: Any) -> None:
    """openai/openai-agents-python#495: the person keeps nothing of a withheld answer, and no later turn has it."""

    @output_guardrail
    async def no_secrets(_context: Any, _agent: Any, output: str) -> GuardrailFunctionOutput:
        return outcome(tripped=SECRET in output)

    model = ScriptedModel(Say(["It is ", SECRET]), Say("fine"))
    served = await serve(Agent(name="A", model=model, output_guardrails=[no_secrets]), titles="rule")
    thread_id, events = await served.create("the key?")
    assert error(events) == ("guardrail", False)
    shown = {event["item"]["id"] for event in events if event["type"] == "thread.item.added"}
    assert {event["item_id"] for event in events if event["type"] == "thread.item.removed"} == shown
    assert texts(await served.items(thread_id)) == ["the key?"]
    assert error(await say(served, thread_id, "then not")) is None
    assert SECRET not in json.dumps(model.calls[-1])


def tool_with(ran: list[str], **guardrails: Any) -> Any:
    @function_tool(**guardrails)
    def read_file(path: str) -> str:
        """Read a file."""
        ran.append(path)
        return f"key = {SECRET}"

    return read_file


@tool_input_guardrail
def only_public(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    if "etc" in data.context.tool_arguments:
        return ToolGuardrailFunctionOutput.raise_exception()
    if "private" in data.context.tool_arguments:
        return ToolGuardrailFunctionOutput.reject_content("That folder is closed.")
    return ToolGuardrailFunctionOutput.allow()


@tool_output_guardrail
def redacted(data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
    if "etc" in data.context.tool_arguments:
        return ToolGuardrailFunctionOutput.raise_exception()
    if SECRET in str(data.output):
        return ToolGuardrailFunctionOutput.reject_content("The output was withheld.")
    return ToolGuardrailFunctionOutput.allow()


async def test_a_tool_guardrail_that_allows_changes_nothing(serve: Any) -> None:
    ran: list[str] = []
    model = ScriptedModel(Call("read_file", {"path": "public"}), Say("done"), Say("again"))
    tool = tool_with(ran, tool_input_guardrails=[only_public])
    served = await serve(Agent(name="A", model=model, tools=[tool]), titles="rule")
    thread_id, _ = await served.create()
    await say(served, thread_id, "and?")
    assert ran == ["public"]
    assert outputs(model) == [f"key = {SECRET}"]


@pytest.mark.parametrize(
    ("guardrails", "path", "told", "runs"),
    [
        ({"tool_input_guardrails": [only_public]}, "private", "That folder is closed.", []),
        ({"tool_output_guardrails": [redacted]}, "private", "The output was withheld.", ["private"]),
    ],
)
async def test_what_a_tool_guardrail_rejects_is_replaced_everywhere(
    serve: Any, guardrails: Any, path: str, told: str, runs: list[str]
) -> None:
    """openai/openai-agents-python#956: neither a reader of the stream nor a later turn gets the rejected output."""
    ran: list[str] = []
    model = ScriptedModel(Call("read_file", {"path": path}), Say("done"), Say("again"))
    served = await serve(Agent(name="A", model=model, tools=[tool_with(ran, **guardrails)]), titles="rule")
    _, events = await ask(served.person, message())
    assert ran == runs
    assert outputs(model) == [told]
    [output] = [data["output"] for _, data in events if data["type"] == "tool_call.completed"]
    assert output == told
    thread_id = next(data["thread_id"] for _, data in events if "thread_id" in data)
    state = ("complete", f"path: {path}") if runs else ("none", f"Failed. path: {path}")
    assert tasks(await served.items(thread_id)) == [("Read file", *state)]
    assert SECRET not in json.dumps(await served.items(thread_id))
    await say(served, thread_id, "and?")
    assert outputs(model) == [told]


@pytest.mark.parametrize(
    "guardrails", [{"tool_input_guardrails": [only_public]}, {"tool_output_guardrails": [redacted]}]
)
async def test_a_tool_guardrail_that_raises_ends_the_answer(serve: Any, guardrails: Any) -> None:
    ran: list[str] = []
    model = ScriptedModel(Call("read_file", {"path": "/etc/passwd"}), Say("fine"))
    served = await serve(Agent(name="A", model=model, tools=[tool_with(ran, **guardrails)]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) == ("guardrail", False)
    assert tasks(await served.items(thread_id)) == [("Read file", "none", "Failed. path: /etc/passwd")]
    assert error(await say(served, thread_id, "and now?")) is None
    assert SECRET not in json.dumps(model.calls[-1])


async def test_a_guardrail_of_an_agent_that_is_a_tool_ends_only_that_tool(serve: Any) -> None:
    @output_guardrail
    async def never(_context: Any, _agent: Any, _output: Any) -> GuardrailFunctionOutput:
        return outcome(tripped=True)

    inner = Agent[Any](name="Inner", model=ScriptedModel(Say(SECRET)), output_guardrails=[never])
    model = ScriptedModel(Call("inner", {"input": "x"}), Say("It refused."))
    served = await serve(Agent(name="A", model=model, tools=[inner.as_tool("inner", "x")]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id)) == ["hello", "It refused."]
    assert SECRET not in json.dumps(model.calls[-1])


async def test_an_approved_call_that_a_guardrail_rejects_is_not_shown_as_declined(serve: Any) -> None:
    @function_tool(needs_approval=True, tool_input_guardrails=[only_public])
    def read_file(path: str) -> str:
        """Read a file."""
        raise AssertionError

    model = ScriptedModel(Call("read_file", {"path": "private"}), Say("fine"))
    served = await serve(Agent(name="A", model=model, tools=[read_file]), titles="rule")
    thread_id, _ = await served.create()
    path = f"/api/chatkit/threads/{thread_id}/approvals"
    asked = (await served.person.http.get(path)).json()
    decisions = {each["id"]: {"decision": "approve"} for each in asked["data"]}
    answer = await served.person.http.post(path, json={"item_id": asked["item_id"], "decisions": decisions})
    assert answer.status_code == 200
    assert tasks(await served.items(thread_id))[-1] == ("Read file", "none", "Failed. path: private")
    assert outputs(model) == ["That folder is closed."]


class Stored(Hooks):
    """Collects the items that are stored, hidden ones too."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def item_committed(self, event: ItemCommitted) -> None:
        self.items.append(event.item.model_dump_json())


@pytest.mark.parametrize("rejects", ["output", "input"])
async def test_what_a_guardrail_of_an_inner_agents_tool_rejects_is_not_shown(
    serve: Any, rejects: str
) -> None:
    ran: list[str] = []
    guards: Any = (
        {"tool_output_guardrails": [redacted]}
        if rejects == "output"
        else {"tool_input_guardrails": [only_public]}
    )
    inner_model = ScriptedModel(Call("read_file", {"path": "private"}), Say("done"))
    inner = Agent[Any](name="Inner", model=inner_model, tools=[tool_with(ran, **guards)])
    model, stored = ScriptedModel(Call("inner", {"input": "x"}), Say("fine")), Stored()
    agent = Agent[Any](name="A", model=model, tools=[inner.as_tool("inner", "x")])
    served = await serve(Application(agent=agent, hooks=[stored]), titles="rule")
    stream = await served.person.say("hi")
    events = await stream.events()
    plain = await events_of(served.person, stream.run_id)
    assert error(events) is None
    assert ran == (["private"] if rejects == "output" else [])
    told = [data["output"] for _, data in plain if data["type"] == "tool_call.completed"]
    assert told == [*(["The output was withheld."] if rejects == "output" else []), "done"]
    assert SECRET not in json.dumps([events, plain, stored.items, inner_model.calls])

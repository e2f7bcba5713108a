"""A person approves or declines what an agent wants to do: across restarts, in nested agents, several at once."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from agents import Agent, FunctionTool, HostedMCPTool, RunContextWrapper, function_tool
from sqlalchemy import text

from backchannel.client import ServerError
from backchannel.testing import Call, Say
from backchannel.testing.endpoints import Reply, StrictEndpoint
from backchannel.testing.endpoints.wire import ResponsesStream, json_reply
from field.odd_models import error, lookup, say, served_on, texts

pytestmark = pytest.mark.row("M13", "B8")

APPROVE = "Approve"
ALWAYS = "Approve, and do not ask again in this conversation"
PROFILES = pytest.mark.parametrize("profile", ["strictest", "openai-responses"])


class Erasing:
    """An agent with a tool that needs approval, on a strict endpoint, and a person who talks with it."""

    def __init__(self, serve: Any, stack: AsyncExitStack, profile: str = "strictest") -> None:
        self.erased: list[str] = []
        self.endpoint = StrictEndpoint(profile, ignore={"call_id_format"})  # pyright: ignore[reportArgumentType]
        self._serve = serve
        self._stack = stack
        self._settings: dict[str, Any] = {}
        if profile == "openai-responses":
            self._settings["model_api"] = "responses"

    def tool(self, needs_approval: Any = True) -> FunctionTool:
        @function_tool(needs_approval=needs_approval)
        def erase(path: str) -> str:
            """Erase a file."""
            self.erased.append(path)
            return f"erased {path}"

        return erase

    def agent(self, *, nested: bool = False) -> Agent[Any]:
        agent = Agent[Any](name="Eraser", tools=[self.tool(), lookup])
        if nested:
            agent = Agent[Any](name="Clerk", tools=[agent.as_tool("ask_eraser", "Asks the eraser."), lookup])
        return agent

    async def start(self, agent: Agent[Any] | None = None, **settings: Any) -> "Erasing":
        self.served = await served_on(
            self._serve, self._stack, self.endpoint, agent or self.agent(), **self._settings, **settings
        )
        return self

    async def restart(self, agent: Agent[Any] | None = None, **settings: Any) -> None:
        """Another replica, with agents of its own. The person goes on there."""
        cookies = self.served.person.http.cookies
        await self.start(agent, **settings)
        self.served.person.http.cookies = cookies

    async def question(self, thread_id: str) -> dict[str, Any]:
        """The newest question of a thread."""
        items = await self.served.items(thread_id)
        return [item for item in items if item["type"] == "structured_input"][-1]

    async def answer(self, thread_id: str, *choices: str | None) -> list[dict[str, Any]]:
        """Answer the newest question; the events of what follows."""
        question = await self.question(thread_id)
        answers = {
            each["id"]: {"values": [choice]} if choice is not None else {"skipped": True}
            for each, choice in zip(question["inputs"], choices, strict=True)
        }
        params = {"thread_id": thread_id, "item_id": question["id"], "input": {"answers": answers}}
        return await (await self.served.person.stream("threads.add_structured_input", params)).events()

    async def run(self, thread_id: str) -> str:
        """The state of the newest run of a thread."""
        response = await self.served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")
        return response.json()["data"][0]["status"]


@pytest.fixture
def erasing(serve: Any, stack: AsyncExitStack) -> Callable[..., Erasing]:
    return partial(Erasing, serve, stack)


def outputs(endpoint: StrictEndpoint) -> list[str]:
    """The outputs of tools in the newest input of the model."""
    body = endpoint.requests[-1].body
    if "messages" in body:
        return [each["content"] for each in body["messages"] if each["role"] == "tool"]
    return [each["output"] for each in body["input"] if each.get("type") == "function_call_output"]


@PROFILES
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "on-another-replica"])
async def test_an_approved_call_is_made_once_and_the_answer_goes_on(
    erasing: Callable[..., Erasing], profile: str, elsewhere: bool
):
    """openai/openai-agents-python#2011."""
    chat = await erasing(profile).start()
    chat.endpoint.add([Say("Let me see."), Call("erase", {"path": "/a"})], Say("Gone."), Say("Yes."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    question = events[-1]["item"]
    assert (question["type"], question["status"]) == ("structured_input", "pending")
    assert "erase" in question["inputs"][0]["question"]
    assert "/a" in question["inputs"][0]["question"]
    assert await chat.run(thread_id) == "waiting"
    assert chat.erased == []
    if elsewhere:
        await chat.restart()
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert await chat.run(thread_id) == "completed"
    assert texts(await chat.served.items(thread_id))[1:] == ["Let me see.", "Gone."]
    assert outputs(chat.endpoint) == ["erased /a"]
    await say(chat.served, thread_id, "Is it gone?")
    assert outputs(chat.endpoint) == ["erased /a"]
    assert chat.endpoint.refused == []
    assert chat.erased == ["/a"]


@PROFILES
@pytest.mark.parametrize(
    ("choice", "told"),
    [("Decline", "declined"), (None, "declined"), ("Use /b instead", "They said: Use /b instead")],
    ids=["declined", "skipped", "with-a-reason"],
)
async def test_a_declined_call_is_not_made_and_the_model_is_told_why(
    erasing: Callable[..., Erasing], profile: str, choice: str | None, told: str
):
    chat = await erasing(profile).start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("As you wish."))
    thread_id, _ = await chat.served.create()
    await chat.restart()
    events = await chat.answer(thread_id, choice)
    assert error(events) is None
    assert chat.erased == []
    assert [told in output for output in outputs(chat.endpoint)] == [True]
    await say(chat.served, thread_id, "and now?")
    assert [told in output for output in outputs(chat.endpoint)] == [True]
    assert chat.endpoint.refused == []


async def test_several_calls_are_decided_together(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    calls = [Call("erase", {"path": "/a"}), Call("lookup", {"q": "x"}), Call("erase", {"path": "/b"})]
    chat.endpoint.add(calls, Say("Done."))
    thread_id, _ = await chat.served.create()
    question = await chat.question(thread_id)
    assert len(question["inputs"]) == 2
    await chat.restart()
    events = await chat.answer(thread_id, "Decline", APPROVE)
    assert error(events) is None
    assert chat.erased == ["/b"]
    told = outputs(chat.endpoint)
    assert sorted(told)[1:] == ["erased /b", "found x"]
    assert "declined" in min(told)
    await say(chat.served, thread_id, "and now?")
    assert sorted(outputs(chat.endpoint)) == sorted(told)
    assert chat.endpoint.refused == []


@PROFILES
async def test_an_approval_inside_an_agent_that_is_a_tool(erasing: Callable[..., Erasing], profile: str):
    chat = erasing(profile)
    await chat.start(chat.agent(nested=True))
    chat.endpoint.add(Call("ask_eraser", {"input": "erase /a"}), Call("erase", {"path": "/a"}))
    chat.endpoint.add(Say("inner: gone"), Say("It is gone."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert "Eraser" in (await chat.question(thread_id))["inputs"][0]["question"]
    await chat.restart(chat.agent(nested=True))
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert texts(await chat.served.items(thread_id))[-1] == "It is gone."
    assert outputs(chat.endpoint) == ["inner: gone"]
    await say(chat.served, thread_id, "and now?")
    assert outputs(chat.endpoint) == ["inner: gone"]
    assert chat.endpoint.refused == []


async def test_a_decision_counts_once(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, APPROVE)
    with pytest.raises(ServerError) as refused:
        await chat.answer(thread_id, APPROVE)
    assert refused.value.status == 409
    assert chat.erased == ["/a"]


async def test_nobody_else_decides(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    question = await chat.question(thread_id)
    eve = await chat.served.someone()
    answers = {"approval_1": {"values": [APPROVE]}}
    params = {"thread_id": thread_id, "item_id": question["id"], "input": {"answers": answers}}
    with pytest.raises(ServerError) as refused:
        await eve.stream("threads.add_structured_input", params)
    assert refused.value.status == 404
    await chat.served.person.request("threads.delete", {"thread_id": thread_id})
    with pytest.raises(ServerError) as refused:
        await chat.served.person.stream("threads.add_structured_input", params)
    assert refused.value.status == 404
    assert chat.erased == []


async def test_a_new_message_declines(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Then not."), Say("Nothing."))
    thread_id, _ = await chat.served.create()
    await chat.restart()
    events = await say(chat.served, thread_id, "never mind")
    assert error(events) is None
    replaced = [event["item"] for event in events if event["type"] == "thread.item.replaced"]
    assert [item["status"] for item in replaced] == ["skipped"]
    assert (await chat.question(thread_id))["status"] == "skipped"
    assert ["not given" in output for output in outputs(chat.endpoint)] == [True]
    with pytest.raises(ServerError) as refused:
        await chat.answer(thread_id, APPROVE)
    assert refused.value.status == 409
    await say(chat.served, thread_id, "what happened?")
    assert ["not given" in output for output in outputs(chat.endpoint)] == [True]
    assert chat.erased == []
    assert chat.endpoint.refused == []


async def test_always_in_this_thread(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."), Call("erase", {"path": "/b"}), Say("Too."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, ALWAYS)
    await chat.restart()
    events = await say(chat.served, thread_id, "and /b")
    assert error(events) is None
    assert chat.erased == ["/a", "/b"]
    assert await chat.run(thread_id) == "completed"
    # Another conversation asks again.
    chat.endpoint.add(Call("erase", {"path": "/c"}))
    other, _ = await chat.served.create()
    assert await chat.run(other) == "waiting"
    assert chat.erased == ["/a", "/b"]
    assert chat.endpoint.refused == []


async def test_an_agent_asks_again_after_a_decision(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Call("erase", {"path": "/b"}), Say("Both."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, APPROVE)
    assert await chat.run(thread_id) == "waiting"
    await chat.restart()
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a", "/b"]
    assert outputs(chat.endpoint) == ["erased /a", "erased /b"]
    assert chat.endpoint.refused == []


@pytest.mark.parametrize("change", ["tool-gone", "agent-renamed"])
async def test_the_agent_has_changed_meanwhile(erasing: Callable[..., Erasing], change: str):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("I cannot do that any more."))
    thread_id, _ = await chat.served.create()
    changed = Agent[Any](name="Other", tools=[chat.tool()]) if change == "agent-renamed" else None
    await chat.restart(changed or Agent[Any](name="Eraser", tools=[lookup]))
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == []
    assert texts(await chat.served.items(thread_id))[-1] == "I cannot do that any more."
    await say(chat.served, thread_id, "why?")
    assert chat.endpoint.refused == []


@pytest.mark.parametrize("needed", [True, False])
async def test_a_function_says_whether_approval_is_needed(erasing: Callable[..., Erasing], needed: bool):
    chat = erasing()

    async def outside_of_temporary_folders(_context: Any, arguments: dict[str, Any], _call_id: str) -> bool:
        return not arguments["path"].startswith("/tmp/")

    agent = Agent[Any](name="A", tools=[chat.tool(outside_of_temporary_folders)])
    await chat.start(agent)
    chat.endpoint.add(Call("erase", {"path": "/a" if needed else "/tmp/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    assert await chat.run(thread_id) == ("waiting" if needed else "completed")
    assert len(chat.erased) == (0 if needed else 1)


# google/adk-python#3649, openai/openai-agents-js#1768
async def test_the_agent_that_was_handed_to_asks(erasing: Callable[..., Erasing]):
    chat = erasing()

    def clerk() -> Agent[Any]:
        return Agent[Any](name="Clerk", handoffs=[chat.agent()])

    await chat.start(clerk())
    chat.endpoint.add(Call("transfer_to_eraser", {}), Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    await chat.restart(clerk())
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert texts(await chat.served.items(thread_id))[-1] == "Gone."
    assert chat.endpoint.refused == []


async def test_a_call_beside_a_hand_off(erasing: Callable[..., Erasing]):
    chat = erasing()

    def eraser() -> Agent[Any]:
        return Agent[Any](name="Eraser", tools=[chat.tool()], handoffs=[Agent[Any](name="Clerk")])

    await chat.start(eraser())
    chat.endpoint.add([Call("erase", {"path": "/a"}), Call("transfer_to_clerk", {})], Say("I take over."))
    thread_id, _ = await chat.served.create()
    await chat.restart(eraser())
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    await say(chat.served, thread_id, "and now?")
    assert chat.endpoint.refused == []


# openai/openai-agents-python#5141, strands-agents/harness-sdk#3076
async def test_an_approval_two_agents_deep_whose_tools_depend_on_the_context(erasing: Callable[..., Erasing]):
    chat = erasing()

    def for_a_run(context: RunContextWrapper[Any], _agent: Any) -> bool:
        return context.context.request_context.run_id is not None

    def outer() -> Agent[Any]:
        eraser = Agent[Any](name="Eraser", tools=[chat.tool()])
        clerk = Agent[Any](
            name="Clerk", tools=[eraser.as_tool("ask_eraser", "Asks the eraser.", is_enabled=for_a_run)]
        )
        return Agent[Any](name="Boss", tools=[clerk.as_tool("ask_clerk", "Asks the clerk.")])

    await chat.start(outer())
    chat.endpoint.add(Call("ask_clerk", {"input": "a"}), Call("ask_eraser", {"input": "b"}))
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("inmost"), Say("inner"), Say("Gone."))
    thread_id, _ = await chat.served.create()
    await chat.restart(outer())
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert texts(await chat.served.items(thread_id))[-1] == "Gone."
    assert chat.endpoint.refused == []


async def test_calls_of_two_inner_agents_with_the_same_ids(erasing: Callable[..., Erasing]):
    chat = erasing()
    function = {"name": "erase", "arguments": '{"path": "/a"}'}
    call = {"id": "call_0", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    same = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
    }

    await chat.start(chat.agent(nested=True))
    chat.endpoint.add([Call("ask_eraser", {"input": "a"}), Call("ask_eraser", {"input": "b"})])
    chat.endpoint.add(json_reply(same), json_reply(same))
    thread_id, _ = await chat.served.create()
    assert len((await chat.question(thread_id))["inputs"]) == 2
    await chat.restart(chat.agent(nested=True))
    events = await chat.answer(thread_id, APPROVE, APPROVE)
    # Which of the two is meant cannot be said: neither is made twice, and the answer goes on.
    assert error(events) is None
    assert len(chat.erased) <= 2
    await say(chat.served, thread_id, "and now?")
    assert chat.endpoint.refused == []


# cadis/cadis#852, autumn-foundation/autumn#2903
async def test_two_decisions_at_the_same_time_on_two_replicas(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    first = chat.served
    await chat.restart()
    question = await chat.question(thread_id)

    async def decide(served: Any, choice: str) -> list[dict[str, Any]]:
        answers = {"approval_1": {"values": [choice]}}
        params = {"thread_id": thread_id, "item_id": question["id"], "input": {"answers": answers}}
        return await (await served.person.stream("threads.add_structured_input", params)).events()

    results = await asyncio.gather(
        decide(first, APPROVE), decide(chat.served, APPROVE), return_exceptions=True
    )
    refused = [each for each in results if isinstance(each, ServerError)]
    told = [each for each in results if isinstance(each, list)]
    assert [each.status for each in refused] in ([409], [])
    # One that came before the other had been accepted waits for it, and is refused then.
    assert [error(each) for each in told].count(None) == 1
    assert chat.erased == ["/a"]


# vercel/ai#12709: the question survives a stop and another tab, and is answered after that.
async def test_a_stop_does_not_take_the_question_away(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    runs = (await chat.served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")).json()["data"]
    await chat.served.person.stop(runs[0]["id"])
    question = await chat.question(thread_id)
    if question["status"] == "pending":
        await chat.answer(thread_id, "Decline")
    await say(chat.served, thread_id, "and now?")
    assert chat.erased == []
    assert chat.endpoint.refused == []


async def test_a_state_that_cannot_be_used_asks_again(erasing: Callable[..., Erasing], caplog: Any):
    """Such as one that a newer version of the Agents SDK has written on another replica."""
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    database = chat.served.backchannel.database
    async with database.write() as connection:
        statement = "UPDATE items SET data = replace(data, '$schemaVersion', '$other')"
        await connection.execute(text(statement))
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == []
    assert ["could not be made" in output for output in outputs(chat.endpoint)] == [True]
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert chat.endpoint.refused == []


@pytest.mark.parametrize("choice", [APPROVE, "Not on a Sunday"])
async def test_a_hosted_mcp_server_asks(erasing: Callable[..., Erasing], choice: str):
    """openai/openai-agents-python#2011: `require_approval` without a callback."""
    config: Any = {
        "server_label": "files",
        "server_url": "https://files.example/mcp",
        "require_approval": "always",
    }
    agent = Agent[Any](name="A", tools=[HostedMCPTool(tool_config={"type": "mcp", **config})])
    chat = erasing("openai-responses")
    await chat.start(agent)
    asks = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "files",
        "name": "erase",
        "arguments": "{}",
    }
    stream = ResponsesStream("m")
    parts = [*stream.created(), stream.added(asks), stream.done(asks)]
    parts.append(stream.event("response.completed", response=stream.response("completed", output=[asks])))
    chat.endpoint.add(Reply(parts), Say("So be it."), Say("Yes."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert "files.erase" in (await chat.question(thread_id))["inputs"][0]["question"]
    await chat.restart(agent)
    events = await chat.answer(thread_id, choice)
    assert error(events) is None
    [response] = [
        each
        for each in chat.endpoint.requests[-1].body["input"]
        if each.get("type") == "mcp_approval_response"
    ]
    assert response["approval_request_id"] == "mcpr_1"
    assert response["approve"] is (choice == APPROVE)
    assert response.get("reason") == (
        None
        if choice == APPROVE
        else "The person declined this call, so it did not run. They said: Not on a Sunday"
    )
    assert texts(await chat.served.items(thread_id))[-1] == "So be it."
    await say(chat.served, thread_id, "and now?")
    assert chat.endpoint.refused == []

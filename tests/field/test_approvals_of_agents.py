"""Approvals where the agents, their providers or the replicas make it difficult."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents import Agent, HostedMCPTool, RunContextWrapper
from sqlalchemy import text

from backchannel import approval_question
from backchannel.chat.agent import approval_flow
from backchannel.client import ServerError
from backchannel.testing import Call, Say
from backchannel.testing.endpoints import Reply
from backchannel.testing.endpoints.wire import ResponsesStream, json_reply
from field.erasing import APPROVE, Erasing, outputs
from field.odd_models import CHAT, error, say, texts

pytestmark = pytest.mark.row("M13", "B8")


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


# openai/openai-agents-python#2137: thought signatures of Gemini
@pytest.mark.row("M18")
@pytest.mark.parametrize("choice", [APPROVE, "Decline"])
async def test_what_the_provider_sent_with_a_call_is_sent_back(erasing: Callable[..., Erasing], choice: str):
    chat = await erasing("gemini").start(model="gemini-3-pro")
    signature = {"google": {"thought_signature": "c2lnbmVk"}}
    call = CHAT.call("erase", '{"path": "/a"}', "call_1", extra_content=signature)
    chat.endpoint.add(Reply([call, *CHAT.end("tool_calls")]), Say("So be it."), Say("Yes."))
    thread_id, _ = await chat.served.create()
    await chat.restart(model="gemini-3-pro")
    await chat.answer(thread_id, choice)
    await say(chat.served, thread_id, "and now?")
    assert chat.endpoint.refused == []
    for request in chat.endpoint.requests[-2:]:
        [made] = [call for each in request.body["messages"] for call in each.get("tool_calls") or ()]
        assert made["extra_content"] == signature


# microsoft/agent-framework#7458, #7570: the model fails after the tool has run.
async def test_a_failure_after_the_tool_does_not_make_it_run_again(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(
        Call("erase", {"path": "/a"}), json_reply({"error": {"message": "no"}}, 402), Say("It is gone.")
    )
    thread_id, _ = await chat.served.create()
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is not None
    assert chat.erased == ["/a"]
    await say(chat.served, thread_id, "and now?")
    assert outputs(chat.endpoint) == ["erased /a"]
    assert chat.erased == ["/a"]
    assert chat.endpoint.refused == []


# Azure/azure-sdk-for-python#47996
async def test_an_answer_can_be_regenerated_after_a_decision(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(
        Call("erase", {"path": "/a"}), Say("Gone."), Call("erase", {"path": "/a"}), Say("Gone again.")
    )
    thread_id, events = await chat.served.create()
    await chat.answer(thread_id, "Decline")
    message_id = next(event["item"]["id"] for event in events if event["type"] == "thread.item.done")
    params = {"thread_id": thread_id, "item_id": message_id}
    events = await (await chat.served.person.stream("threads.retry_after_item", params)).events()
    assert error(events) is None
    assert chat.erased == []
    await chat.answer(thread_id, APPROVE)
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


# langchain-ai/langchain#32996, heeki/loom#88: a person cannot judge an id.
@pytest.mark.parametrize("nested", [False, True])
async def test_an_application_words_the_question(erasing: Callable[..., Erasing], nested: bool):
    chat = erasing()
    asked: list[tuple[object, dict[str, Any]]] = []

    async def question(context: RunContextWrapper[Any], arguments: dict[str, Any]) -> str | None:
        asked.append((context.context.request_context.identity.user, arguments))
        return "Erase your diary?" if arguments.get("path") == "/a" else None

    tool = approval_question(chat.tool(), question)
    agent = Agent[Any](name="Eraser", tools=[tool])
    if nested:
        agent = Agent[Any](name="Clerk", tools=[agent.as_tool("ask_eraser", "Asks the eraser.")])
        chat.endpoint.add(Call("ask_eraser", {"input": "erase"}))
    await chat.start(agent)
    chat.endpoint.add(
        [Call("erase", {"path": "/a"}), Call("erase", {"path": "/b"})], Say("Gone."), Say("Done.")
    )
    thread_id, _ = await chat.served.create()
    one, two = (each["question"] for each in (await chat.question(thread_id))["inputs"])
    assert one == "Erase your diary?"
    assert "/b" in two
    assert asked == [(chat.user, {"path": "/a"}), (chat.user, {"path": "/b"})]
    listed = await chat.served.person.http.get(f"/api/chatkit/threads/{thread_id}/approvals")
    assert [(call["question"], call["arguments"]["path"]) for call in listed.json()["data"]] == [
        ("Erase your diary?", "/a"),
        (two, "/b"),
    ]
    assert error(await chat.answer(thread_id, APPROVE, "Decline")) is None
    assert chat.erased == ["/a"]


@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_a_question_that_cannot_be_worded_is_asked_in_the_usual_words(
    erasing: Callable[..., Erasing], fault: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(approval_flow, "QUESTION_SECONDS", 0.1)
    chat = erasing()

    async def question(_context: RunContextWrapper[Any], _arguments: dict[str, Any]) -> str:
        if fault == "hangs":
            await asyncio.Event().wait()
        raise RuntimeError

    await chat.start(Agent[Any](name="Eraser", tools=[approval_question(chat.tool(), question)]))
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert "/a" in (await chat.question(thread_id))["inputs"][0]["question"]

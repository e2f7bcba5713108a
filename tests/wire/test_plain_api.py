"""The plain API over HTTP: a message in, its answer as events for programs, resumable like any other (C2)."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from agents import Agent, RunContextWrapper, function_tool
from chatkit.agents import AgentContext
from openai._streaming import SSEDecoder

from backchannel.context import Identity, RequestContext
from backchannel.errors import NotFoundError
from backchannel.plain import MAX_OUTPUT_CHARS
from backchannel.testing import Call, Fail, Say, ScriptedModel, parse_events, user_message
from programs import (
    PATH,
    TEXT,
    ReaderState,
    ask,
    events_of,
    held,
    message,
    number,
    read,
    told_by,
    types,
    without_joins,
    without_text,
    words,
)
from visitors import visitor_id

pytestmark = pytest.mark.row("C2")


@function_tool
def count(what: str) -> str:
    """Count things."""
    return f"3 {what}"


def counting() -> Agent[Any]:
    """An agent that hands off to another, which calls a tool and answers."""
    model = ScriptedModel(
        Call("transfer_to_counter"), Call("count", {"what": "apples"}), Say(["Three ", "apples."])
    )
    counter = Agent(name="Counter", tools=[count], model=model)
    return Agent(name="Triage", handoffs=[counter], model=model)


async def test_a_conversation_with_a_hand_off_and_a_tool(serve):
    served = await serve(counting())
    response = await served.person.http.post(PATH, json=message("how many apples?"))
    told = await told_by(response)
    headers = response.headers
    run_id = headers["x-run-id"]
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    assert "no-cache" in headers["cache-control"]
    numbers = [number(event_id) for event_id, _ in told]
    assert {event_id.rpartition(":")[0] for event_id, _ in told} == {run_id}
    assert numbers == sorted(set(numbers))

    kinds = types(told)
    assert kinds[:3] == ["conversation.created", "conversation.item.completed", "agent_call.started"]
    assert kinds[-2:] == ["conversation.item.completed", "done"]
    assert [data["agent"] for _, data in told if data["type"] == "agent_call.started"] == [
        "Triage",
        "Counter",
    ]
    [began] = [data for _, data in told if data["type"] == "tool_call.started"]
    [ended] = [data for _, data in told if data["type"] == "tool_call.completed"]
    assert (began["name"], began["arguments"]) == ("count", {"what": "apples"})
    assert (ended["name"], ended["output"], ended["truncated"]) == ("count", "3 apples", False)
    assert began["call_id"] == ended["call_id"]
    assert words(told) == "Three apples."
    assert told[-1][1] == {"type": "done", "run_id": run_id, "status": "completed"}
    # What was begun is completed, under the same id.
    begun = [data["item"]["id"] for _, data in told if data["type"] == "conversation.item.created"]
    finished = {
        data["item"]["id"]: data["item"]
        for _, data in told
        if data["type"].endswith("completed") and "item" in data
    }
    assert set(begun) < set(finished)
    assert "hidden" not in json.dumps([data for _, data in told])
    # And is what the conversation has by REST.
    thread_id = told[0][1]["thread_id"]
    kept = (
        await served.person.http.get(f"/api/chatkit/threads/{thread_id}/items", params={"order": "asc"})
    ).json()
    assert [item["id"] for item in kept["data"]] == list(finished)
    assert [finished[item["id"]]["type"] for item in kept["data"]] == [
        "user_message",
        "workflow",
        "assistant_message",
    ]
    answer = list(finished.values())[-1]
    assert answer["content"] == [{"type": "text", "text": "Three apples.", "annotations": []}]


async def _by_httpx(body: bytes) -> list[tuple[str, str, str]]:
    response = httpx2.Response(
        200,
        headers={"content-type": "text/event-stream"},
        content=body,
        request=httpx2.Request("GET", "http://x"),
    )
    return [(event.id, event.event, event.data) for event in httpx2.EventSource(response)]


async def _by_openai(body: bytes) -> list[tuple[str, str, str]]:
    events = SSEDecoder().iter_bytes(iter([body]))
    return [(event.id or "", event.event or "", event.data) for event in events]


@pytest.mark.row("C1")
async def test_any_parser_of_event_streams_reads_it(serve):
    served = await serve(counting())
    body = (await served.person.http.post(PATH, json=message())).content
    ours = await read(body)
    assert len(ours) > 10
    assert await _by_httpx(body) == ours
    assert await _by_openai(body) == ours
    # The end is a comment, and no line that some would take for an event.
    assert body.endswith(b"\n\n: end\n")
    assert b"\n\n\n" not in body


async def test_a_conversation_goes_on_and_the_agent_is_told_the_metadata(serve):
    seen: list[Any] = []

    def instructions(context: RunContextWrapper[AgentContext[RequestContext]], _agent: Any) -> str:
        seen.append(dict(context.context.request_context.metadata))
        return "Be kind."

    model = ScriptedModel(Say("one"), Say("two"))
    served = await serve(Agent(name="A", instructions=instructions, model=model))
    _, first = await ask(served.person, message("hi", metadata={"job": 7}))
    thread_id = first[0][1]["thread_id"]
    _, second = await ask(served.person, message("and now?", id=thread_id))
    assert types(second)[0] == "conversation.item.completed"
    assert second[0][1]["thread_id"] == thread_id
    assert "conversation.created" not in types(second)
    assert seen == [{"job": 7}, {}]
    texts = [item["content"][0]["text"] for item in await served.items(thread_id)]
    assert texts == ["hi", "one", "and now?", "two"]


async def test_whatever_is_json_can_be_said(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("ok"))))
    metadata = {"": [None, True, 1e300, -0.0, 12345678901234567890, "\x00\u2028😀", {"deep": [[[[]]]]}]}
    text = "\u2028😀 \x7f\ufeff"
    # With every character that is not ASCII escaped: those beyond 16 bits as two halves, which together are one.
    body = json.dumps(message(text, metadata=metadata))
    told = await told_by(
        await served.person.http.post(PATH, content=body, headers={"content-type": "application/json"})
    )
    assert told[1][1]["item"]["content"][0]["text"] == text
    assert told[-1][1]["status"] == "completed"


async def test_several_pieces_of_text_are_one_message(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("ok"))))
    body = {
        "input": {"type": "user_message", "content": [TEXT, {"type": "text", "text": "there"}]},
        "thread": None,
    }
    _, told = await ask(served.person, body)
    assert told[1][1]["item"]["content"] == [TEXT, {"type": "text", "text": "there"}]


@pytest.mark.row("C4")
async def test_resume_after_any_event_gives_exactly_the_rest(serve):
    served = await serve(counting())
    run_id, told = await ask(served.person, message())
    assert await events_of(served.person, run_id) == without_joins(told)
    for place, (event_id, _) in enumerate(told[:-1]):
        rest = await events_of(served.person, run_id, event_id)
        assert without_text(rest) == without_text(told[place + 1 :])
        assert words(rest) == words(told[place + 1 :])
        assert rest == await events_of(served.person, run_id, after=number(event_id))
    end = await served.person.http.get(
        f"/api/chatkit/runs/{run_id}/events",
        params={"format": "plain"},
        headers={"Last-Event-ID": told[-1][0]},
    )
    assert (end.status_code, end.content) == (204, b"")


@pytest.mark.row("C4")
@pytest.mark.parametrize("by_post", [False, True])
async def test_a_connection_that_breaks_in_the_middle_loses_and_repeats_nothing(serve, by_post):
    agent, model, gate = held("one ", "two ", "three")
    served = await serve(agent)
    http = served.person.http
    seen: ReaderState = []
    async with http.stream("POST", PATH, json=message()) as response:
        run_id = response.headers["x-run-id"]
        async for event in parse_events(response.aiter_bytes()):
            seen.append((event.id, json.loads(event.data)))
            if words(seen) == "one two ":
                break
    if by_post:
        resuming = asyncio.create_task(ask(served.person, message(), **{"Last-Event-ID": seen[-1][0]}))
    else:
        resuming = asyncio.create_task(_with_run(run_id, events_of(served.person, run_id, seen[-1][0])))
    gate.set()
    resumed, rest = await resuming
    assert resumed == run_id
    whole = await events_of(served.person, run_id)
    assert words(seen + rest) == words(whole) == "one two three"
    assert without_text(seen + rest) == without_text(whole)
    assert len(model.calls) == 1
    assert len((await served.person.request("threads.list", {}))["data"]) == 1


async def _with_run(run_id: str, events: Any) -> tuple[str, ReaderState]:
    return run_id, await events


@pytest.mark.row("A4", "C4")
async def test_the_same_key_is_one_run_whichever_api_it_comes_by(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("once"), Say("theirs"))))
    first, told = await ask(served.person, message("hi"), **{"Idempotency-Key": "k1"})
    again, repeated = await ask(served.person, message("hi"), **{"Idempotency-Key": "k1"})
    assert (again, without_joins(repeated)) == (first, without_joins(told))
    params = {"input": user_message("hi")}
    stream = await served.person.stream("threads.create", params, headers={"Idempotency-Key": "k1"})
    assert stream.run_id == first
    await stream.events()
    refused = await served.person.http.post(PATH, json=message("else"), headers={"Idempotency-Key": "k1"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    for key in ("", "k" * 256):
        refused = await served.person.http.post(PATH, json=message("hi"), headers={"Idempotency-Key": key})
        assert refused.status_code == 422
    stranger = await served.someone()
    theirs, _ = await ask(stranger, message("hi"), **{"Idempotency-Key": "k1"})
    assert theirs != first


async def test_both_vocabularies_tell_of_the_same_run(serve):
    """ChatKit's clients see nothing of what is for programs, and the other way round."""
    served = await serve(counting())
    run_id, told = await ask(served.person, message())
    stream = await served.person.resume(run_id)
    shown = [(stream.last_event_id, event) async for event in stream]
    assert {event["type"].partition(".")[0] for _, event in shown} == {"thread", "stream_options"}
    assert shown[-1][1]["item"]["id"] == [data for _, data in told if "item" in data][-1]["item"]["id"]
    common = {event_id for event_id, _ in shown} & {event_id for event_id, _ in told}
    assert {told[0][0], told[1][0], shown[-1][0]} <= common
    # And a run that was asked for by ChatKit is told to programs.
    served.backchannel.server.agent = Agent(name="B", model=ScriptedModel(Say("hello")))
    chat = await served.person.say("hi")
    await chat.events()
    assert types(await events_of(served.person, chat.run_id))[-1] == "done"


@pytest.mark.row("A3")
async def test_a_failure_is_one_error_and_the_end(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Fail(RuntimeError("secret detail")))))
    run_id, told = await ask(served.person, message())
    (_, error), (_, end) = told[-2:]
    assert error == {
        "type": "error",
        "code": "internal_error",
        "message": error["message"],
        "allow_retry": True,
        "request_id": error["request_id"],
        "run_id": run_id,
    }
    assert error["request_id"].startswith("req_")
    assert "Try again" in error["message"]
    assert end["status"] == "failed"
    assert "secret" not in json.dumps([data for _, data in told])


@pytest.mark.row("C5")
@pytest.mark.parametrize(("deleted", "status"), [(False, {"cancelled"}), (True, {"cancelled", "deleted"})])
async def test_an_answer_that_is_stopped_says_so(serve, deleted, status):
    agent, _model, _never = held("Hello ", "world")
    served = await serve(agent)
    seen: ReaderState = []
    async with served.person.http.stream("POST", PATH, json=message()) as response:
        run_id = response.headers["x-run-id"]
        async for event in parse_events(response.aiter_bytes()):
            seen.append((event.id, json.loads(event.data)))
            if seen[-1][1].get("delta"):
                if deleted:
                    await served.person.request("threads.delete", {"thread_id": seen[0][1]["thread_id"]})
                else:
                    await served.person.stop(run_id)
    assert seen[-1][1]["type"] == "done"
    assert seen[-1][1]["status"] in status


@pytest.mark.row("C4")
async def test_a_reader_that_comes_to_the_end_after_the_conversation_was_deleted(serve, monkeypatch):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))
    run_id, told = await ask(served.person, message())
    runs = served.backchannel.runs
    answers = [await runs.load(run_id, Identity(visitor_id(served.person.http)))]

    async def load(run_id, identity):
        if answers:
            return answers.pop()
        raise NotFoundError("It was there when the stream began.")

    monkeypatch.setattr(runs, "load", load)
    again = await events_of(served.person, run_id)
    assert again[:-1] == without_joins(told)[:-1]
    assert again[-1][1] == {"type": "done", "run_id": run_id, "status": "deleted"}


async def test_a_long_output_of_a_tool_is_cut(serve):
    @function_tool
    def dump() -> str:
        """Give everything."""
        return "x" * (MAX_OUTPUT_CHARS + 1)

    served = await serve(
        Agent(name="A", tools=[dump], model=ScriptedModel(Call("dump"), Say("That is all.")))
    )
    _, told = await ask(served.person, message())
    [ended] = [data for _, data in told if data["type"] == "tool_call.completed"]
    assert ended["truncated"] is True
    assert ended["output"] == "x" * MAX_OUTPUT_CHARS

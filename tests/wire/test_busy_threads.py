"""A second message on a busy thread: it waits, visibly; or it is refused; or it takes the answer's place (C6)."""

import asyncio

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel, ServerError, user_message

pytestmark = pytest.mark.row("C6", "C5")


def held(*deltas: str) -> tuple[ScriptedModel, asyncio.Event]:
    gate = asyncio.Event()
    return ScriptedModel(Say(deltas, until=gate)), gate


async def until_said(stream, text: str) -> list[dict]:
    said, events = "", []
    async for event in stream:
        events.append(event)
        said += event.get("update", {}).get("delta", "")
        if said == text:
            return events
    raise AssertionError(f"the stream ended with {said!r}")


async def runs_of(served, thread_id: str, status: str = "active") -> list[dict]:
    path = f"/api/chatkit/threads/{thread_id}/runs"
    return (await served.person.http.get(path, params={"status": status})).json()["data"]


async def texts(served, thread_id: str) -> list[str]:
    return [item["content"][0]["text"] for item in await served.items(thread_id)]


async def test_messages_wait_in_order_and_can_be_seen_and_withdrawn(serve):
    model, gate = held("first ", "answer")
    model.add(Say("third answer"))
    served = await serve(Agent(name="A", model=model))
    first = await served.person.say("one")
    thread_id = (await until_said(first, "first "))[0]["thread"]["id"]
    second = await served.person.say("two", thread_id)
    third = await served.person.say("three", thread_id)
    found = await runs_of(served, thread_id)
    assert [(run["status"], run["text"]) for run in found] == [
        ("queued", "three"), ("queued", "two"), ("running", None)
    ]  # fmt: skip
    assert [run["id"] for run in await runs_of(served, thread_id, "queued")] == [third.run_id, second.run_id]
    assert (await served.person.stop(second.run_id))["status"] == "cancelled"
    waited, refused = await second.events()
    assert (waited["type"], waited["text"]) == ("progress_update", "Waiting for the answer before")
    assert (refused["type"], refused["reason"]) == ("error", "conflict")
    gate.set()
    await first.events()
    await third.events()
    assert await texts(served, thread_id) == ["one", "first answer", "three", "third answer"]
    assert await runs_of(served, thread_id) == []


async def test_a_message_that_waits_survives_the_server(serve, tmp_path):
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    model, _never = held("first ", "answer")
    served = await serve(Agent(name="A", model=model), database_url=url)
    first = await served.person.say("one")
    thread_id = (await until_said(first, "first "))[0]["thread"]["id"]
    second = await served.person.say("two", thread_id)
    await served.backchannel.runs.drain(0)
    model.add(Say("first answer"), Say("second answer"))
    again = await serve(Agent(name="A", model=model), database_url=url)
    again.person.http.cookies = served.person.http.cookies
    for run_id in (first.run_id, second.run_id):
        await (await again.person.resume(run_id)).events()
    assert await texts(again, thread_id) == ["one", "first answer", "two", "second answer"]


async def test_reject_answers_409_and_changes_nothing(serve):
    model, gate = held("first ", "answer")
    served = await serve(Agent(name="A", model=model), while_running="reject")
    first = await served.person.say("one")
    thread_id = (await until_said(first, "first "))[0]["thread"]["id"]
    with pytest.raises(ServerError) as error:
        await served.person.say("two", thread_id)
    assert (error.value.status, error.value.code) == (409, "conflict")
    gate.set()
    await first.events()
    model.add(Say("fine"))
    await (await served.person.say("three", thread_id)).events()
    assert await texts(served, thread_id) == ["one", "first answer", "three", "fine"]


async def test_interrupt_keeps_what_was_said_and_answers_the_new_message(serve):
    model, _never = held("first ", "answer")
    model.add(Say("second answer"))
    served = await serve(Agent(name="A", model=model), while_running="interrupt")
    first = await served.person.say("one")
    thread_id = (await until_said(first, "first "))[0]["thread"]["id"]
    second = await served.person.say("two", thread_id)
    await second.events()
    assert (await first.events())[-1]["item"]["content"][0]["text"] == "first "
    assert await texts(served, thread_id) == ["one", "first ", "two", "second answer"]
    run = (await served.person.http.get(f"/api/chatkit/runs/{first.run_id}")).json()
    assert run["status"] == "cancelled"
    assert model.streaming == 0


async def test_what_cannot_be_taken_in_later_is_refused_now(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()))
    with pytest.raises(ServerError) as error:
        await served.person.stream(
            "threads.add_user_message", {"thread_id": "thr_unknown", "input": user_message("x")}
        )
    assert error.value.status == 404

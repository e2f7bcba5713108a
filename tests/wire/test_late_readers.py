"""Whoever comes late, or looks in meanwhile, sees all there is: never a silent hole (C4, A4)."""

import asyncio

import pytest
from agents import Agent
from sqlalchemy import text

from backchannel.testing import Say, ScriptedModel, ServerError, user_message

pytestmark = pytest.mark.row("C4", "A4", "A1")


async def test_the_partial_answer_is_in_the_thread_while_it_is_made(serve):
    gate = asyncio.Event()
    served = await serve(Agent(name="A", model=ScriptedModel(Say(["Hello ", "brave ", "world"], until=gate))))
    stream = await served.person.say("hi")
    events = []
    async for event in stream:
        events.append(event)
        if event.get("update", {}).get("delta", "").endswith("brave "):
            break
    thread = {"thread_id": events[0]["thread"]["id"]}
    for order in ("asc", "desc"):
        items = (await served.person.request("items.list", {**thread, "order": order}))["data"]
        newest = items[-1] if order == "asc" else items[0]
        assert newest["content"][0]["text"] == "Hello brave "
        assert len(items) == 2
        assert newest["created_at"].endswith("Z")
    whole = await served.person.request("threads.get_by_id", thread)
    assert whole["items"]["data"][-1]["content"][0]["text"] == "Hello brave "
    gate.set()
    await stream.events()
    items = await served.items(thread["thread_id"])
    assert [item["content"][0]["text"] for item in items] == ["hi", "Hello brave world"]


async def test_events_that_have_expired_are_told_as_finished_items(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say(["one ", "two"]), Say("other"))))
    stream = await served.person.say("hi")
    events = await stream.events()
    await (await served.person.say("next", events[0]["thread"]["id"])).events()
    async with served.backchannel.database.write() as connection:
        await connection.execute(text("UPDATE run_logs SET ended_at = '2020-01-01 00:00:00.000000'"))
    log = served.backchannel.events
    await log.aclose()
    served.backchannel.events.__init__(served.backchannel.database, retention=600)
    late = await (await served.person.resume(stream.run_id, stream.last_event_id)).events()
    assert [(event["type"], event["item"]["content"][0]["text"]) for event in late] == [
        ("thread.item.done", "hi"),
        ("thread.item.done", "one two"),
    ]


async def test_an_op_that_names_itself_is_done_once(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))
    thread_id, _ = await served.create()
    rename = {"type": "threads.update", "params": {"thread_id": thread_id, "title": "Mine"}}
    headers = {"Idempotency-Key": "k1"}
    first = await served.person.http.post("/api/chatkit", json=rename, headers=headers)
    await served.person.request("threads.update", {"thread_id": thread_id, "title": "Later"})
    again = await served.person.http.post("/api/chatkit", json=rename, headers=headers)
    assert (first.status_code, again.content) == (200, first.content)
    thread = await served.person.request("threads.get_by_id", {"thread_id": thread_id})
    assert thread["title"] == "Later", "the second time it changed nothing"
    other = {"type": "threads.update", "params": {"thread_id": thread_id, "title": "Other"}}
    refused = await served.person.http.post("/api/chatkit", json=other, headers=headers)
    assert refused.status_code == 409


async def test_an_op_that_was_refused_can_use_its_key_again(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))
    missing = {"type": "threads.delete", "params": {"thread_id": "thr_unknown"}}
    for _ in range(2):
        refused = await served.person.http.post(
            "/api/chatkit", json=missing, headers={"Idempotency-Key": "k1"}
        )
        assert refused.status_code == 404


async def test_a_run_tells_who_makes_it_and_what_it_used(serve):
    gate = asyncio.Event()
    served = await serve(Agent(name="A", model=ScriptedModel(Say(["a", "b"], until=gate))))
    stream = await served.person.say("hi")
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert (run["status"], run["fence"], run["attempt"]) == ("running", 1, 1)
    assert run["replica"] == served.backchannel.runs.worker.replica
    gate.set()
    await stream.events()
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert run["usage"] == {"requests": 1, "input_tokens": 10, "output_tokens": 5}
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]
    with pytest.raises(ServerError):
        await (await served.someone()).stop(stream.run_id)


@pytest.mark.row("K4", "C4")
@pytest.mark.parametrize("format", ["chatkit", "plain"])
async def test_a_reader_who_has_all_events_is_told_to_stop_and_no_other(serve, format):
    """The standard's 204. vercel/ai PR#7195: it has no body."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say(["one ", "two"]))))
    stream = await served.person.say("hi")
    await stream.events()

    async def events(last_event_id: str = "", **params) -> tuple[int, str]:
        response = await served.person.http.get(
            f"/api/chatkit/runs/{stream.run_id}/events",
            params={"format": format, **params},
            headers={"Last-Event-ID": last_event_id} if last_event_id else {},
        )
        return response.status_code, response.text

    def ids(body: str) -> list[str]:
        return [line.removeprefix("id: ") for line in body.splitlines() if line.startswith("id: ")]

    async def check() -> None:
        status, body = await events()
        everything = ids(body)
        assert status == 200
        assert len(set(everything)) == len(everything) >= 2
        for place, last in enumerate(everything[:-1]):
            status, body = await events(last)
            assert (status, ids(body)) == (200, everything[place + 1 :])
            assert body.endswith(": end\n")
        end = everything[-1]
        assert await events(end) == (204, "")
        assert await events(after=end.rpartition(":")[2]) == (204, "")
        assert await events(lastEventId=end) == (204, "")
        # A POST gets a stream: clients that repeat it take anything else for an error.
        again = await served.person.http.post(
            "/api/chatkit", json={"type": "threads.create", "params": {"input": user_message("hi")}},
            headers={"Last-Event-ID": end},
        )  # fmt: skip
        assert (again.status_code, again.text) == (200, ": end\n")

    await check()
    async with served.backchannel.database.write() as connection:
        await connection.execute(text("UPDATE run_logs SET ended_at = '2020-01-01 00:00:00.000000'"))
    log = served.backchannel.events
    await log.aclose()
    served.backchannel.events.__init__(served.backchannel.database, retention=600)
    await check()

"""A run is its own task: what disconnects, stops, resumes and queues do to it."""

import asyncio

import pytest
from agents import Agent, function_tool
from chatkit.store import Store

from backchannel.testing import Call, Say, ScriptedModel, ServerError, user_message
from programs import read_until_broken


def held(*deltas: str) -> tuple[ScriptedModel, asyncio.Event]:
    """A model that waits before its last delta."""
    gate = asyncio.Event()
    return ScriptedModel(Say(deltas, until=gate)), gate


async def until_text(stream, text: str):
    """Read a stream until the answer has got as far as `text`."""
    said, events = "", []
    async for event in stream:
        events.append(event)
        if event["type"] == "thread.item.updated":
            said += event["update"].get("delta", "")
        if said == text:
            return events
    raise AssertionError(f"the stream ended with {said!r}")


def text_of(events) -> str:
    return "".join(e["update"].get("delta", "") for e in events if e["type"] == "thread.item.updated")


def whole_events(events) -> list:
    """All but the text deltas, which may come joined."""
    return [event for event in events if "delta" not in event.get("update", {})]


class SlowStore:
    """Makes every write of a store suspend, as a database on a network does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def slow(*args, **kwargs):
            for _ in range(20):
                await asyncio.sleep(0)
            return await method(*args, **kwargs)

        return slow


@pytest.mark.row("C4", "P1")
async def test_a_lost_connection_changes_nothing(serve, eventually):
    """In the plain pattern the answer dies with the connection."""
    model, gate = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    events = await until_text(stream, "Hello ")
    await stream.aclose()
    gate.set()
    thread_id = events[0]["thread"]["id"]
    await eventually(lambda: served.backchannel.runs.active == 0, "the run ends by itself")
    assert (await served.items(thread_id))[-1]["content"][0]["text"] == "Hello world"


@pytest.mark.row("C4")
async def test_resume_has_no_gap_and_no_duplicate(serve):
    model, gate = held("one ", "two ", "three")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    seen = await until_text(stream, "one two ")
    await stream.aclose()
    resumed = await served.person.resume(stream.run_id, stream.last_event_id)
    gate.set()
    seen += await resumed.events()
    whole = await (await served.person.resume(stream.run_id)).events()
    assert text_of(seen) == text_of(whole) == "one two three"
    assert whole_events(seen) == whole_events(whole)


@pytest.mark.row("C4", "P5")
async def test_a_post_with_last_event_id_resumes_instead_of_repeating(serve):
    """fetch-event-source repeats its POST with the header when the connection breaks."""
    model, gate = held("one ", "two")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    events = await until_text(stream, "one ")
    await stream.aclose()
    gate.set()
    again = await served.person.stream(
        "threads.create", {"input": user_message("hi")}, headers={"Last-Event-ID": stream.last_event_id}
    )
    assert again.run_id == stream.run_id
    events += await again.events()
    assert len((await served.person.request("threads.list", {}))["data"]) == 1
    assert len(model.calls) == 1
    assert events[-1]["item"]["content"][0]["text"] == "one two"


@pytest.mark.row("A4", "C4", "P5")
async def test_the_same_idempotency_key_starts_one_run(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("once"), Say("twice"))))
    params = {"input": user_message("hi")}
    first = await served.person.stream("threads.create", params, headers={"Idempotency-Key": "k1"})
    second = await served.person.stream("threads.create", params, headers={"Idempotency-Key": "k1"})
    assert first.run_id == second.run_id
    assert await first.events() == await second.events()
    assert len((await served.person.request("threads.list", {}))["data"]) == 1
    other = {"input": user_message("something else")}
    with pytest.raises(ServerError) as error:
        await served.person.stream("threads.create", other, headers={"Idempotency-Key": "k1"})
    assert error.value.status == 409
    stranger = await served.someone()
    theirs = await stranger.stream("threads.create", params, headers={"Idempotency-Key": "k1"})
    assert theirs.run_id != first.run_id
    await theirs.events()


@pytest.mark.row("C5", "P1", "P2")
@pytest.mark.parametrize("slow", [False, True])
async def test_stop_ends_the_model_call_and_keeps_the_partial_answer(serve, eventually, slow):
    """Also with a store whose writes suspend."""
    model, _never = held("Hello ", "brave ", "world")
    served = await serve(Agent(name="A", model=model))
    if slow:
        served.backchannel.server.store = SlowStore(served.backchannel.server.store)
    stream = await served.person.say("hi")
    events = await until_text(stream, "Hello brave ")
    stopped = await served.person.stop(stream.run_id)
    assert stopped["status"] == "cancelled"
    await eventually(lambda: model.streaming == 0, "the model's stream is closed")
    rest = await stream.events()
    assert rest[-1]["type"] == "thread.item.done"
    assert rest[-1]["item"]["content"][0]["text"] == "Hello brave "
    thread_id = events[0]["thread"]["id"]
    items = await served.items(thread_id)
    assert [item["type"] for item in items] == ["user_message", "assistant_message"]
    assert items[-1]["content"][0]["text"] == "Hello brave "
    assert (await served.person.stop(stream.run_id))["status"] == "cancelled"

    model.add(Say("new answer"))
    await (await served.person.say("and now?", thread_id)).events()
    notes = [str(item) for item in model.calls[-1] if "cancelled the stream" in str(item)]
    assert len(notes) == 1, "the model is told that the person stopped it"


@pytest.mark.row("C5", "H1")
async def test_stop_while_a_tool_runs_leaves_a_thread_that_goes_on(serve):
    """A call without an output would be refused by the model's API for ever after."""
    began = asyncio.Event()

    @function_tool
    async def wait() -> str:
        """Wait for ever."""
        began.set()
        await asyncio.Event().wait()
        return "never"

    model = ScriptedModel(Call("wait"), Say("fine"))
    served = await serve(Agent(name="A", tools=[wait], model=model))
    stream = await served.person.say("hi")
    events = []
    async for event in stream:
        events.append(event)
        if event["type"] == "thread.item.added":
            break
    await asyncio.wait_for(began.wait(), 5)
    await served.person.stop(stream.run_id)
    events += await stream.events()
    workflow = next(
        e["item"] for e in events if e["type"] == "thread.item.done" and e["item"]["type"] == "workflow"
    )
    assert {task["status_indicator"] for task in workflow["workflow"]["tasks"]} == {"none"}
    await (await served.person.say("still there?", events[0]["thread"]["id"])).events()
    shown = model.calls[-1]
    calls = [item["call_id"] for item in shown if item.get("type") == "function_call"]
    outputs = {
        item["call_id"]: item["output"] for item in shown if item.get("type") == "function_call_output"
    }
    assert set(calls) == set(outputs)
    assert all("interrupted" in output for output in outputs.values())


@pytest.mark.row("C6")
async def test_a_second_message_waits_for_the_first_answer(serve):
    model, gate = held("first ", "answer")
    model.add(Say("second answer"))
    served = await serve(Agent(name="A", model=model))
    first = await served.person.say("one")
    events = await until_text(first, "first ")
    thread_id = events[0]["thread"]["id"]
    second = await served.person.say("two", thread_id)
    assert second.run_id != first.run_id
    assert len(model.calls) == 1
    gate.set()
    await first.events()
    await second.events()
    texts = [item["content"][0]["text"] for item in await served.items(thread_id)]
    assert texts == ["one", "first answer", "two", "second answer"]


@pytest.mark.row("A1", "P16")
async def test_a_rename_during_an_answer_survives(serve):
    """The SDK saves the whole thread as it was when the answer began."""
    model, gate = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    events = await until_text(stream, "Hello ")
    thread_id = events[0]["thread"]["id"]
    await served.person.request("threads.update", {"thread_id": thread_id, "title": "Mine"})
    gate.set()
    await stream.events()
    assert (await served.person.request("threads.get_by_id", {"thread_id": thread_id}))["title"] == "Mine"


@pytest.mark.row("A1", "H8", "P16")
async def test_a_rename_during_the_first_answer_is_not_undone_by_the_title_made_for_it(serve):
    gate = asyncio.Event()

    async def instructions(_context, _agent) -> str:
        # Before the model says anything, and so before the title that was made is saved.
        await gate.wait()
        return "Be kind."

    served = await serve(Agent(name="A", instructions=instructions, model=ScriptedModel(Say("Hello"))))
    stream = await served.person.say("hi there")
    async for event in stream:
        if event["type"] == "thread.created":
            thread_id = event["thread"]["id"]
            break
    await served.person.request("threads.update", {"thread_id": thread_id, "title": "Mine"})
    gate.set()
    events = await stream.events()
    assert {event["thread"]["title"] for event in events if event["type"] == "thread.updated"} == {"Mine"}
    assert (await served.person.request("threads.get_by_id", {"thread_id": thread_id}))["title"] == "Mine"


@pytest.mark.row("C5")
async def test_deleting_a_thread_stops_its_answer_and_what_waits_for_it(serve, eventually):
    model, _never = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    events = await until_text(stream, "Hello ")
    thread_id = events[0]["thread"]["id"]
    waiting = await served.person.say("more", thread_id)
    await served.person.request("threads.delete", {"thread_id": thread_id})
    await eventually(
        lambda: model.streaming == 0 and served.backchannel.runs.active == 0, "everything stopped"
    )
    assert "error" not in {event["type"] for event in await stream.events()}
    waited, refused = await waiting.events()
    assert (waited["type"], refused["reason"]) == ("progress_update", "conflict")
    assert (await served.person.request("threads.list", {}))["data"] == []


@pytest.mark.row("D5", "C4", "C5")
async def test_runs_of_others_do_not_exist(serve):
    model, gate = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    events = await until_text(stream, "Hello ")
    stranger = await served.someone()
    for attempt in (
        stranger.resume(stream.run_id),
        stranger.stop(stream.run_id),
        stranger.stream(
            "threads.create", {"input": user_message("x")}, headers={"Last-Event-ID": f"{stream.run_id}:1"}
        ),
    ):
        with pytest.raises(ServerError) as error:
            await attempt
        assert error.value.status == 404
    path = f"/api/chatkit/threads/{events[0]['thread']['id']}/runs"
    assert (await stranger.http.get(path)).status_code == 404
    active = (await served.person.http.get(path, params={"status": "active"})).json()
    assert [run["id"] for run in active["data"]] == [stream.run_id]
    gate.set()
    await stream.events()
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert (run["status"], run["operation"]) == ("completed", "threads.create")
    assert run["created_at"].endswith("Z")
    assert (await served.person.http.get(path, params={"status": "active"})).json()["data"] == []


@pytest.mark.row("C1", "P6")
async def test_heartbeats_are_single_line_comments(serve):
    """A comment with a blank line after it makes some clients dispatch an empty event."""
    model, gate = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model), heartbeat_seconds=0.05)
    stream = await served.person.say("hi")
    raw = b""
    async for chunk in stream._response.aiter_bytes():
        raw += chunk
        if raw.count(b": ping\n") >= 3:
            gate.set()
    assert raw.count(b": ping\n") >= 3
    assert b": ping\n\n" not in raw
    # A heartbeat may come between the last event and the end.
    assert raw.replace(b": ping\n", b"").endswith(b"\n\n: end\n")


@pytest.mark.row("K11")
async def test_every_stream_says_how_often_heartbeats_come(serve):
    """clients derive from it when to give up a silent connection, pages of other origins too."""
    served = await serve(
        Agent(name="A", model=ScriptedModel()),
        heartbeat_seconds=0.5,
        run_retention_seconds=60,
        cors_origins=["https://page.example"],
    )
    http, origin = served.person.http, {"Origin": "https://page.example"}
    chatkit = {"type": "threads.create", "params": {"input": user_message("hi")}}
    plain = {"input": {"type": "user_message", "content": [{"type": "text", "text": "hi"}]}}
    first = await http.post("/api/chatkit", json=chatkit, headers=origin)
    run = first.headers["X-Run-Id"]
    for response in (
        first,
        await http.post("/api/chatkit/stream", json=plain, headers=origin),
        await http.get(f"/api/chatkit/runs/{run}/events", headers=origin),
        await http.get(f"/api/chatkit/runs/{run}/events?format=plain", headers=origin),
    ):
        assert response.headers["X-Heartbeat-Seconds"] == "0.5"
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"X-Heartbeat-Seconds", "X-Run-Id", "Retry-After"} <= set(exposed)


@pytest.mark.row("G2")
async def test_drain_lets_answers_finish_and_refuses_new_ones(serve):
    model, gate = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    events = await until_text(stream, "Hello ")
    draining = asyncio.create_task(served.backchannel.runs.drain(5))
    await asyncio.sleep(0)
    with pytest.raises(ServerError) as error:
        await served.person.say("more", events[0]["thread"]["id"])
    assert error.value.status == 503
    gate.set()
    assert (await stream.events())[-1]["item"]["content"][0]["text"] == "Hello world"
    await draining


@pytest.mark.row("G2", "P8", "K2")
async def test_drain_hands_over_what_takes_too_long_and_tells_its_readers_to_reconnect(serve):
    model, _never = held("Hello ", "world")
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hi")
    await until_text(stream, "Hello ")
    again = await served.person.open_events(stream.run_id, stream.last_event_id)
    reading = asyncio.create_task(read_until_broken(again))
    await served.backchannel.runs.drain(0)
    assert (await asyncio.wait_for(reading, 5)).endswith(b"retry: 250\n: reconnect\n")
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert (run["status"], run["replica"]) == ("running", None)
    ready = await served.person.http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")

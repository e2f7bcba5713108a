"""A conversation from end to end over HTTP: order of events, what is kept, what the model is shown."""

import time
from typing import Any

import pytest
from agents import Agent, RunContextWrapper, function_tool
from chatkit.agents import AgentContext
from chatkit.types import ThreadStreamEvent
from chatkit.widgets import Card, Text
from pydantic import TypeAdapter

from backchannel.context import RequestContext
from backchannel.testing import Call, Say, ScriptedModel

EVENT: TypeAdapter[ThreadStreamEvent] = TypeAdapter(ThreadStreamEvent)


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def updates(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [e["update"] for e in events if e["type"] == "thread.item.updated" and e["update"]["type"] == kind]


@pytest.mark.row("A1", "C1", "P7")
async def test_create_sends_thread_message_options_then_the_answer(serve):
    """The order that ChatKit clients rely on."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say(["Hel", "lo"]))))
    _, events = await served.create()
    assert types(events)[:3] == ["thread.created", "thread.item.done", "stream_options"]
    assert events[1]["item"]["type"] == "user_message"
    done = [e["item"] for e in events if e["type"] == "thread.item.done"][-1]
    assert done["content"][0]["text"] == "Hello"
    assert types(events)[-1] == "thread.item.done"
    for event in events:
        EVENT.validate_python(event)


@pytest.mark.row("C1")
async def test_stream_has_the_headers_that_proxies_need(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hi"))))
    stream = await served.person.say("hello")
    headers = stream._response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in headers["cache-control"]
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-run-id"].startswith("run_")
    assert headers["x-request-id"].startswith("req_")
    assert "content-encoding" not in headers
    await stream.events()
    assert stream.last_event_id.startswith(f"{stream.run_id}:")


@pytest.mark.row("A1")
async def test_conversation_survives_a_restart(serve):
    model = ScriptedModel(Say("first"))
    served = await serve(Agent(name="A", model=model))
    thread_id, _ = await served.create("one")
    again = await serve(Agent(name="A", model=ScriptedModel(Say("second"))))
    again.person.http.cookies = served.person.http.cookies
    await (await again.person.say("two", thread_id)).events()
    texts = [item["content"][0]["text"] for item in await again.items(thread_id)]
    assert texts == ["one", "first", "two", "second"]


@pytest.mark.row("B5", "H7")
async def test_tools_and_hand_offs_are_shown_and_remembered(serve):
    @function_tool
    def count(what: str) -> str:
        """Count things."""
        return f"3 {what}"

    script = ScriptedModel(
        Call("transfer_to_counter"), Call("count", {"what": "apples"}), Say("Three."), Say("Bye.")
    )
    counter = Agent(name="Counter", tools=[count], model=script)
    served = await serve(Agent(name="Triage", handoffs=[counter], model=script))
    thread_id, events = await served.create()

    tasks = [
        e["item"]["workflow"]["tasks"][0]
        for e in events
        if e["type"] == "thread.item.added" and e["item"]["type"] == "workflow"
    ]
    tasks += [
        u["task"] for u in updates(events, "workflow.task.added") + updates(events, "workflow.task.updated")
    ]
    states = {(task["title"], task["status_indicator"]) for task in tasks}
    assert ("Finding the right assistant", "loading") in states
    assert ("Counter is answering", "complete") in states
    assert ("Count", "loading") in states
    assert ("Count", "complete") in states

    await (await served.person.say("again", thread_id)).events()
    shown = script.calls[-1]
    call = next(item for item in shown if item.get("type") == "function_call" and item["name"] == "count")
    output = next(
        item
        for item in shown
        if item.get("type") == "function_call_output" and item["call_id"] == call["call_id"]
    )
    assert output["output"] == "3 apples"
    kinds = [item["type"] for item in await served.items(thread_id)]
    assert kinds == ["user_message", "workflow", "assistant_message", "user_message", "assistant_message"]


@pytest.mark.row("B5", "P9")
async def test_a_tools_widget_comes_after_the_words_before_it(serve):
    """With no delay at all the SDK lets the widget overtake the message's end."""

    @function_tool
    async def show(ctx: RunContextWrapper[AgentContext[RequestContext]]) -> str:
        """Show a card."""
        await ctx.context.stream_widget(Card(children=[Text(value="card")]), copy_text="card")
        return "shown"

    model = ScriptedModel([Say("Look:"), Call("show")], Say("There."))
    served = await serve(Agent(name="A", tools=[show], model=model))
    thread_id, events = await served.create()
    done = [e["item"]["type"] for e in events if e["type"] == "thread.item.done"]
    assert done.index("assistant_message") < done.index("widget")
    kept = [item["type"] for item in await served.items(thread_id)]
    assert kept == ["user_message", "assistant_message", "workflow", "widget", "assistant_message"]


@pytest.mark.row("A5", "P11")
async def test_models_that_repeat_ids_do_not_overwrite_messages(serve):
    """Chat Completions models call every message __fake_id__."""
    model = ScriptedModel(Say("one", item_id="__fake_id__"), Say("two", item_id="__fake_id__"))
    served = await serve(Agent(name="A", model=model))
    thread_id, _ = await served.create()
    await (await served.person.say("more", thread_id)).events()
    answers = [i for i in await served.items(thread_id) if i["type"] == "assistant_message"]
    assert [a["content"][0]["text"] for a in answers] == ["one", "two"]
    assert answers[0]["id"] != answers[1]["id"]
    assert "__fake_id__" not in {answers[0]["id"], answers[1]["id"]}


@pytest.mark.row("A1", "P12")
async def test_dates_say_that_they_are_utc(serve, monkeypatch):
    """On a server that is not in UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        served = await serve(Agent(name="A", model=ScriptedModel(Say("hi"))))
        thread_id, events = await served.create()
        listed = await served.person.request("threads.list", {})
        thread = await served.person.request("threads.get_by_id", {"thread_id": thread_id})
        dates = [e["thread"]["created_at"] for e in events if "thread" in e]
        dates += [e["item"]["created_at"] for e in events if "item" in e]
        dates += [listed["data"][0]["created_at"], thread["created_at"]]
        dates += [item["created_at"] for item in thread["items"]["data"]]
        assert all(date.endswith("Z") for date in dates)
        assert {date[:10] for date in dates} == {listed["data"][0]["created_at"][:10]}
        assert listed["data"][0]["created_at"] == events[0]["thread"]["created_at"]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.row("H8")
async def test_a_thread_gets_a_title_that_a_person_can_change_for_good(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hi"), Say("ho"))))
    thread_id, events = await served.create("plan the summer party")
    assert [e["thread"]["title"] for e in events if e["type"] == "thread.updated"] == [
        "Plan the summer party"
    ]
    renamed = await served.person.request(
        "threads.update", {"thread_id": thread_id, "title": " Party  2027 "}
    )
    assert renamed["title"] == "Party 2027"
    await (await served.person.say("go on", thread_id)).events()
    assert (await served.person.request("threads.list", {}))["data"][0]["title"] == "Party 2027"


@pytest.mark.row("A1", "P19", "P28")
async def test_metadata_of_a_request_reaches_the_agent(serve):
    seen: list[RequestContext] = []

    @function_tool
    def look(ctx: RunContextWrapper[AgentContext[RequestContext]]) -> str:
        """Look at the request."""
        seen.append(ctx.context.request_context)
        return "ok"

    served = await serve(Agent(name="A", tools=[look], model=ScriptedModel(Call("look"), Say("ok"))))
    message = {"content": [{"type": "input_text", "text": "hi"}], "attachments": [], "inference_options": {}}
    stream = await served.person.stream(
        "threads.create",
        {"input": message},
        headers={"Accept-Language": "de-AT,de;q=0.9"},
        metadata={"page": "/x"},
    )
    await stream.events()
    assert seen[0].metadata == {"page": "/x"}
    assert seen[0].locale == "de-AT"
    assert seen[0].run_id == stream.run_id
    assert seen[0].request_id.startswith("req_")
    assert seen[0].base_url == served.url

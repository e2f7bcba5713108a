"""Stop and disconnect are told apart, and no button lies."""

import asyncio

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel, user_message

pytestmark = pytest.mark.row("C4", "C5")


def held() -> tuple[ScriptedModel, asyncio.Event]:
    gate = asyncio.Event()
    return ScriptedModel(Say(["Hello ", "world"], until=gate)), gate


async def options(stream) -> dict:
    async for event in stream:
        if event["type"] == "stream_options":
            return event["stream_options"]
    raise AssertionError("no stream_options")


@pytest.mark.row("P3")
@pytest.mark.parametrize(
    ("on_disconnect", "headers", "allowed"),
    [
        ("continue", {}, False),
        ("continue", {"Backchannel-Cancel": "explicit"}, True),
        ("continue", {"Backchannel-Cancel": "other"}, False),
        ("cancel", {}, True),
    ],
)
async def test_a_stop_button_is_allowed_where_it_works(serve, on_disconnect, headers, allowed):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hi"))), on_disconnect=on_disconnect)
    stream = await served.person.stream("threads.create", {"input": user_message("x")}, headers=headers)
    assert (await options(stream))["allow_cancel"] is allowed
    await stream.events()


async def test_with_cancel_a_client_that_goes_away_stops_its_answer(serve, eventually):
    model, _never = held()
    served = await serve(Agent(name="A", model=model), on_disconnect="cancel")
    stream = await served.person.say("hi")
    async for event in stream:
        if event.get("update", {}).get("delta") == "Hello ":
            break
    follower = await served.person.resume(stream.run_id)
    await stream.aclose()
    await eventually(lambda: model.streaming == 0, "the model call ends")
    events = await follower.events()
    assert events[-1]["item"]["content"][0]["text"] == "Hello "
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert run["status"] == "cancelled"


async def test_with_cancel_a_follower_that_goes_away_stops_nothing(serve):
    model, gate = held()
    served = await serve(Agent(name="A", model=model), on_disconnect="cancel")
    stream = await served.person.say("hi")
    async for event in stream:
        if event.get("update", {}).get("delta") == "Hello ":
            break
    follower = await served.person.resume(stream.run_id)
    await anext(aiter(follower))
    await follower.aclose()
    gate.set()
    assert (await stream.events())[-1]["item"]["content"][0]["text"] == "Hello world"

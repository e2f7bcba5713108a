"""Regenerating deletes what follows a message: never what its reader has not seen."""

import asyncio
from typing import Any

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel, ServerError

pytestmark = pytest.mark.row("C6")


async def held(serve: Any, **settings: Any) -> tuple[Any, asyncio.Event, str]:
    """A server, a thread with one answered message, and what lets the answer to the next one go on."""
    gate = asyncio.Event()
    model = ScriptedModel(Say("first answer"), Say(["second ", "answer"], until=gate))
    served = await serve(Agent(name="A", model=model), **settings)
    thread_id, _ = await served.create("one")
    model.add(Say("third answer"))
    return served, gate, thread_id


async def retry(served: Any, thread_id: str, item_id: str) -> Any:
    params = {"thread_id": thread_id, "item_id": item_id}
    return await served.person.stream("threads.retry_after_item", params)


async def begin(served: Any, thread_id: str) -> Any:
    """Ask the second question and wait until its answer has begun."""
    stream = await served.person.say("two", thread_id)
    events = aiter(stream)
    while "delta" not in (await anext(events)).get("update", {}):
        pass
    return events


async def rest(events: Any) -> list[dict[str, Any]]:
    return [event async for event in events]


async def texts(served: Any, thread_id: str) -> list[str]:
    return [item["content"][0]["text"] for item in await served.items(thread_id)]


@pytest.mark.parametrize("policy", ["enqueue", "interrupt"])
async def test_a_message_in_progress_is_not_deleted_by_a_retry_of_an_earlier_one(
    serve: Any, policy: str
) -> None:
    """cogwheel0/conduit#443, Osmantic/ODS#5004: a stale tab's "Regenerate" deleted what another one had added."""
    served, gate, thread_id = await held(serve, while_running=policy)
    second = await begin(served, thread_id)
    first_message = (await served.items(thread_id))[0]["id"]

    with pytest.raises(ServerError, match="newer message") as refused:
        await retry(served, thread_id, first_message)

    assert (refused.value.status, refused.value.code) == (409, "conflict")
    gate.set()
    await rest(second)
    assert await texts(served, thread_id) == ["one", "first answer", "two", "second answer"]


async def test_a_message_that_came_before_the_turn_of_a_retry_is_not_deleted(serve: Any) -> None:
    """The same, if the newer message was accepted after the retry, or waited before it."""
    served, gate, thread_id = await held(serve)
    second = await begin(served, thread_id)
    second_message = (await served.items(thread_id))[2]["id"]
    third = await served.person.say("three", thread_id)
    waiting = await retry(served, thread_id, second_message)

    gate.set()
    await asyncio.gather(rest(second), third.events())

    *_, refused = await waiting.events()
    assert (refused["type"], refused["reason"], refused["allow_retry"]) == ("error", "conflict", False)
    assert "newer message" in refused["message"]
    expected = ["one", "first answer", "two", "second answer", "three", "third answer"]
    assert await texts(served, thread_id) == expected


async def test_the_answer_in_progress_can_be_regenerated(serve: Any) -> None:
    """What the retried message's own answer says in the meantime is what a retry is there to replace."""
    served, gate, thread_id = await held(serve)
    second = await begin(served, thread_id)
    waiting = await retry(served, thread_id, (await served.items(thread_id))[2]["id"])
    gate.set()
    await asyncio.gather(rest(second), waiting.events())
    assert await texts(served, thread_id) == ["one", "first answer", "two", "third answer"]

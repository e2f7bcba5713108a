"""The model and the tool that a person chooses in the composer (`inference_options` of openai-chatkit 1.6.5)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, override

import pytest
from agents import Agent
from chatkit.server import ChatKitServer
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ThreadItemDoneEvent,
    ThreadStreamEvent,
)

from backchannel.testing import Say as Scripted
from backchannel.testing import ScriptedModel, user_message
from backchannel.testing.endpoints import Call, Say, StrictEndpoint
from field.odd_models import error, lookup, served_on, texts

pytestmark = pytest.mark.row("M27")

API = pytest.mark.parametrize(
    ("profile", "api"), [("openai-chat", "chat_completions"), ("openai-responses", "responses")]
)


def choosing(text: str, **options: Any) -> dict[str, Any]:
    return {**user_message(text), "inference_options": options}


async def ask(
    served: Any, thread_id: str | None, text: str, **options: Any
) -> tuple[str, list[dict[str, Any]]]:
    params: dict[str, Any] = {"input": choosing(text, **options)}
    op = "threads.create" if thread_id is None else "threads.add_user_message"
    if thread_id is not None:
        params["thread_id"] = thread_id
    events = await (await served.person.stream(op, params)).events()
    return thread_id or events[0]["thread"]["id"], events


def models(endpoint: StrictEndpoint) -> list[str]:
    return [request.body["model"] for request in endpoint.requests]


@API
async def test_a_chosen_model_and_tool_are_used(
    serve: Any, stack: AsyncExitStack, profile: Any, api: str
) -> None:
    call = Call("lookup", {"q": "x"})
    endpoint = StrictEndpoint(profile, call, Say("one"), Say("two"))
    agent = Agent[Any](name="A", tools=[lookup])
    served = await served_on(serve, stack, endpoint, agent, model_api=api, models="big, small")
    thread_id, events = await ask(served, None, "a", model="big", tool_choice={"id": "lookup"})
    assert error(events) is None
    await ask(served, thread_id, "b")
    assert models(endpoint) == ["big", "big", "m"]
    first, second, third = (request.body.get("tool_choice") for request in endpoint.requests)
    assert "lookup" in str(first)
    assert second in (None, "auto")
    assert third in (None, "auto")
    assert endpoint.refused == []


async def test_only_the_default_model_is_replaced(serve: Any, stack: AsyncExitStack) -> None:
    endpoint = StrictEndpoint(
        "openai-chat", Call("transfer_to_b"), Call("inner", {"input": "?"}), Say("in"), Call("transfer_to_c"), Say("c")
    )  # fmt: skip
    last = Agent[Any](name="C", model="own-of-c")
    inner = Agent[Any](name="Inner", model="own-of-inner")
    middle = Agent[Any](name="B", tools=[inner.as_tool("inner", "Ask.")], handoffs=[last])
    first = Agent[Any](name="A", model="own-of-a", handoffs=[middle])
    served = await served_on(serve, stack, endpoint, first, models="big")
    _, events = await ask(served, None, "a", model="big")
    assert error(events) is None
    assert models(endpoint) == ["big", "big", "own-of-inner", "big", "own-of-c"]


async def test_an_agent_with_a_model_object_gets_the_chosen_one(serve: Any, stack: AsyncExitStack) -> None:
    endpoint = StrictEndpoint("openai-chat", Say("from the endpoint"))
    agent = Agent[Any](name="A", model=ScriptedModel(Scripted("from the agent's own model")))
    served = await served_on(serve, stack, endpoint, agent, models="big")
    thread_id, _ = await ask(served, None, "a", model="big")
    await ask(served, thread_id, "b")
    assert texts(await served.items(thread_id))[1::2] == ["from the endpoint", "from the agent's own model"]


@pytest.mark.parametrize(
    ("options", "setting", "word"),
    [
        ({"model": "big"}, "", "leave inference_options.model out"),
        ({"model": "huge"}, "big", "choose one of: big"),
        ({"model": "big", "tool_choice": {"id": "rm"}}, "big", "choose one of: lookup"),
    ],
)
async def test_any_other_choice_is_refused_and_nothing_is_stored(
    serve: Any, options: dict[str, Any], setting: str, word: str
) -> None:
    release = asyncio.Event()
    model = ScriptedModel(Scripted("one"), Scripted(["t", "wo"], until=release))
    served = await serve(Agent[Any](name="A", model=model, tools=[lookup]), models=setting)
    thread_id, _ = await ask(served, None, "a")

    async def refusal(thread_id: str | None) -> None:
        params = {"input": choosing("b", **options)} | ({"thread_id": thread_id} if thread_id else {})
        op = "threads.add_user_message" if thread_id else "threads.create"
        response = await served.person.http.post("/api/chatkit", json={"type": op, "params": params})
        assert response.status_code == 422
        assert response.json()["code"] == "invalid_input"
        assert word in response.json()["message"]

    await refusal(None)
    await refusal(thread_id)
    running = await served.person.say("c", thread_id)
    # It would wait for its turn.
    await refusal(thread_id)
    release.set()
    await running.events()
    assert texts(await served.items(thread_id)) == ["a", "one", "c", "two"]
    assert len((await served.person.request("threads.list", {}))["data"]) == 1
    assert len(model.calls) == 2


async def test_a_retry_has_the_choices_of_its_message(serve: Any, stack: AsyncExitStack) -> None:
    endpoint = StrictEndpoint(
        "openai-chat", Call("lookup", {"q": "x"}), Say("one"), Call("lookup", {"q": "x"}), Say("two")
    )
    served = await served_on(serve, stack, endpoint, Agent[Any](name="A", tools=[lookup]), models="big")
    thread_id, events = await ask(served, None, "a", model="big", tool_choice={"id": "lookup"})
    params = {"thread_id": thread_id, "item_id": events[1]["item"]["id"]}
    await (await served.person.stream("threads.retry_after_item", params)).events()
    assert models(endpoint) == ["big"] * 4
    assert ["lookup" in str(request.body.get("tool_choice")) for request in endpoint.requests] == [
        True,
        False,
    ] * 2


async def test_a_message_that_waited_has_its_choices(serve: Any, stack: AsyncExitStack) -> None:
    release = asyncio.Event()
    endpoint = StrictEndpoint("openai-chat", then=Say("big answer"))
    model = ScriptedModel(Scripted(["o", "ne"], until=release))
    agent = Agent[Any](name="A", model=model)
    served = await served_on(serve, stack, endpoint, agent, models="big")
    first = await served.person.say("a")
    events = aiter(first)
    thread_id = (await anext(events))["thread"]["id"]
    params = {"thread_id": thread_id, "input": choosing("b", model="big")}
    waiting = await served.person.stream("threads.add_user_message", params)
    release.set()
    assert error(await waiting.events()) is None
    assert texts(await served.items(thread_id)) == ["a", "one", "b", "big answer"]
    assert models(endpoint) == ["big"]


async def test_a_server_of_ones_own_gets_the_options_untouched(serve: Any) -> None:
    seen: list[Any] = []

    class Own(ChatKitServer[Any]):
        @override
        async def respond(
            self, thread: Any, input_user_message: Any, context: Any
        ) -> AsyncIterator[ThreadStreamEvent]:
            seen.append(input_user_message.inference_options)
            yield ThreadItemDoneEvent(
                item=AssistantMessageItem(
                    id=self.store.generate_item_id("message", thread, context),
                    thread_id=thread.id,
                    created_at=thread.created_at,
                    content=[AssistantMessageContent(text="ok")],
                )
            )

    served = await serve(Own, models="big")
    _, events = await ask(served, None, "a", model="any", tool_choice={"id": "mode"})
    assert error(events) is None
    assert (seen[0].model, seen[0].tool_choice.id) == ("any", "mode")

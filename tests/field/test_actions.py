"""Widget actions and routers beside a server, as people meet them in other systems."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent, function_tool
from agents.tool_context import ToolContext
from chatkit.types import (
    SyncCustomActionResponse,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    WidgetRootUpdated,
)
from chatkit.widgets import Card, Text
from fastapi import APIRouter

from backchannel import Application, Settings, build, create_app
from backchannel.errors import ConfigurationError
from backchannel.http import CurrentContext
from backchannel.testing import Call, Say, ScriptedModel, ServerError

pytestmark = pytest.mark.row("H14")


def card(text: str) -> Card:
    return Card(children=[Text(value=text)])


@function_tool
async def show(ctx: ToolContext[Any]) -> str:
    """Show a widget."""
    await ctx.context.stream_widget(card("before"))
    return "shown"


async def replace(thread: Any, action: Any, sender: Any, context: Any) -> AsyncIterator[Any]:
    yield ThreadItemReplacedEvent(item=sender.model_copy(update={"widget": card("replaced")}))


async def update(thread: Any, action: Any, sender: Any, context: Any) -> AsyncIterator[Any]:
    yield ThreadItemUpdatedEvent(item_id=sender.id, update=WidgetRootUpdated(widget=card("updated")))


async def at_once(thread: Any, action: Any, sender: Any, context: Any) -> SyncCustomActionResponse:
    return SyncCustomActionResponse(updated_item=sender.model_copy(update={"widget": card("at once")}))


def application(**fields: Any) -> Application:
    model = ScriptedModel(Call("show"), Say("Here."))
    agent = Agent(name="A", model=model, tools=[show])
    return Application(
        agent=agent,
        actions={"replace": replace, "update": update},
        sync_actions={"at_once": at_once},
        **fields,
    )


async def widget_of(served: Any) -> tuple[str, dict[str, Any]]:
    thread_id, _ = await served.create()
    (widget,) = [item for item in await served.items(thread_id) if item["type"] == "widget"]
    return thread_id, widget


def text_of(widget: dict[str, Any]) -> str:
    return widget["widget"]["children"][0]["value"]


@pytest.mark.parametrize(("action", "expected"), [("replace", "replaced"), ("update", "updated")])
async def test_an_action_changes_a_widget_of_an_earlier_turn_for_good(
    serve: Any, action: str, expected: str
) -> None:
    """openai/chatkit-python#105: the widget that was clicked has to change, and to stay changed after a reload."""
    served = await serve(application())
    thread_id, widget = await widget_of(served)
    params = {"thread_id": thread_id, "item_id": widget["id"], "action": {"type": action, "payload": {}}}
    await (await served.person.stream("threads.custom_action", params)).events()
    (after,) = [item for item in await served.items(thread_id) if item["type"] == "widget"]
    assert (after["id"], text_of(after)) == (widget["id"], expected)


async def test_a_sync_action_answers_with_the_changed_widget(serve: Any) -> None:
    """openai/chatkit-python PR#117: an action that must not wait for the answer in progress."""
    served = await serve(application())
    thread_id, widget = await widget_of(served)
    params = {"thread_id": thread_id, "item_id": widget["id"], "action": {"type": "at_once", "payload": {}}}
    response = await served.person.request("threads.sync_custom_action", params)
    assert text_of(response["updated_item"]) == "at once"
    (after,) = [item for item in await served.items(thread_id) if item["type"] == "widget"]
    assert text_of(after) == "at once"


@pytest.mark.parametrize("op", ["threads.custom_action", "threads.sync_custom_action"])
async def test_an_action_that_has_no_handler_is_named(serve: Any, op: str) -> None:
    """openai/chatkit-js#108: a mistyped action did nothing, silently."""
    served = await serve(application())
    thread_id, widget = await widget_of(served)
    params = {"thread_id": thread_id, "item_id": widget["id"], "action": {"type": "nope", "payload": {}}}
    send = served.person.stream if op == "threads.custom_action" else served.person.request
    with pytest.raises(ServerError, match="nope") as refused:
        await send(op, params)
    assert refused.value.status == 404


async def returns(thread: Any, action: Any, sender: Any, context: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"actions": {"x": returns}}, "yields"),
        ({"sync_actions": {"x": replace}}, "returns"),
        ({"actions": {"x": lambda *_: None}}, "yields"),
    ],
)
def test_a_handler_of_the_wrong_shape_is_refused_at_the_start(fields: dict[str, Any], says: str) -> None:
    """openai/chatkit-python#48: an `async def` without `yield` failed only when somebody clicked."""
    with pytest.raises(ConfigurationError, match=says):
        Application(agent=Agent(name="A"), **fields)


async def test_a_router_beside_the_chat_is_reachable_and_authenticates(serve: Any) -> None:
    """Chainlit/chainlit#1099, aegra/aegra PR#458: own endpoints were shadowed, or open by accident."""
    router = APIRouter()

    @router.get("/whoami")
    async def whoami(context: CurrentContext) -> dict[str, str]:
        return {"user": context.user_id}

    served = await serve(application(routers=[router]), auth="jwt", jwt_secret="0123456789abcdef" * 2)
    refused = await served.person.http.get("/api/whoami")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


def test_a_router_that_would_be_shadowed_is_refused_at_the_start() -> None:
    """Chainlit/chainlit#1819: a route of the application stood behind one of the framework's and never answered."""
    router = APIRouter()

    @router.post("/chatkit")
    async def mine() -> None: ...

    backchannel = build(Settings.load(database_url="sqlite://"), application(routers=[router]))
    with pytest.raises(ConfigurationError, match="POST /api/chatkit"):
        create_app(backchannel)


def test_a_router_with_other_names_of_parameters_is_shadowed_all_the_same() -> None:
    """fastapi/fastapi PR#14318: the same path with a parameter of another name never answered."""
    router = APIRouter()

    @router.get("/chatkit/threads/{id}")
    async def mine(id: str) -> None: ...

    backchannel = build(Settings.load(database_url="sqlite://"), application(routers=[router]))
    with pytest.raises(ConfigurationError, match="GET /api/chatkit/threads/"):
        create_app(backchannel)


async def test_a_router_of_an_async_factory_that_would_be_shadowed_ends_the_start() -> None:
    """Chainlit/chainlit#1166"""
    router = APIRouter()

    @router.post("/chatkit")
    async def mine() -> None: ...

    async def make() -> Application:
        return application(routers=[router])

    backchannel = build(Settings.load(database_url="sqlite://"), make)
    create_app(backchannel)
    with pytest.raises(ConfigurationError, match="POST /api/chatkit"):
        async with backchannel.running():
            pytest.fail("it started")


async def test_a_sync_action_does_not_wait_for_the_answer_in_progress(serve: Any, eventually: Any) -> None:
    """openai/chatkit-python PR#112: a click was blocked while the thread streamed."""
    gate = asyncio.Event()
    model = ScriptedModel(Call("show"), Say("Here."), Say(["half ", "whole"], until=gate))
    agent = Agent(name="A", model=model, tools=[show])
    served = await serve(Application(agent=agent, sync_actions={"at_once": at_once}))
    thread_id, widget = await widget_of(served)
    stream = await served.person.say("more", thread_id)
    await eventually(lambda: model.streaming == 1, "the answer has begun")
    params = {"thread_id": thread_id, "item_id": widget["id"], "action": {"type": "at_once", "payload": {}}}
    await served.person.request("threads.sync_custom_action", params)
    gate.set()
    assert (await stream.events())[-1]["item"]["content"][0]["text"] == "half whole"
    (after,) = [item for item in await served.items(thread_id) if item["type"] == "widget"]
    assert text_of(after) == "at once"

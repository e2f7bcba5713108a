"""A thread that the server has locked or closed: nothing goes on in it, whatever a client sends."""

from typing import Any

import pytest
from agents import Agent
from chatkit.types import ClosedStatus, LockedStatus

from backchannel import Application
from backchannel.context import Identity
from backchannel.testing import Call, Say, ScriptedModel, ServerError, user_message
from field.test_actions import at_once, replace, show
from visitors import visitor_id

pytestmark = pytest.mark.row("A4")

ACTION = {"thread_id": "THREAD", "item_id": "WIDGET", "action": {"type": "replace", "payload": {}}}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("threads.add_user_message", {"thread_id": "THREAD", "input": user_message("more")}),
    ("threads.retry_after_item", {"thread_id": "THREAD", "item_id": "MESSAGE"}),
    ("threads.add_client_tool_output", {"thread_id": "THREAD", "result": {"ok": True}}),
    (
        "threads.add_structured_input",
        {"thread_id": "THREAD", "item_id": "WIDGET", "input": {"status": "answered", "answers": {}}},
    ),
    ("threads.custom_action", ACTION),
    ("threads.sync_custom_action", {**ACTION, "action": {"type": "at_once", "payload": {}}}),
]


@pytest.fixture
async def served(serve):
    model = ScriptedModel(Call("show"), Say("Here."))
    agent = Agent(name="A", model=model, tools=[show])
    return await serve(
        Application(agent=agent, actions={"replace": replace}, sync_actions={"at_once": at_once})
    )


@pytest.mark.parametrize("status", [LockedStatus(reason="under review"), ClosedStatus(reason="solved")])
async def test_nothing_goes_on_in_it(served, status):
    thread_id, _ = await served.create()
    before = await served.items(thread_id)
    ids = {"THREAD": thread_id} | {
        {"user_message": "MESSAGE", "widget": "WIDGET"}.get(item["type"], ""): item["id"] for item in before
    }
    owner = Identity(visitor_id(served.person.http))
    await served.backchannel.server.store.update_thread(thread_id, {"status": status}, owner)
    for operation, fields in REQUESTS:
        params = {
            key: ids.get(value, value) if isinstance(value, str) else value for key, value in fields.items()
        }
        send = served.person.request if "sync" in operation else served.person.stream
        with pytest.raises(ServerError) as refused:
            await send(operation, params)
        assert refused.value.status == 409, operation
        assert status.reason in refused.value.message, operation
    assert await served.items(thread_id) == before
    assert (await served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs?status=active")).json()[
        "data"
    ] == []
    # What does not go on with it stays possible: reading, naming, deleting.
    assert (await served.person.request("threads.get_by_id", {"thread_id": thread_id}))["status"][
        "type"
    ] == status.type
    await served.person.request("threads.update", {"thread_id": thread_id, "title": "Kept"})
    await served.person.request("threads.delete", {"thread_id": thread_id})


@pytest.mark.parametrize("field", ["status", "locked"])
async def test_its_owner_cannot_open_it_again(served, field):
    thread_id, _ = await served.create()
    owner = Identity(visitor_id(served.person.http))
    await served.backchannel.server.store.update_thread(thread_id, {"status": LockedStatus()}, owner)
    patch = {"metadata": {"status": {"type": "active"}}, field: {"type": "active"}}
    await served.person.http.patch(f"/api/chatkit/threads/{thread_id}", json=patch)
    shown = await served.person.request("threads.get_by_id", {"thread_id": thread_id})
    assert shown["status"]["type"] == "locked"

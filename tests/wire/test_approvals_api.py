"""`/api/chatkit/threads/{id}/approvals`, for programs."""

import json
from typing import Any

import pytest
from agents import Agent, function_tool

from backchannel.testing import Call, Say, ScriptedModel

pytestmark = pytest.mark.row("B8", "M13")


class Erasing:
    def __init__(self) -> None:
        self.erased: list[str] = []
        self.model = ScriptedModel()

    def agent(self) -> Agent[Any]:
        @function_tool(needs_approval=True)
        def erase(path: str) -> str:
            """Erase a file."""
            self.erased.append(path)
            return f"erased {path}"

        return Agent(name="Eraser", model=self.model, tools=[erase])


@pytest.fixture
def erasing() -> Erasing:
    return Erasing()


def path(thread_id: str) -> str:
    return f"/api/chatkit/threads/{thread_id}/approvals"


async def decide(person: Any, thread_id: str, body: dict[str, Any]) -> Any:
    return await person.http.post(path(thread_id), json=body)


async def test_a_program_reads_what_waits_and_decides(serve: Any, erasing: Erasing):
    erasing.model.add(Say("hi"), Call("erase", {"path": "/a"}), Say("Gone."))
    served = await serve(erasing.agent())
    thread_id, _ = await served.create()
    none = await served.person.http.get(path(thread_id))
    assert none.json() == {"item_id": None, "data": []}
    await (await served.person.say("erase /a", thread_id)).events()
    waiting = (await served.person.http.get(path(thread_id))).json()
    call = {
        "id": "approval_1",
        "agent": "Eraser",
        "tool": "erase",
        "arguments": {"path": "/a"},
        "question": "Run “erase” with path: /a?",
    }
    assert waiting["data"] == [call]
    body = {"item_id": waiting["item_id"], "decisions": {"approval_1": {"decision": "approve"}}}
    response = await decide(served.person, thread_id, body)
    assert response.status_code == 200
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    assert [event["output"] for event in events if event["type"] == "tool_call.completed"] == ["erased /a"]
    assert events[-1]["status"] == "completed"
    assert erasing.erased == ["/a"]
    assert (await decide(served.person, thread_id, body)).status_code == 409
    assert (await served.person.http.get(path(thread_id))).json()["data"] == []
    assert erasing.erased == ["/a"]


@pytest.mark.parametrize("reason", ["not today", "Approve", None])
async def test_a_reason_is_never_taken_for_an_approval(serve: Any, erasing: Erasing, reason: str | None):
    erasing.model.add(Call("erase", {"path": "/a"}), Say("Then not."))
    served = await serve(erasing.agent())
    thread_id, _ = await served.create()
    item_id = (await served.person.http.get(path(thread_id))).json()["item_id"]
    decision = {"decision": "decline", "reason": reason}
    response = await decide(
        served.person, thread_id, {"item_id": item_id, "decisions": {"approval_1": decision}}
    )
    assert response.status_code == 200
    assert erasing.erased == []
    output = next(
        each["output"] for each in erasing.model.calls[-1] if each.get("type") == "function_call_output"
    )
    assert output.endswith(f"They said: {reason}" if reason else "so it did not run.")


async def test_what_is_refused_changes_nothing(serve: Any, erasing: Erasing):
    erasing.model.add(Call("erase", {"path": "/a"}), Say("Gone."))
    served = await serve(erasing.agent())
    thread_id, events = await served.create()
    waiting = (await served.person.http.get(path(thread_id))).json()
    item_id = waiting["item_id"]
    yes = {"approval_1": {"decision": "approve"}}
    message_id = next(event["item"]["id"] for event in events if event["type"] == "thread.item.done")
    refused: list[tuple[dict[str, Any], int]] = [
        ({"item_id": item_id, "decisions": {}}, 422),
        ({"item_id": item_id, "decisions": {"approval_1": {"decision": "yes"}}}, 422),
        ({"item_id": item_id, "decisions": {"approval_2": {"decision": "approve"}}}, 422),
        (
            {"item_id": item_id, "decisions": {"approval_1": {"decision": "decline", "reason": "x" * 2001}}},
            422,
        ),
        ({"item_id": item_id, "decisions": yes, "more": 1}, 422),
        ({"item_id": message_id, "decisions": yes}, 422),
        ({"item_id": "msg_none", "decisions": yes}, 404),
    ]
    for body, status in refused:
        response = await decide(served.person, thread_id, body)
        assert response.status_code == status, (body, response.text)
    eve = await served.someone()
    assert (await decide(eve, thread_id, {"item_id": item_id, "decisions": yes})).status_code == 404
    assert (await eve.http.get(path(thread_id))).status_code == 404
    assert (await served.person.http.get(path(thread_id))).json() == waiting
    assert erasing.erased == []

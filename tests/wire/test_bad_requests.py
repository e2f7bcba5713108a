"""Requests that must be refused: each gets its clear error, and nothing has changed."""

import asyncio
import json
from typing import Any

import pytest
from agents import Agent
from chatkit.errors import CustomStreamError, ErrorCode, StreamError
from chatkit.types import LockedStatus

from backchannel.context import Identity
from backchannel.testing import Call, Fail, Say, ScriptedModel, ServerError, user_message
from visitors import visitor_id

pytestmark = pytest.mark.row("A3", "A4")

MESSAGE = user_message("hi")
NO_THREAD = "thr_doesnotexist"


@pytest.fixture
async def served(serve):
    return await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))


async def refusal(served, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    response = await served.person.http.post("/api/chatkit", content=content, headers=headers)
    answer = response.json()
    assert set(answer) <= {"code", "message", "request_id", "details"}, answer
    assert answer["message"]
    assert answer["request_id"] == response.headers["x-request-id"]
    return response.status_code, answer


REFUSED = [
    (b"", 400, "invalid_request", "JSON"),
    (b"{", 400, "invalid_request", "JSON"),
    (b"\xff\xfe", 400, "invalid_request", "JSON"),
    (b"[" * 5000, 400, "invalid_request", "JSON"),
    ([], 400, "invalid_request", "object"),
    ({}, 400, "invalid_request", "threads.create"),
    ({"type": "threads.explode", "params": {}}, 400, "invalid_request", "threads.create"),
    ({"type": None}, 400, "invalid_request", "type"),
    ({"type": "threads.create"}, 422, "invalid_input", "params"),
    ({"type": "threads.create", "params": {"input": {}}}, 422, "invalid_input", "input"),
    ({"type": "threads.get_by_id", "params": {"thread_id": 7}}, 422, "invalid_input", "thread_id"),
    ({"type": "threads.list", "params": {"order": "sideways"}}, 422, "invalid_input", "order"),
    ({"type": "threads.list", "params": {"limit": -1}}, 422, "invalid_input", "limit"),
    ({"type": "threads.list", "params": {"limit": 0}}, 422, "invalid_input", "limit"),
    ({"type": "threads.list", "params": {"after": "thr_x"}}, 404, "not_found", "thr_x"),
    ({"type": "threads.create", "params": {"input": user_message("")}}, 422, "invalid_input", "empty"),
    ({"type": "threads.create", "params": {"input": user_message(" \n\t ")}}, 422, "invalid_input", "empty"),
    ({"type": "threads.create", "params": {"input": user_message("\u200b\u2060")}}, 422, "invalid_input", "empty"),
    ({"type": "threads.create", "params": {"input": {**MESSAGE, "content": []}}}, 422, "invalid_input", "empty"),
    ({"type": "threads.create", "params": {"input": user_message("x" * 32_001)}}, 422, "invalid_input", "32000"),
    ({"type": "threads.create", "params": {"input": {**MESSAGE, "attachments": ["atc_no"]}}}, 404, "not_found", "attachment"),
    ({"type": "attachments.create", "params": {"name": "a.png", "size": 0, "mime_type": "image/png"}}, 422, "invalid_input", "empty"),
    ({"type": "attachments.delete", "params": {"attachment_id": "atc_x"}}, 404, "not_found", "attachment"),
    ({"type": "input.transcribe", "params": {"audio_base64": "AAAA", "mime_type": "audio/webm"}}, 422, "not_enabled", "speech"),
]  # fmt: skip
"""Bodies, and the status, the code and a word of the message with which each is refused."""


@pytest.mark.row("P4", "P5", "P17", "P21")
async def test_what_is_refused_leaves_nothing(served):
    different = []
    for body, status, code, says in REFUSED:
        got, answer = await refusal(served, body)
        if (got, answer["code"]) != (status, code) or says not in answer["message"]:
            different.append((body, got, answer))
    assert different == []
    assert (await served.person.request("threads.list", {}))["data"] == []


OPS_ON_A_THREAD = [
    ("threads.get_by_id", {}),
    ("threads.update", {"title": "t"}),
    ("threads.delete", {}),
    ("items.list", {}),
    ("items.feedback", {"item_ids": ["msg_x"], "kind": "positive"}),
    ("threads.add_user_message", {"input": MESSAGE}),
    ("threads.add_client_tool_output", {"result": {}}),
    ("threads.add_structured_input", {"item_id": "x", "input": {"answers": {}}}),
    ("threads.retry_after_item", {"item_id": "x"}),
]


@pytest.mark.row("D5", "P4", "P5")
async def test_unknown_and_foreign_threads_are_404(served):
    """What belongs to somebody else does not exist."""
    theirs, _ = await served.create()
    before = await served.items(theirs)
    stranger = await served.someone()
    for op, params in OPS_ON_A_THREAD:
        for thread_id in (NO_THREAD, theirs):
            with pytest.raises(ServerError) as error:
                await stranger.request(op, {"thread_id": thread_id, **params})
            assert (error.value.status, error.value.code) == (404, "not_found"), op
    assert await served.items(theirs) == before


@pytest.mark.row("D5")
async def test_lists_show_only_ones_own(served):
    await served.create()
    stranger = await served.someone()
    assert (await stranger.request("threads.list", {}))["data"] == []
    assert len((await served.person.request("threads.list", {}))["data"]) == 1


@pytest.mark.row("P21")
async def test_actions_are_refused_where_the_server_has_none(served):
    thread_id, _ = await served.create()
    for op in ("threads.custom_action", "threads.sync_custom_action"):
        with pytest.raises(ServerError) as error:
            await served.person.request(op, {"thread_id": thread_id, "action": {"type": "x", "payload": {}}})
        assert (error.value.status, error.value.code) == (422, "not_enabled")


@pytest.mark.row("P4")
async def test_retry_needs_a_user_message_of_the_thread(served):
    thread_id, events = await served.create()
    answer_id = events[-1]["item"]["id"]
    for item_id, status in (("msg_unknown", 404), (answer_id, 422)):
        with pytest.raises(ServerError) as error:
            await served.person.request(
                "threads.retry_after_item", {"thread_id": thread_id, "item_id": item_id}
            )
        assert error.value.status == status
    assert len(await served.items(thread_id)) == 2


async def test_feedback_needs_items_of_the_thread(served):
    thread_id, events = await served.create()
    good = events[-1]["item"]["id"]
    own = events[1]["item"]["id"]
    for item_ids, status in (
        ([], 422),
        (["msg_x"], 404),
        ([good, "msg_x"], 404),
        ([own], 422),
        ([good] * 101, 200),
    ):
        response = await served.person.http.post(
            "/api/chatkit",
            json={
                "type": "items.feedback",
                "params": {"thread_id": thread_id, "item_ids": item_ids, "kind": "negative"},
            },
        )
        assert response.status_code == status


async def test_titles_have_1_to_200_characters(served):
    thread_id, _ = await served.create()
    for title in ("", "   ", "\x00", "\u200b", "x" * 201):
        with pytest.raises(ServerError) as error:
            await served.person.request("threads.update", {"thread_id": thread_id, "title": title})
        assert error.value.status == 422


@pytest.mark.row("P19")
async def test_locked_and_closed_threads_take_no_messages(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))
    thread_id, _ = await served.create()
    store = served.backchannel.server.store
    await store.update_thread(thread_id, {"status": LockedStatus(reason="under review")}, owner_of(served))
    with pytest.raises(ServerError) as error:
        await served.person.say("more", thread_id)
    assert error.value.status == 409
    assert "under review" in error.value.message
    shown = await served.person.request("threads.get_by_id", {"thread_id": thread_id})
    assert shown["status"] == {"type": "locked", "reason": "under review"}


def owner_of(served):
    return Identity(visitor_id(served.person.http))


async def test_body_limits_and_content_type(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), max_body_bytes=2048)
    status, answer = await refusal(served, b"x" * 2049)
    assert (status, answer["code"]) == (413, "too_large")

    async def chunks():
        for _ in range(5):
            yield b"x" * 1000

    response = await served.person.http.post(
        "/api/chatkit", content=chunks(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    status, answer = await refusal(served, b"{}", **{"content-type": "text/plain"})
    assert (status, answer["code"]) == (415, "unsupported_media_type")


async def test_unknown_paths_and_methods_speak_the_same_format(served):
    for method, path, status in (
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/chatkit", 405),
        ("GET", "/api/chatkit", 405),
    ):
        response = await served.person.http.request(method, path)
        assert response.status_code == status
        assert {"code", "message", "request_id"} <= set(response.json())


@pytest.mark.row("P7")
@pytest.mark.parametrize(
    ("error", "reason", "retry"),
    [
        (RuntimeError("secret detail"), "internal_error", True),
        (CustomStreamError("Too expensive."), "custom", False),
        (StreamError(ErrorCode.STREAM_ERROR), "stream.error", True),
    ],
)
async def test_a_failure_in_a_stream_is_one_error_event(serve, error, reason, retry):
    """The stream ends with exactly one error, and the message stays for another try."""
    served = await serve(Agent(name="A", model=ScriptedModel(Fail(error), Say("second try"))))
    thread_id, events = await served.create()
    errors = [event for event in events if event["type"] == "error"]
    assert len(errors) == 1
    assert events[-1] == errors[0]
    assert errors[0]["reason"] == reason
    assert errors[0]["allow_retry"] is retry
    assert errors[0]["request_id"].startswith("req_")
    assert errors[0]["run_id"].startswith("run_")
    assert "secret detail" not in json.dumps(events)
    items = await served.items(thread_id)
    assert [item["type"] for item in items] == ["user_message"]
    stream = await served.person.stream(
        "threads.retry_after_item", {"thread_id": thread_id, "item_id": items[0]["id"]}
    )
    await stream.events()
    assert [item["type"] for item in await served.items(thread_id)] == ["user_message", "assistant_message"]


async def test_debug_says_what_was_raised(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Fail(RuntimeError("the detail")))), debug=True)
    _, events = await served.create()
    assert events[-1]["detail"] == "RuntimeError: the detail"


async def test_what_was_said_before_a_failure_is_kept(serve):
    gate = asyncio.Event()
    model = ScriptedModel(Say(["Half an ", "answer"], until=gate, error=RuntimeError("broken")))
    served = await serve(Agent(name="A", model=model))
    stream = await served.person.say("hello")
    events = []
    async for event in stream:
        events.append(event)
        if event.get("update", {}).get("delta"):
            gate.set()
    assert [event["type"] for event in events[-2:]] == ["thread.item.done", "error"]
    texts = [item["content"][0]["text"] for item in await served.items(events[0]["thread"]["id"])]
    assert texts == ["hello", "Half an "]


async def test_a_tool_that_the_model_makes_up_does_not_end_the_answer(serve):
    model = ScriptedModel(Call("no_such_tool"), Say("Sorry, I cannot do that."))
    served = await serve(Agent(name="A", model=model))
    _, events = await served.create()
    assert events[-1]["item"]["content"][0]["text"] == "Sorry, I cannot do that."
    assert "no_such_tool" in str(model.calls[-1][-1])

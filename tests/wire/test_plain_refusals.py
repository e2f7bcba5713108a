"""What the plain API refuses: each refusal says what to do, and nothing has changed (C2, A4)."""

import json
import time

import pytest
from agents import Agent
from joserfc import jwt
from joserfc.jwk import OctKey

from backchannel.testing import Say, ScriptedModel
from programs import PATH, TEXT, ask, held, message, said

pytestmark = pytest.mark.row("C2")


def with_metadata(value: bytes) -> bytes:
    """A body whose metadata holds something that is not JSON."""
    return json.dumps(message(metadata={"x": "…"})).encode().replace(b'"\\u2026"', value)


BAD = [
    (b"{", 400, "invalid_request", "JSON"),
    (b"\xff\xfe", 400, "invalid_request", "JSON"),
    (b"[" * 5000, 400, "invalid_request", "JSON"),
    # What Python takes for JSON.
    (with_metadata(b"NaN"), 400, "invalid_request", "JSON"),
    (with_metadata(b"[" * 999 + b"]" * 999), 400, "invalid_request", "JSON"),
    (b"", 422, "invalid_input", "body"),
    ([], 422, "invalid_input", "body"),
    ("hi", 422, "invalid_input", "body"),
    ({}, 422, "invalid_input", "input: Field required"),
    ({"input": None}, 422, "invalid_input", "input"),
    ({"input": "hi"}, 422, "invalid_input", "input"),
    ({"input": {}}, 422, "invalid_input", "input.type: Field required"),
    (said(type="tool_output"), 422, "invalid_input", "POST /api/chatkit"),
    (said(type=None), 422, "invalid_input", '"user_message"'),
    (said(type=["user_message"]), 422, "invalid_input", '"user_message"'),
    ({"input": {"type": "user_message"}}, 422, "invalid_input", "input.content: Field required"),
    (said(content=[]), 422, "invalid_input", "at least one"),
    (said(content="hi"), 422, "invalid_input", '{"type": "text", "text": "…"}'),
    (said(content=None), 422, "invalid_input", "at least one"),
    (said(content=["hi"]), 422, "invalid_input", "input.content.0"),
    (said(content=[{"type": "input_text", "text": "hi"}]), 422, "invalid_input", 'must be "text"'),
    (said(content=[{"type": "image", "url": "x"}]), 422, "invalid_input", "only text"),
    (said(content=[{"type": "text"}]), 422, "invalid_input", "input.content.0.text"),
    (said(content=[{"type": "text", "text": 7}]), 422, "invalid_input", "input.content.0.text"),
    (said(content=[{**TEXT, "bold": True}]), 422, "invalid_input", "input.content.0.bold"),
    (said(content=[{"type": "text", "text": ""}]), 422, "invalid_input", "empty"),
    (said(content=[{"type": "text", "text": " \n\u200b"}]), 422, "invalid_input", "empty"),
    (said(content=[{"type": "text", "text": "x" * 32_001}]), 422, "invalid_input", "32000"),
    (said(content=[TEXT] * 101), 422, "invalid_input", "100"),
    (said(attachments="atc_x"), 422, "invalid_input", "input.attachments"),
    ({**message(), "model": "x"}, 422, "invalid_input", "model: Extra"),
    ({**message(), "thread": "thr_1"}, 422, "invalid_input", "thread"),
    (message(title="x"), 422, "invalid_input", "thread.title"),
    (message(metadata=[1]), 422, "invalid_input", "thread.metadata"),
    (message(id=7), 422, "invalid_input", "thread.id"),
    (message(id=""), 422, "invalid_input", "thread.id"),
    (message(id="thr_doesnotexist"), 404, "not_found", "thr_doesnotexist"),
]  # fmt: skip
"""Bodies, and the status and code of their refusal, with words that its message must have."""


@pytest.mark.row("A3", "A4")
async def test_bad_input_is_refused_and_leaves_nothing(serve):
    model = ScriptedModel()
    served = await serve(Agent(name="A", model=model))
    for body, status, code, says in BAD:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        response = await served.person.http.post(PATH, content=content, headers=headers)
        answer = response.json()
        assert (response.status_code, answer["code"]) == (status, code), (body, answer)
        assert says in answer["message"], (body, answer)
        assert not answer["message"].endswith(".."), (body, answer)
        assert answer["request_id"] == response.headers["x-request-id"]
    assert (await served.person.request("threads.list", {}))["data"] == []
    assert model.calls == []


@pytest.mark.row("A4", "D5")
async def test_who_may_not_and_what_is_not_json(serve):
    agent, _model, gate = held("Hello ", "world")
    served = await serve(agent)
    http = served.person.http
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = await http.post(PATH, content=json.dumps(message()), headers={"content-type": content_type})
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    stream = await served.person.say("hi")
    thread_id = (await anext(aiter(stream)))["thread"]["id"]
    stranger = await served.someone()
    events = f"/api/chatkit/runs/{stream.run_id}/events"
    for refused in (
        await stranger.http.post(PATH, json=message("x", id=thread_id)),
        await stranger.http.post(PATH, json=message("x"), headers={"Last-Event-ID": f"{stream.run_id}:1"}),
        await stranger.http.get(events, params={"format": "plain"}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    for params in ({"format": "xml"}, {"format": ""}, {"format": "plain", "after": -1}):
        refused = await http.get(events, params=params)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert (await stranger.request("threads.list", {}))["data"] == []
    gate.set()
    await stream.events()
    assert len(await served.items(thread_id)) == 2


@pytest.mark.row("F1")
async def test_programs_come_with_a_token(serve):
    secret = "s" * 32
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hi"))), auth="jwt", jwt_secret=secret)
    refused = await served.person.http.post(PATH, json=message())
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    claims = {"sub": "reporter", "exp": int(time.time()) + 60}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))
    program = await served.someone(token=token)
    _, told = await ask(program, message())
    assert told[-1][1]["status"] == "completed"

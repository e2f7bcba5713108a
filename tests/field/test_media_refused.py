"""Models that take no pictures: the endpoint refuses the request, and would refuse every later one of the thread."""

from typing import Any

import httpx2
import pytest
from agents import Agent
from openai import APIStatusError, BadRequestError, NotFoundError, UnprocessableEntityError

from backchannel.model_calls.media import NOT_SEEN
from backchannel.testing import Fail, Say, ScriptedModel
from pictures import picture
from wire.conftest import Served, serve
from wire.test_files import parts_of

__all__ = ["serve"]

pytestmark = pytest.mark.row("E3", "B6")


def refusal(kind: type[APIStatusError], status: int, message: str) -> APIStatusError:
    request = httpx2.Request("POST", "https://models.example/v1/chat/completions")
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    response = httpx2.Response(status, json=body, request=request)
    return kind(f"Error code: {status} - {body}", response=response, body=body["error"])


NEVER = [
    # cloudflare/cloudflare-os#97
    (BadRequestError, 400, "this model does not support image input (ref: 1)"),
    # nexu-io/nexu#733, HKUDS/OpenHarness#225, github/app#2163
    (NotFoundError, 404, "No endpoints found that support image input"),
    # zai-org/feedback#570, tencent-connect/openclaw-qqbot#111
    (BadRequestError, 400, "Model do not support image input. Request id: 0217"),
    # 1jehuang/jcode#755
    (UnprocessableEntityError, 422, "messages[1]: unknown variant 'image_url', expected 'text' at line 1"),
]


@pytest.mark.parametrize(("kind", "status", "message"), NEVER, ids=range(len(NEVER)))
async def test_a_picture_blocks_no_thread(kind: type[APIStatusError], status: int, message: str, serve: Any):
    model = ScriptedModel(Fail(refusal(kind, status, message)), Say("I cannot see it."), Say("Hello."))
    served: Served = await serve(Agent(name="A", model=model))
    attachment = await served.person.upload("red.png", picture(), "image/png")
    events = await (await served.person.say("What is it?", attachments=[attachment["id"]])).events()
    assert not [event for event in events if event["type"] == "error"]
    refused, repeated = parts_of(model, 0), parts_of(model, 1)
    assert "image_url" in refused[2]
    assert [part.get("text") for part in repeated] == ["What is it?", refused[1]["text"], NOT_SEEN]
    # Later turns do not ask again.
    thread_id = events[0]["thread"]["id"]
    await (await served.person.say("And now?", thread_id)).events()
    assert len(model.calls) == 3
    assert NOT_SEEN in [part.get("text") for part in parts_of(model, 2)]


async def test_one_bad_picture_does_not_keep_others_from_the_model(serve: Any):
    """home-assistant/core#167208: one picture that the endpoint cannot read ended every later turn."""
    bad = refusal(BadRequestError, 400, "Could not process image")
    model = ScriptedModel(Fail(bad), Say("It could not be read."), Say("Red."))
    served: Served = await serve(Agent(name="A", model=model))
    first, second = [await served.person.upload(f"{n}.png", picture(), "image/png") for n in range(2)]
    await (await served.person.say("What is it?", attachments=[first["id"]])).events()
    await (await served.person.say("And this?", attachments=[second["id"]])).events()
    assert any("image_url" in part for part in parts_of(model, 2))


async def test_an_error_about_something_else_is_one(serve: Any):
    model = ScriptedModel(Fail(refusal(BadRequestError, 400, "temperature must be at most 1")))
    served: Served = await serve(Agent(name="A", model=model))
    attachment = await served.person.upload("red.png", picture(), "image/png")
    events = await (await served.person.say("What is it?", attachments=[attachment["id"]])).events()
    assert [event["type"] for event in events].count("error") == 1
    assert len(model.calls) == 1

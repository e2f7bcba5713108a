"""Oddities for requests that ask for no stream."""

import json

import pytest

from backchannel.testing.endpoints import ODDITIES, OddEndpoint, Say, StrictEndpoint
from unit.testing.endpoints.test_odd import CASES, ask, request

pytestmark = pytest.mark.row("H5")


async def answer(name: str, api: str) -> dict:
    seen = await ask(OddEndpoint(name), api, request(api, stream=False))
    assert seen.content_type == "application/json"
    return json.loads(seen.raw)


async def message(name: str) -> dict:
    return (await answer(name, "chat"))["choices"][0]["message"]


@pytest.mark.parametrize(("name", "api"), [case for case in CASES if not case[0].startswith("http_")])
async def test_every_answer_is_one_object_unless_it_is_none(name: str, api: str) -> None:
    endpoint = OddEndpoint(name)
    endpoint.go.set()
    seen = await ask(endpoint, api, request(api, stream=False))
    if name in ("empty", "burst_then_end") and not seen.raw:
        return
    if name == "html":
        assert seen.content_type.startswith("text/html")
    elif name == "burst_then_drop":
        assert not seen.complete
        with pytest.raises(ValueError, match="line 1"):
            json.loads(seen.raw)
    else:
        assert isinstance(json.loads(seen.raw), dict)


async def test_texts_thoughts_and_calls_are_put_together() -> None:
    assert (await message("think_tags_split"))["content"] == "<think>It is autumn.</think>\n\nRain."
    thought = await message("reasoning_content")
    assert (thought["reasoning_content"], thought["content"]) == ("It is autumn.", "Rain.")
    assert (await message("content_null"))["content"] is None
    assert [part["type"] for part in (await message("content_list"))["content"]] == ["thinking", "text"]
    assert (await message("refusal"))["refusal"] == "I cannot help with that."


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("cut_arguments", [("weather", '{"q": "x')]),
        ("arguments_object", [("weather", {"q": "x"})]),
        ("name_in_every_delta", [("weather", '{"q": "x"}')]),
        ("name_in_pieces", [("weather", '{"q": "x"}')]),
        ("arguments_before_name", [("weather", '{"q": "x"}')]),
        ("index_always_0", [("weather", '{"q": "0"}'), ("weather", '{"q": "1"}')]),
        ("same_id_twice", [("weather", '{"q": "0"}'), ("weather", '{"q": "1"}')]),
    ],
)
async def test_calls_are_put_together(name: str, calls: list) -> None:
    found = (await message(name))["tool_calls"]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in found] == calls
    assert not any("index" in call for call in found)


async def test_the_end_is_that_of_the_stream() -> None:
    assert (await answer("reason_length", "chat"))["choices"][0]["finish_reason"] == "length"
    assert "usage" not in await answer("no_usage", "chat")
    assert (await answer("failed", "responses"))["status"] == "failed"
    assert (await answer("error_chunk", "chat"))["error"]["code"] == 502
    assert (await answer("only_completed", "responses"))["output"][0]["content"][0]["text"] == "Rain again."


async def test_errors_are_the_same() -> None:
    name = "http_429_openai"
    assert name in ODDITIES
    streamed = await ask(OddEndpoint(name), "chat")
    assert (await ask(OddEndpoint(name), "chat", request("chat", stream=False))).raw == streamed.raw


@pytest.mark.parametrize(
    "endpoint",
    [
        OddEndpoint(Say("an answer"), unstreamed=Say("a title")),
        StrictEndpoint("openai-chat", Say("an answer"), unstreamed=Say("a title")),
    ],
    ids=["odd", "strict"],
)
async def test_requests_for_no_stream_can_have_an_answer_of_their_own(endpoint) -> None:
    for _ in range(2):
        titled = await ask(endpoint, "chat", request("chat", stream=False))
        assert json.loads(titled.raw)["choices"][0]["message"]["content"] == "a title"
    assert (await ask(endpoint, "chat")).text == "an answer"
    assert (await ask(endpoint, "chat")).text == "ok"

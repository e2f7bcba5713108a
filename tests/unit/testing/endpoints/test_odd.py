"""Every oddity is what its description says, and clients meet it over HTTP."""

import asyncio
import base64
import contextlib
import json

import httpx2
import pytest
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import APIStatusError, AsyncOpenAI, BadRequestError, RateLimitError

from backchannel.testing.endpoints import ODDITIES, Call, OddEndpoint, Say, StrictEndpoint
from backchannel.testing.endpoints.odd_responses import JPEG, PIXEL, WEBP
from unit.testing.endpoints.examples import USER, chat, items, tool
from unit.testing.endpoints.expectations import EXPECTED, Seen
from wire.conftest import eventually

pytestmark = pytest.mark.row("H5")

CASES = [(name, api) for name, oddity in ODDITIES.items() for api in oddity.apis]
WAITING = {"slow_headers", "slow_first_byte", "silence"}
PATHS = {"chat": "/chat/completions", "responses": "/responses"}


@pytest.fixture(autouse=True)
def no_tracing() -> None:
    set_tracing_disabled(True)


def request(api: str, **more) -> dict:
    declared = tool("weather") if api == "chat" else {"type": "function", "name": "weather", "parameters": {}}
    body = chat(USER, tools=[declared]) if api == "chat" else items(USER, tools=[declared])
    return {**body, "stream": True, **more}


async def ask(endpoint: OddEndpoint, api: str, body: dict | None = None) -> Seen:
    """The answer of the application, without a network."""
    given = [{"type": "http.request", "body": json.dumps(body or request(api)).encode()}]
    sent: list[dict] = []
    gone = asyncio.Event()

    async def receive() -> dict:
        if given:
            return given.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/v1{PATHS[api]}", "headers": []}
    await endpoint(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    bodies = sent[1:]
    complete = bool(bodies) and not bodies[-1]["more_body"]
    raw = b"".join(each["body"] for each in bodies)
    return Seen(sent[0]["status"], headers["content-type"], headers, raw, complete)


def test_there_is_an_expectation_of_every_oddity() -> None:
    streams = {name for name in ODDITIES if not name.startswith("http_")}
    assert set(EXPECTED) == streams
    assert len(ODDITIES) >= 140


def test_every_oddity_has_a_description_and_a_source() -> None:
    for oddity in ODDITIES.values():
        assert oddity.description.endswith("."), oddity.name
        repository, _, number = oddity.source.partition("#")
        numbered = repository.count("/") == 1 and number.isdigit()
        assert numbered or oddity.source.startswith("https://"), oddity.name


@pytest.mark.parametrize(("name", "api"), [case for case in CASES if not case[0].startswith("http_")])
async def test_an_oddity_is_what_it_says(name: str, api: str) -> None:
    endpoint = OddEndpoint(name)
    endpoint.go.set()
    seen = await ask(endpoint, api)
    assert seen.status == 200
    assert EXPECTED[name](seen), seen.raw.decode("utf-8", "replace")
    # The next answer is an ordinary one.
    ordinary = await ask(endpoint, api)
    assert ordinary.text == "ok"
    assert ordinary.complete


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_ordinary_answer_is_not_odd(api: str) -> None:
    seen = await ask(OddEndpoint(), api)
    # What is true of every answer: usage is sent where it is asked for.
    for name in EXPECTED.keys() - ({"no_usage"} if api == "chat" else set()):
        if api in ODDITIES[name].apis:
            with contextlib.suppress(KeyError, IndexError, ValueError, TypeError, AttributeError):
                assert not EXPECTED[name](seen), name


@pytest.mark.parametrize(("name", "api"), [case for case in CASES if case[0].startswith("http_")])
async def test_an_error_has_its_status_and_its_body(name: str, api: str) -> None:
    seen = await ask(OddEndpoint(name), api)
    assert seen.status == int(name.split("_")[1])
    assert seen.complete
    if name.endswith("_html"):
        assert seen.content_type == "text/html"
        assert f"{seen.status} ".encode() in seen.raw
    else:
        assert seen.content_type == "application/json"
        body = json.loads(seen.raw)
        body = body[0] if isinstance(body, list) else body
        error = body.get("error", body)
        assert error.get("message") or error["detail"]


async def test_context_lengths_are_worded_in_at_least_eight_ways() -> None:
    found = set()
    for name in ODDITIES:
        if "context_length" in name or name == "http_400_anthropic_max_tokens":
            found.add((await ask(OddEndpoint(name), "chat")).raw)
    assert len(found) >= 8
    assert len([raw for raw in found if b"8192" in raw]) >= 6


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("http_400_azure_content_filter", b'"innererror": {"code": "ResponsibleAIPolicyViolation"'),
        ("http_429_gemini", b'[{"error": {"code": 429'),
        ("http_429_insufficient_quota", b'"code": "insufficient_quota"'),
        ("http_429_mistral", b'{"message": "Requests rate limit exceeded"}'),
        ("http_404_vllm", b'"object": "error"'),
        ("http_529_anthropic", b'"type": "overloaded_error"'),
        ("http_400_openrouter", b'"provider_name": "Mistral"'),
        ("http_400_litellm", b"litellm.BadRequestError"),
        ("http_400_context_length_llama_cpp", b'"n_ctx": 8192'),
    ],
)
async def test_errors_have_the_shape_of_their_provider(name: str, has: bytes) -> None:
    assert has in (await ask(OddEndpoint(name), "chat")).raw


@pytest.mark.parametrize("name", sorted(WAITING))
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_answer_that_waits_goes_on_when_the_test_says_so(name: str, api: str) -> None:
    endpoint = OddEndpoint(name)
    async with endpoint.running() as url, httpx2.AsyncClient(timeout=20) as http:
        seen = b""
        opened = asyncio.create_task(
            http.send(http.build_request("POST", url + PATHS[api], json=request(api)), stream=True)
        )
        if name == "slow_headers":
            await eventually(lambda: bool(endpoint.requests), "the request has arrived")
            assert not opened.done()
            endpoint.go.set()
        response = await opened
        assert response.status_code == 200
        chunks = response.aiter_bytes()
        if name == "silence":
            while b"Rain " not in seen:
                seen += await anext(chunks)
            assert b"again" not in seen
        endpoint.go.set()
        async for chunk in chunks:
            seen += chunk
        await response.aclose()
    assert b"Rain" in seen


async def test_the_openai_client_gets_the_error_and_its_headers() -> None:
    endpoint = OddEndpoint("http_429_openai", "http_502_html")
    async with endpoint.running() as url, AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as openai:
        with pytest.raises(RateLimitError) as refused:
            await openai.chat.completions.create(**chat(USER))
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.response.headers["retry-after"] == "2"
        with pytest.raises(APIStatusError) as broken:
            await openai.responses.create(**items(USER))
        assert broken.value.status_code == 502


@function_tool
def weather(q: str) -> str:
    """The weather somewhere."""
    return f"Rain in {q}"


@pytest.mark.parametrize(
    ("kind", "name", "profile", "message"),
    [
        (OpenAIChatCompletionsModel, "cut_arguments", "vllm", "Unterminated string starting at"),
        (OpenAIResponsesModel, "long_id", "openai-responses", "string too long"),
    ],
)
async def test_odd_answers_bring_out_what_a_strict_endpoint_refuses(kind, name, profile, message) -> None:
    """The kind of test for which both exist: the SDK replays an odd call as it is."""
    endpoint = OddEndpoint(name, then=Say("Never said."), strict=profile)
    async with endpoint.running() as url, AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as openai:
        agent = Agent(name="helper", model=kind("m", openai_client=openai), tools=[weather])
        with pytest.raises(BadRequestError, match=message):
            await streamed(agent)
    assert len(endpoint.requests) == 2
    assert len(endpoint.refused) == 1


async def streamed(agent: Agent) -> None:
    async for _ in Runner.run_streamed(agent, "Weather?").stream_events():
        pass


async def test_ordinary_steps_can_stand_between_oddities() -> None:
    endpoint = OddEndpoint(
        "nothing", [Say("Let me look."), Call("weather", {"q": "x"})], "html", then="empty"
    )
    assert (await ask(endpoint, "chat")).text == ""
    assert [call["function"]["name"] for call in (await ask(endpoint, "chat")).calls if "id" in call] == [
        "weather"
    ]
    assert (await ask(endpoint, "responses")).content_type.startswith("text/html")
    assert (await ask(endpoint, "chat")).raw == b""
    endpoint.add("ok")
    assert (await ask(endpoint, "responses")).text == "ok"
    assert [received.number for received in endpoint.requests] == list(range(5))


async def test_a_refused_request_does_not_use_up_the_script() -> None:
    endpoint = OddEndpoint("think_tags", strict="openai-chat")
    assert (await ask(endpoint, "chat", request("chat", tools=[]))).status == 400
    assert [each[0].rule for each in endpoint.refused] == ["tools_empty"]
    assert (await ask(endpoint, "chat")).text.startswith("<think>")
    assert OddEndpoint().refused == []


async def test_the_checks_of_a_strict_endpoint_can_be_used() -> None:
    strict = StrictEndpoint("openai-chat", ignore={"tools_empty"}, context_tokens=200)
    endpoint = OddEndpoint("think_tags", strict=strict)
    assert (await ask(endpoint, "chat", request("chat", tools=[]))).status == 200
    assert (await ask(endpoint, "chat", chat({**USER, "content": "x" * 1000}))).status == 400
    assert [each[0].rule for each in endpoint.refused] == ["context_length"]


async def test_an_oddity_of_the_other_api_is_explained() -> None:
    seen = await ask(OddEndpoint("ids_change"), "chat")
    assert seen.status == 501
    assert "it does in: responses" in seen.raw.decode()


def test_a_name_that_does_not_exist_is_an_error_with_near_ones() -> None:
    with pytest.raises(ValueError, match="cut_arguments"):
        OddEndpoint("cut_argument")
    with pytest.raises(ValueError, match="no oddity"):
        OddEndpoint().add("Q")


def test_images_are_what_they_are_called() -> None:
    assert base64.b64decode(PIXEL).startswith(b"\x89PNG")
    assert base64.b64decode(JPEG).startswith(b"\xff\xd8\xff")
    webp = base64.b64decode(WEBP)
    assert webp.startswith(b"RIFF")
    assert webp[8:12] == b"WEBP"

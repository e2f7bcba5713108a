"""Every oddity that providers are reported to answer with (`ODDITIES` has the sources), one after the other: what arrived is
shown once and stored, nothing stays open, a failure has its code, and the next message is answered."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, override

import pytest
from agents import Agent, OpenAIChatCompletionsModel, function_tool
from openai import AsyncOpenAI, _base_client

from backchannel.model_calls import normalized_model
from backchannel.testing.endpoints import ODDITIES, OddEndpoint, ReceivedRequest, Reply, violations
from backchannel.testing.endpoints.answers import answer
from backchannel.testing.model import Say

pytestmark = pytest.mark.row("C8", "M4", "M9", "M10", "M11", "M12", "M15", "M22", "M23", "M28")

FAILURES: dict[str, tuple[str, bool]] = {
    "empty_text": ("answer_empty", True),
    "blank_text": ("answer_empty", True),
    "nothing": ("answer_empty", True),
    "text_null": ("answer_empty", True),
    "empty_content_list": ("answer_empty", True),
    "content_null": ("answer_empty", True),
    "think_unclosed": ("answer_empty", True),
    "reason_without_calls": ("answer_empty", True),
    "refusal": ("answer_refused", False),
    "burst_then_error": ("model_unavailable", True),
    "burst_then_drop": ("answer_incomplete", True),
    "burst_then_end": ("answer_incomplete", True),
    "reason_error": ("answer_incomplete", True),
    "reason_unknown": ("answer_incomplete", True),  # `MALFORMED_FUNCTION_CALL`, of Gemini
    "reason_length": ("answer_truncated", True),
    "incomplete_length": ("answer_truncated", True),
    "reason_content_filter": ("answer_filtered", True),
    "incomplete_content_filter": ("answer_filtered", True),
    "failed": ("model_unavailable", True),
    "failed_rate_limit": ("model_rate_limited", True),
    "cancelled": ("model_unavailable", True),
    "error_in_mid_answer": ("model_unavailable", True),
    "error_chunk": ("model_unavailable", True),
    "error_with_200": ("model_unavailable", True),
    "error_event": ("model_error", True),
    "html": ("model_response_invalid", True),
    "empty": ("model_response_invalid", True),
    "http_400_azure_content_filter": ("content_filter", False),
    "http_400_openai_unsupported": ("model_not_configured", False),
    "http_429_insufficient_quota": ("model_quota", False),
}
"""By oddity. All others are answered without an error, but for statuses of HTTP."""

BY_STATUS = {
    "http_400": ("model_request_rejected", False),
    "http_401": ("model_not_configured", False),
    "http_402": ("model_quota", False),
    "http_403": ("model_not_configured", False),
    "http_404": ("model_not_configured", False),
    "http_408": ("model_unavailable", True),
    "http_409": ("model_unavailable", True),
    "http_413": ("message_too_long", False),
    "http_422": ("model_request_rejected", False),
    "http_429": ("model_rate_limited", True),
    "http_5": ("model_unavailable", True),
}


def expected_failure(name: str) -> tuple[str, bool] | None:
    if name in FAILURES:
        return FAILURES[name]
    if "context_length" in name:
        return "message_too_long", False
    return next((failure for start, failure in BY_STATUS.items() if name.startswith(start)), None)


class Chosen(OddEndpoint):
    """Answers the user with the chosen oddity, and outputs of tools in the ordinary way."""

    oddity = ""

    @override
    def reply(self, request: ReceivedRequest) -> Reply:
        last: dict[str, Any] = (request.body.get("messages") or request.body["input"])[-1]
        if not self.oddity or last.get("role") != "user":
            return answer([Say("An ordinary answer.")], request, "openai-chat")
        self.add(self.oddity)
        return super().reply(request)


@function_tool
def lookup(q: str = "x") -> str:
    """Look something up."""
    return f"found {q}"


def problems_of(name: str, events: list[dict[str, Any]], items: list[dict[str, Any]]) -> list[str]:
    """What is wrong with an answer, whatever it is."""
    problems: list[str] = []
    open_items: set[str] = set()
    deltas: dict[str, str] = {}
    for event in events:
        match event["type"]:
            case "thread.item.added":
                open_items.add(event["item"]["id"])
            case "thread.item.removed":
                open_items.discard(event["item_id"])
                deltas.pop(event["item_id"], None)
            case "thread.item.done":
                open_items.discard(event["item"]["id"])
                if event["item"]["type"] == "assistant_message":
                    text = "".join(part["text"] for part in event["item"]["content"])
                    if deltas.pop(event["item"]["id"], None) != text or not text.strip() or "think>" in text:
                        problems.append(f"text {text[:80]!r}")
            case "thread.item.updated" if "delta" in event["update"]:
                deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["update"]["delta"]
            case _:
                pass
    failures = [(event["reason"], event["allow_retry"]) for event in events if event["type"] == "error"]
    if failures != [failure for failure in [expected_failure(name)] if failure]:
        problems.append(f"failed with {failures}")
    if open_items or deltas:
        problems.append(f"left open: {open_items or deltas}")
    loading = [item for item in items if '"loading"' in json.dumps(item)]
    if loading or [item for item in items if item.get("status") == "pending"]:
        problems.append("a task is loading")
    shown = {event["item"]["id"]: event["item"] for event in events if event["type"] == "thread.item.done"}
    if any(
        stored != shown[stored["id"]] for stored in items if stored["id"] in shown and "image" not in stored
    ):
        problems.append("another item is stored than was shown")
    return problems


@pytest.fixture
async def stack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncExitStack]:
    monkeypatch.setattr(_base_client.BaseClient, "_calculate_retry_timeout", lambda *_: 0.01)
    monkeypatch.setattr(normalized_model, "RETRY_DELAYS", (0.01, 0.01))
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", ["chat", "responses", "a model of the agent's own"])
async def test_no_oddity_harms_its_thread(serve: Any, stack: AsyncExitStack, kind: str) -> None:
    endpoint = Chosen()
    endpoint.go.set()
    url = await stack.enter_async_context(endpoint.running())
    agent = Agent[Any](name="A", tools=[lookup])
    api = "responses" if kind == "responses" else "chat"
    if kind not in {"chat", "responses"}:
        client = await stack.enter_async_context(AsyncOpenAI(base_url=url, api_key="any"))
        agent.model = OpenAIChatCompletionsModel("m", openai_client=client)
    served = await serve(
        agent,
        OPENAI_API_KEY="sk-test-key-000",
        OPENAI_BASE_URL=url,
        titles="rule",
        model="m",
        model_api="responses" if api == "responses" else "chat_completions",
    )
    problems: dict[str, list[str]] = {}
    names = [name for name in ODDITIES if api in ODDITIES[name].apis]
    for name in names if kind == api else names[::4]:
        endpoint.oddity = name
        thread_id, events = await served.create()
        endpoint.oddity = ""
        later = await (await served.person.say("and now?", thread_id)).events()
        items = await served.items(thread_id)
        found = problems_of(name, events, items)
        found += [f"then: {each}" for each in problems_of("", later, items)]
        found += [f"then: {each.rule}" for each in violations("strictest", endpoint.requests[-1].body)]
        if found:
            problems[name] = found
    assert problems == {}
    assert len(ODDITIES) > 100

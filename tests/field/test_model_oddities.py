"""Every oddity that providers are reported to answer with (`ODDITIES` has the sources), one after the other: what arrived is
shown once and stored, nothing stays open, a failure has its code, and the next message is answered."""

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
from oddity_failures import expected_failure, problems_of

pytestmark = pytest.mark.row("C8", "M4", "M9", "M10", "M11", "M12", "M15", "M22", "M23", "M28")


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
        found = problems_of(events, items, expected_failure(name))
        found += [f"then: {each}" for each in problems_of(later, items, None)]
        found += [f"then: {each.rule}" for each in violations("strictest", endpoint.requests[-1].body)]
        if found:
            problems[name] = found
    assert problems == {}
    assert len(ODDITIES) > 100

"""Every oddity that providers are reported to answer with (`ODDITIES` has the sources), a few at a time: what arrived is shown
once and stored, nothing stays open, a failure has its code, and the next message is answered."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, override

import pytest
from agents import Agent, OpenAIChatCompletionsModel, function_tool
from openai import AsyncOpenAI

from backchannel.testing.endpoints import ODDITIES, OddEndpoint, ReceivedRequest, Reply, violations
from backchannel.testing.endpoints.answers import answer
from backchannel.testing.model import Say
from oddity_failures import expected_failure, problems_of, said

pytestmark = [
    pytest.mark.row("C8", "M4", "M9", "M10", "M11", "M12", "M15", "M22", "M23", "M28"),
    pytest.mark.usefixtures("quick_retries"),
]


AT_ONCE = 6
"""Conversations. Each of them waits for its client, its event log and its model in turn."""


class Chosen(OddEndpoint):
    """Answers the user with the oddity whose name they say, and everything else in the ordinary way."""

    @override
    def reply(self, request: ReceivedRequest) -> Reply:
        last = said(request.body)[-1]
        if last not in ODDITIES:
            return answer([Say("An ordinary answer.")], request, "openai-chat")
        self.add(last)
        return super().reply(request)

    def last_of(self, name: str) -> ReceivedRequest:
        """The last request of the conversation that began with an oddity."""
        return [each for each in self.requests if name in said(each.body)][-1]


@function_tool
def lookup(q: str = "x") -> str:
    """Look something up."""
    return f"found {q}"


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
    places = asyncio.Semaphore(AT_ONCE)

    async def converse(name: str) -> None:
        async with places:
            thread_id, events = await served.create(name)
            later = await (await served.person.say("and now?", thread_id)).events()
            items = await served.items(thread_id)
        found = problems_of(events, items, expected_failure(name))
        found += [f"then: {each}" for each in problems_of(later, items, None)]
        found += [f"then: {each.rule}" for each in violations("strictest", endpoint.last_of(name).body)]
        problems[name] = found

    chosen = names if kind == api else names[::4]
    # The first response has the cookie that says who all others are for.
    await served.create()
    async with asyncio.TaskGroup() as conversations:
        for name in chosen:
            conversations.create_task(converse(name))
    assert {name: found for name, found in problems.items() if found} == {}
    assert problems.keys() == set(chosen)
    assert len(ODDITIES) > 100

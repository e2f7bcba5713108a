"""An agent that erases files if a person approves, on a strict endpoint."""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from agents import Agent, FunctionTool, function_tool
from sqlalchemy import text

from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import lookup, served_on
from visitors import visitor_id

APPROVE = "Approve"
ALWAYS = "Approve, and do not ask again in this conversation"
PROFILES = pytest.mark.parametrize("profile", ["strictest", "openai-responses"])


class Erasing:
    """An agent with a tool that needs approval, on a strict endpoint, and a person who talks with it."""

    def __init__(self, serve: Any, stack: AsyncExitStack, profile: str = "strictest") -> None:
        self.erased: list[str] = []
        self.endpoint = StrictEndpoint(profile, ignore={"call_id_format"})  # pyright: ignore[reportArgumentType]
        self._serve = serve
        self._stack = stack
        self._settings: dict[str, Any] = {}
        if profile == "openai-responses":
            self._settings["model_api"] = "responses"

    def tool(self, needs_approval: Any = True, name: str = "erase") -> FunctionTool:
        @function_tool(needs_approval=needs_approval, name_override=name)
        def erase(path: str) -> str:
            """Erase a file."""
            self.erased.append(path)
            return f"erased {path}"

        return erase

    def agent(self, *, nested: bool = False) -> Agent[Any]:
        agent = Agent[Any](name="Eraser", tools=[self.tool(), lookup])
        if nested:
            agent = Agent[Any](name="Clerk", tools=[agent.as_tool("ask_eraser", "Asks the eraser."), lookup])
        return agent

    async def start(self, agent: Agent[Any] | None = None, **settings: Any) -> "Erasing":
        self.served = await served_on(
            self._serve, self._stack, self.endpoint, agent or self.agent(), **self._settings, **settings
        )
        return self

    async def restart(self, agent: Agent[Any] | None = None, **settings: Any) -> None:
        """Another replica, with agents of its own. The person goes on there."""
        cookies = self.served.person.http.cookies
        await self.start(agent, **settings)
        self.served.person.http.cookies = cookies

    @property
    def user(self) -> str:
        """The id of the person."""
        return visitor_id(self.served.person.http)

    async def hidden(self) -> list[dict[str, Any]]:
        """The contents of all hidden items of all threads."""
        async with self.served.backchannel.database.read() as connection:
            rows = await connection.execute(
                text("SELECT data FROM items WHERE data LIKE '%hidden_context_item%'")
            )
            return [json.loads(data)["content"] for (data,) in rows]

    async def question(self, thread_id: str) -> dict[str, Any]:
        """The newest question of a thread."""
        items = await self.served.items(thread_id)
        return [item for item in items if item["type"] == "structured_input"][-1]

    async def answer(self, thread_id: str, *choices: str | None) -> list[dict[str, Any]]:
        """Answer the newest question; the events of what follows."""
        question = await self.question(thread_id)
        answers = {
            each["id"]: {"values": [choice]} if choice is not None else {"skipped": True}
            for each, choice in zip(question["inputs"], choices, strict=True)
        }
        params = {"thread_id": thread_id, "item_id": question["id"], "input": {"answers": answers}}
        return await (await self.served.person.stream("threads.add_structured_input", params)).events()

    async def run(self, thread_id: str) -> str:
        """The state of the newest run of a thread."""
        response = await self.served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")
        return response.json()["data"][0]["status"]


@pytest.fixture
def erasing(serve: Any, stack: AsyncExitStack) -> Callable[..., Erasing]:
    return partial(Erasing, serve, stack)


def outputs(endpoint: StrictEndpoint) -> list[str]:
    """The outputs of tools in the newest input of the model."""
    body = endpoint.requests[-1].body
    if "messages" in body:
        return [each["content"] for each in body["messages"] if each["role"] == "tool"]
    return [each["output"] for each in body["input"] if each.get("type") == "function_call_output"]

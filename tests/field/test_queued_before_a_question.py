"""Messages that were queued while an agent worked, and that it then asks the person something: they wait for the reply.

They were written before the person saw the question, so they are neither a reply to it nor a refusal
(RooCodeInc/Roo-Code#11389, RooCodeInc/Roo-Code#11211).
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents import Agent, StopAtTools, function_tool
from agents.tool_context import ToolContext
from chatkit.agents import AgentContext, ClientToolCall

from backchannel.testing import Call, Say
from field.erasing import APPROVE, Erasing, outputs
from field.odd_models import error, texts
from processes import until

pytestmark = pytest.mark.row("B8", "C6")


class Slow:
    """A conversation in which a second message is queued before the agent of the first one asks something."""

    def __init__(self, chat: Erasing) -> None:
        self.chat = chat
        self.working = asyncio.Event()
        self.go_on = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []

    def agent(self) -> Agent[Any]:
        @function_tool
        async def work() -> str:
            """Work."""
            self.working.set()
            await self.go_on.wait()
            return "worked"

        @function_tool
        async def locate(ctx: ToolContext[AgentContext[Any]]) -> None:
            """Locate the person, in the browser."""
            ctx.context.client_tool_call = ClientToolCall(name="locate", arguments={})

        return Agent[Any](
            name="Eraser",
            tools=[self.chat.tool(), work, locate],
            tool_use_behavior=StopAtTools(stop_at_tool_names=["locate"]),
        )

    def send(self, op: str, params: dict[str, Any]) -> asyncio.Task[list[dict[str, Any]]]:
        async def sent() -> list[dict[str, Any]]:
            return await (await self.chat.served.person.stream(op, params)).events()

        task = asyncio.create_task(sent())
        self._tasks.append(task)
        return task

    def message(self, thread_id: str, words: str) -> asyncio.Task[list[dict[str, Any]]]:
        content = [{"type": "input_text", "text": words}]
        message = {"content": content, "attachments": [], "inference_options": {}}
        return self.send("threads.add_user_message", {"thread_id": thread_id, "input": message})

    async def statuses(self, thread_id: str) -> list[str]:
        """The states of the thread's runs, oldest first."""
        response = await self.chat.served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")
        return [run["status"] for run in response.json()["data"]][::-1]

    async def until(self, thread_id: str, *statuses: str) -> None:
        async def reached() -> bool:
            return await self.statuses(thread_id) == list(statuses)

        await until(reached, f"the runs are {statuses}")

    async def begin(self, *asks: Call) -> tuple[str, asyncio.Task[list[dict[str, Any]]]]:
        """The thread, and the answer to the message "two", which was queued before the agent asked."""
        chat = self.chat
        await chat.start(self.agent())
        chat.endpoint.add(Say("Hello."))
        thread_id, _ = await chat.served.create()
        chat.endpoint.add(Call("work", {}), list(asks))
        self.message(thread_id, "one")
        await asyncio.wait_for(self.working.wait(), 10)
        second = self.message(thread_id, "two")
        await self.until(thread_id, "completed", "running", "queued")
        self.go_on.set()
        await self.until(thread_id, "completed", "waiting", "queued")
        return thread_id, second

    async def heard(self, thread_id: str) -> list[str]:
        """What was said in the thread after its first two messages."""
        return texts(await self.chat.served.items(thread_id))[2:]


@pytest.fixture
def slow(erasing: Callable[..., Erasing]) -> Slow:
    return Slow(erasing())


async def test_an_approval_comes_before_them(slow: Slow):
    thread_id, second = await slow.begin(Call("erase", {"path": "/a"}))
    slow.chat.endpoint.add(Say("Gone."), Say("And two."))
    assert error(await slow.chat.answer(thread_id, APPROVE)) is None
    assert error(await second) is None
    assert slow.chat.erased == ["/a"]
    assert await slow.heard(thread_id) == ["one", "Gone.", "two", "And two."]
    assert await slow.statuses(thread_id) == ["completed"] * 4
    assert slow.chat.endpoint.refused == []


async def test_a_message_that_was_written_after_the_question_declines_and_all_are_answered_in_order(
    slow: Slow,
):
    thread_id, second = await slow.begin(Call("erase", {"path": "/a"}))
    slow.chat.endpoint.add(Say("And two."), Say("And three."))
    third = slow.message(thread_id, "never mind")
    assert [error(await each) for each in (second, third)] == [None, None]
    assert slow.chat.erased == []
    assert await slow.heard(thread_id) == ["one", "two", "And two.", "never mind", "And three."]
    assert "It did not run" in outputs(slow.chat.endpoint)[-1]
    assert slow.chat.endpoint.refused == []


async def test_the_output_of_a_client_tool_comes_before_them(slow: Slow):
    thread_id, second = await slow.begin(Call("locate", {}))
    slow.chat.endpoint.add(Say("You are in Oslo."), Say("And two."))
    params = {"thread_id": thread_id, "result": {"city": "Oslo"}}
    assert error(await slow.send("threads.add_client_tool_output", params)) is None
    assert error(await second) is None
    assert await slow.heard(thread_id) == ["one", "You are in Oslo.", "two", "And two."]
    assert '{"city": "Oslo"}' in outputs(slow.chat.endpoint)[-1]


async def test_they_are_answered_when_the_waiting_answer_is_stopped(slow: Slow):
    thread_id, second = await slow.begin(Call("erase", {"path": "/a"}))
    slow.chat.endpoint.add(Say("And two."))
    response = await slow.chat.served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs?status=waiting")
    [waiting] = response.json()["data"]
    await slow.chat.served.person.http.post(f"/api/chatkit/runs/{waiting['id']}/cancel")
    assert error(await second) is None
    assert slow.chat.erased == []
    assert await slow.statuses(thread_id) == ["completed", "cancelled", "completed"]


async def test_they_wait_across_a_restart(slow: Slow):
    thread_id, _ = await slow.begin(Call("erase", {"path": "/a"}))
    await slow.chat.restart(slow.agent())
    assert await slow.chat.served.backchannel.runs.stores.maintenance.orphans(9) == []
    slow.chat.endpoint.add(Say("Gone."), Say("And two."))
    assert error(await slow.chat.answer(thread_id, APPROVE)) is None
    await slow.until(thread_id, *["completed"] * 4)
    assert slow.chat.erased == ["/a"]
    assert await slow.heard(thread_id) == ["one", "Gone.", "two", "And two."]

"""The todo assistant deletes several todos only when the person has approved it; its stand-in without a key does, too."""

from dataclasses import replace
from typing import Any

import pytest

from backchannel import Application, Settings
from backchannel.sql import Database
from backchannel.todo import assistant
from backchannel.todo.offline import TodoOfflineModel
from field.erasing import APPROVE
from field.odd_models import error, texts

pytestmark = pytest.mark.row("B6b", "B7")

ENTRANCES = pytest.mark.parametrize("agents", ["triage", "supervisor"])


class Todos:
    """A person who talks with the assistant about todos."""

    def __init__(self, served: Any, thread_id: str) -> None:
        self.served = served
        self.thread_id = thread_id

    async def say(self, words: str) -> str:
        """What the assistant says to a message."""
        events = await (await self.served.person.say(words, self.thread_id)).events()
        assert error(events) is None
        return await self.last()

    async def last(self) -> str:
        return texts(await self.served.items(self.thread_id))[-1]

    async def question(self) -> dict[str, Any]:
        """The newest question."""
        items = await self.served.items(self.thread_id)
        return [item for item in items if item["type"] == "structured_input"][-1]

    async def decide(self, choice: str) -> str:
        """What the assistant says to a decision."""
        question = await self.question()
        answers = {each["id"]: {"values": [choice]} for each in question["inputs"]}
        params = {"thread_id": self.thread_id, "item_id": question["id"], "input": {"answers": answers}}
        events = await (await self.served.person.stream("threads.add_structured_input", params)).events()
        assert error(events) is None
        return await self.last()

    async def titles(self) -> list[str]:
        response = await self.served.person.http.get("/api/todos")
        return sorted(todo["title"] for todo in response.json()["data"])


def quick(settings: Settings, database: Database) -> Application:
    """The assistant, whose stand-in does not speak at the pace of a reader."""
    return replace(assistant(settings, database), offline_model=TodoOfflineModel(words_per_second=0))


async def three(serve: Any, agents: str) -> Todos:
    served = await serve(quick, agents=agents)
    thread_id, _ = await served.create("add milk, eggs and bread")
    return Todos(served, thread_id)


@ENTRANCES
async def test_everything_is_deleted_after_an_approval(serve: Any, agents: str):
    todos = await three(serve, agents)
    await todos.say("delete everything")
    [asked] = (await todos.question())["inputs"]
    assert asked["question"].startswith("Delete 3 todos: ")
    assert all(f"“{title}”" in asked["question"] for title in ("Milk", "Eggs", "Bread"))
    assert await todos.titles() == ["Bread", "Eggs", "Milk"]
    assert "Deleted 3 todos" in await todos.decide(APPROVE)
    assert await todos.titles() == []
    assert "no open todos" in await todos.say("show my list")


@ENTRANCES
async def test_nothing_is_deleted_without(serve: Any, agents: str):
    todos = await three(serve, agents)
    await todos.say("delete everything")
    assert "deleted nothing" in await todos.decide("Decline")
    assert await todos.titles() == ["Bread", "Eggs", "Milk"]
    assert "Milk" in await todos.say("show my list")


async def test_a_yes_in_place_of_an_approval_asks_again(serve: Any):
    todos = await three(serve, "triage")
    await todos.say("delete everything")
    first = await todos.question()
    await todos.say("yes")
    assert await todos.titles() == ["Bread", "Eggs", "Milk"]
    assert (await todos.question())["id"] != first["id"]
    assert "Deleted 3 todos" in await todos.decide(APPROVE)


async def test_one_that_is_named_is_deleted_at_once(serve: Any):
    todos = await three(serve, "triage")
    assert "Deleted" in await todos.say("delete milk")
    assert await todos.titles() == ["Bread", "Eggs"]


async def test_others_can_delete_meanwhile(serve: Any):
    todos = await three(serve, "triage")
    await todos.say("delete everything")
    response = await todos.served.person.http.get("/api/todos")
    milk = next(todo["id"] for todo in response.json()["data"] if todo["title"] == "Milk")
    await todos.served.person.http.delete(f"/api/todos/{milk}")
    assert "Deleted 2 todos" in await todos.decide(APPROVE)
    assert await todos.titles() == []

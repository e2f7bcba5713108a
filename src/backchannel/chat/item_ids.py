"""Gives the items of a server unique ids where its own repeat.

Chat Completions models have no ids for messages, so the Agents SDK gives all of them the same one, and
`stream_agent_response` uses it as the id of the thread item: each answer would replace the one before
(openai/chatkit-python#36).
"""

from typing import Any

from agents.models.fake_id import FAKE_RESPONSES_ID
from chatkit.store import NotFoundError
from chatkit.types import (
    AssistantMessageItem,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)

from backchannel.chat.turn import Server
from backchannel.ids import new_id


class ItemIds:
    """Renames the items of one answer.

    A message that begins under the Agents SDK's placeholder, or under the id of a message of an earlier turn, gets an
    id of its own; events about it are renamed until it is done. Other items may be stored again under their ids: the
    SDK goes on with the workflow of the turn before.
    """

    def __init__(self, server: Server, thread_id: str, context: Any) -> None:
        self._server = server
        self._thread_id = thread_id
        self._context = context
        self._renamed: dict[str, str] = {}
        self._begun: set[str] = set()

    async def renamed(self, event: ThreadStreamEvent) -> ThreadStreamEvent:
        """The event under the ids that are stored."""
        match event:
            case ThreadItemUpdatedEvent() | ThreadItemRemovedEvent():
                known = self._renamed.get(event.item_id)
                return event if known is None else event.model_copy(update={"item_id": known})
            case ThreadItemAddedEvent(item=AssistantMessageItem() as item):
                if await self._is_taken(item.id):
                    self._renamed[item.id] = new_id("message")
                self._begun.add(item.id)
                return _with_id(event, item, self._renamed.get(item.id))
            case ThreadItemDoneEvent(item=AssistantMessageItem() as item):
                known = self._renamed.pop(item.id, None)
                if known is None and item.id == FAKE_RESPONSES_ID:
                    known = new_id("message")
                return _with_id(event, item, known)
            case ThreadItemReplacedEvent(item=AssistantMessageItem() as item):
                return _with_id(event, item, self._renamed.get(item.id))
            case _:
                return event

    async def _is_taken(self, item_id: str) -> bool:
        if item_id == FAKE_RESPONSES_ID:
            return True
        if item_id in self._renamed or item_id in self._begun:
            return item_id in self._renamed
        try:
            await self._server.store.load_item(self._thread_id, item_id, self._context)
        except NotFoundError:
            return False
        return True


def _with_id(
    event: ThreadItemAddedEvent | ThreadItemDoneEvent | ThreadItemReplacedEvent,
    item: ThreadItem,
    new: str | None,
) -> ThreadStreamEvent:
    if new is None:
        return event
    return event.model_copy(update={"item": item.model_copy(update={"id": new})})

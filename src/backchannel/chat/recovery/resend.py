"""Sends a message again from its beginning, to readers who may have got another part of its text than the log has.

Readers get text before it is persisted. After a crash some may therefore have more of an unfinished message than its
log, and the log less than the store. The text that readers put together must be the text of the complete message.
"""

from collections.abc import Mapping, Sequence

from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)

from backchannel.chat.protocol.wire import is_hidden
from backchannel.chat.recovery.replay import ReaderState


def missing_items(stored: Sequence[ThreadItem], state: ReaderState) -> list[ThreadStreamEvent]:
    """The events that complete the stored items which are not done for readers in `state`. A message of which the log
    has another text than the store is removed and sent again."""
    partial = {item.id: item for item in state.partial.items()}
    events: list[ThreadStreamEvent] = []
    for item in stored:
        if is_hidden(item) or item.id in state.done:
            continue
        if isinstance(item, AssistantMessageItem) and not _has_all_text(partial, item):
            events += sent_again(item)
        events.append(ThreadItemDoneEvent(item=item))
    return events


def sent_again(item: AssistantMessageItem) -> list[ThreadStreamEvent]:
    """The events that remove a message which readers have in part, and send all of it. It is not done after them."""
    return [ThreadItemRemovedEvent(item_id=item.id), *sent(item)]


def sent(item: AssistantMessageItem) -> list[ThreadStreamEvent]:
    """The events that begin a message and send all of it. It is not done after them."""
    events: list[ThreadStreamEvent] = [ThreadItemAddedEvent(item=item.model_copy(update={"content": []}))]
    for index, part in enumerate(item.content):
        updates = (
            AssistantMessageContentPartAdded(content_index=index, content=AssistantMessageContent(text="")),
            AssistantMessageContentPartTextDelta(content_index=index, delta=part.text),
            AssistantMessageContentPartDone(content_index=index, content=part),
        )
        events += [ThreadItemUpdatedEvent(item_id=item.id, update=update) for update in updates]
    return events


def halves(item: AssistantMessageItem, new_id: str) -> tuple[AssistantMessageItem, AssistantMessageItem]:
    """Two messages that together have the text of a message with at least two characters; without its annotations.

    Args:
        new_id: The id of the second one.
    """
    text = "".join(part.text for part in item.content)
    middle = len(text) // 2
    # Between two words, if there is such a place.
    cut = text.rfind(" ", 0, middle) + 1 or middle
    first, second = (
        item.model_copy(update={"id": item_id, "content": [AssistantMessageContent(text=half)]})
        for item_id, half in ((item.id, text[:cut]), (new_id, text[cut:]))
    )
    return first, second


def _has_all_text(partial: Mapping[str, ThreadItem], item: AssistantMessageItem) -> bool:
    """Whether the log has the message's text; also if it does not have the message at all."""
    begun = partial.get(item.id)
    if not isinstance(begun, AssistantMessageItem):
        return True
    return [part.text for part in begun.content] == [part.text for part in item.content]

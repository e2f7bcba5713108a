"""The reference store: the simplest implementation of the whole store contract, for tests and as an example.

Not for production: its data is lost when the process ends and is not shared between processes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, override

from chatkit.store import NotFoundError, Store, StoreItemType
from chatkit.types import (
    Attachment,
    ClientToolCallItem,
    FeedbackKind,
    Page,
    StructuredInputItem,
    ThreadItem,
    ThreadMetadata,
)

from backchannel.context import identity_of
from backchannel.ids import new_id
from backchannel.stores.base import Feedback, SearchHit, SearchResult
from backchannel.stores.times import to_sdk, to_utc, utc_now
from backchannel.stores.words import query_words, text_of, words_in

MAX_PAGE = 1000
"""The upper limit for the size of a page."""

type Owner = tuple[str, str]


@dataclass(slots=True)
class Conversation:
    """A thread with its owner and contents.

    Attributes:
        items: The items by id, in insertion order. A replaced item keeps its position in the dictionary.
        feedback: The owner's feedback by item id.
    """

    owner: Owner
    thread: ThreadMetadata
    items: dict[str, ThreadItem] = field(default_factory=dict[str, ThreadItem])
    feedback: dict[str, Feedback] = field(default_factory=dict[str, Feedback])


class MemoryStore(Store[object]):
    """Threads, items and attachments in dictionaries.

    No method yields to the event loop, so each is atomic. Objects are copied when they are saved and loaded, so later
    changes to them do not affect the store.
    """

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.attachments: dict[str, tuple[Owner, Attachment]] = {}

    @override
    def generate_thread_id(self, context: object) -> str:
        return new_id("thread")

    @override
    def generate_item_id(self, item_type: StoreItemType, thread: ThreadMetadata, context: object) -> str:
        return new_id(item_type)

    async def atomically[R](self, work: Callable[[], Awaitable[R]]) -> R:
        """Perform all writes of `work` or none; see `stores.base.WritesAtomically`. A rollback also undoes concurrent
        writes of other tasks."""
        before = deepcopy((self.conversations, self.attachments))
        try:
            return await work()
        except BaseException:
            self.conversations, self.attachments = before
            raise

    # Threads

    @override
    async def load_thread(self, thread_id: str, context: object) -> ThreadMetadata:
        return deepcopy(self.own(thread_id, context).thread)

    @override
    async def save_thread(self, thread: ThreadMetadata, context: object) -> None:
        stored = self._metadata(thread)
        if thread.id in self.conversations:
            self.own(thread.id, context).thread = stored
        else:
            self.conversations[thread.id] = Conversation(self.owner(context), stored)

    async def update_thread(
        self,
        thread_id: str,
        changes: Mapping[str, Any],
        context: object,
        *,
        unless_renamed_from: str | EllipsisType | None = ...,
    ) -> ThreadMetadata:
        """Set single fields of a thread; see `stores.base.PatchesThreads`."""
        conversation, update = self.own(thread_id, context), deepcopy(dict(changes))
        if unless_renamed_from not in (..., conversation.thread.title):
            update.pop("title", None)
        conversation.thread = conversation.thread.model_copy(update=update)
        return deepcopy(conversation.thread)

    @override
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: object
    ) -> Page[ThreadMetadata]:
        owner = self.owner(context)
        threads = [each.thread for each in self.conversations.values() if each.owner == owner]
        # The id makes the order unique, so that all pages agree on it.
        return self.page(sorted(threads, key=lambda each: (each.created_at, each.id)), limit, after, order)

    @override
    async def delete_thread(self, thread_id: str, context: object) -> None:
        conversation = self.conversations.get(thread_id)
        if conversation is not None and conversation.owner == self.owner(context):
            del self.conversations[thread_id]

    # Items

    @override
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: object
    ) -> Page[ThreadItem]:
        return self.page(list(self.items(thread_id, context).values()), limit, after, order)

    @override
    async def load_item(self, thread_id: str, item_id: str, context: object) -> ThreadItem:
        item = self.items(thread_id, context).get(item_id)
        if item is None:
            raise NotFoundError(f"Item {item_id!r} not found")
        return deepcopy(item)

    @override
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        """Add the item at the end of the thread, or update the item with its id in place.

        A pending input request that exists is not added again, so that its answer is not overwritten.
        """
        is_pending = isinstance(item, StructuredInputItem | ClientToolCallItem) and item.status == "pending"
        if is_pending and item.id in self.own(thread_id, context).items:
            return
        await self.save_item(thread_id, item, context)

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        created_at = to_sdk(to_utc(item.created_at))
        stored = item.model_copy(deep=True, update={"created_at": created_at})
        self.own(thread_id, context).items[item.id] = stored

    @override
    async def delete_thread_item(self, thread_id: str, item_id: str, context: object) -> None:
        self.items(thread_id, context).pop(item_id, None)

    async def delete_items_after(self, thread_id: str, item_id: str, context: object) -> Sequence[str]:
        """Delete all items after one; see `stores.base.DeletesTail`."""
        items = self.items(thread_id, context)
        ids = list(items)
        if item_id not in items:
            raise NotFoundError(f"Item {item_id!r} not found")
        deleted = ids[ids.index(item_id) + 1 :][::-1]
        for each in deleted:
            del items[each]
        return deleted

    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: object
    ) -> None:
        """Store feedback; see `stores.base.KeepsFeedback`."""
        feedback, now = self.own(thread_id, context).feedback, utc_now()
        for item_id in item_ids:
            first = feedback[item_id].created_at if item_id in feedback else now
            feedback[item_id] = Feedback(item_id, kind, created_at=first, updated_at=now)

    async def load_feedback(self, thread_id: str, context: object) -> Sequence[Feedback]:
        """The caller's feedback; see `stores.base.KeepsFeedback`."""
        try:
            stored = self.own(thread_id, context).feedback.values()
        except NotFoundError:
            return []
        return sorted(stored, key=lambda each: each.updated_at)

    async def search_threads(self, query: str, limit: int, context: object) -> SearchResult:
        """Find threads by words; see `stores.base.SearchesThreads`. Hits are not ranked."""
        owner, words = self.owner(context), query_words(query)
        hits: list[SearchHit] = []
        for each in self.conversations.values():
            if each.owner == owner and words:
                texts = [
                    (item.id, text) for item in each.items.values() if has_words(text := text_of(item), words)
                ]
                if texts or has_words(each.thread.title or "", words):
                    hits.append(SearchHit(deepcopy(each.thread), texts))
        return SearchResult(words, hits[:limit], has_more=len(hits) > limit)

    # Attachments

    @override
    async def save_attachment(self, attachment: Attachment, context: object) -> None:
        if attachment.id in self.attachments:
            await self.load_attachment(attachment.id, context)
        self.attachments[attachment.id] = self.owner(context), deepcopy(attachment)

    @override
    async def load_attachment(self, attachment_id: str, context: object) -> Attachment:
        owner, attachment = self.attachments.get(attachment_id, (None, None))
        if attachment is None or owner != self.owner(context):
            raise NotFoundError(f"Attachment {attachment_id!r} not found")
        return deepcopy(attachment)

    @override
    async def delete_attachment(self, attachment_id: str, context: object) -> None:
        owner, _ = self.attachments.get(attachment_id, (None, None))
        if owner == self.owner(context):
            del self.attachments[attachment_id]

    # Shared by the methods above

    def owner(self, context: object) -> Owner:
        """The tenant and user that own the rows of a request."""
        return identity_of(context).owner

    def own(self, thread_id: str, context: object) -> Conversation:
        """A conversation of the caller.

        Raises:
            NotFoundError: The thread does not exist or has another owner.
        """
        conversation = self.conversations.get(thread_id)
        if conversation is None or conversation.owner != self.owner(context):
            raise NotFoundError(f"Thread {thread_id!r} not found")
        return conversation

    def items(self, thread_id: str, context: object) -> dict[str, ThreadItem]:
        """The items of a conversation of the caller; empty if it does not exist."""
        try:
            return self.own(thread_id, context).items
        except NotFoundError:
            return {}

    def page[T: (ThreadItem, ThreadMetadata)](
        self, entries: Sequence[T], limit: int, after: str | None, order: str
    ) -> Page[T]:
        """A page of the entries after the id `after`. `entries` has all entries in ascending order.

        Raises:
            NotFoundError: There is no entry with the id `after`.
        """
        ordered = list(reversed(entries)) if order == "desc" else list(entries)
        ids = [each.id for each in ordered]
        if after is not None and after not in ids:
            raise NotFoundError(f"{after!r} not found")
        start = 0 if after is None else ids.index(after) + 1
        end = start + max(1, min(limit, MAX_PAGE))
        data, more = deepcopy(ordered[start:end]), end < len(ordered)
        return Page(data=data, has_more=more, after=data[-1].id if more else None)

    def _metadata(self, thread: ThreadMetadata) -> ThreadMetadata:
        # The SDK may pass a `Thread`, whose items it also adds one by one.
        fields: dict[str, Any] = {name: getattr(thread, name) for name in ThreadMetadata.model_fields}
        fields["created_at"] = to_sdk(to_utc(thread.created_at))
        return ThreadMetadata(**deepcopy(fields))


def has_words(text: str, words: Sequence[str]) -> bool:
    """Whether each of `words` is a prefix of a word of the text."""
    text_words = [each.word for each in words_in(text)]
    return all(any(each.startswith(word) for each in text_words) for word in words)

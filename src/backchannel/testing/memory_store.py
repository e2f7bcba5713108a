"""The reference store: the simplest thing that keeps the whole contract of stores, for tests and for reading.

Not for production: it forgets everything with its process, no other process sees it, and its memory only grows.
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
"""The most entries one page may hold, whatever the caller asks for."""

type Owner = tuple[str, str]


@dataclass(slots=True)
class Conversation:
    """A thread, whose it is, and what is in it.

    Attributes:
        items: By id, in the order in which they were added. A dictionary keeps the place of what is replaced.
        feedback: What the owner thought of an item, by its id.
    """

    owner: Owner
    thread: ThreadMetadata
    items: dict[str, ThreadItem] = field(default_factory=dict[str, ThreadItem])
    feedback: dict[str, Feedback] = field(default_factory=dict[str, Feedback])


class MemoryStore(Store[object]):
    """Threads, items and attachments in dictionaries.

    No method gives way to the event loop, so each is one step. Everything is copied on its way in and out:
    an object that is changed later changes nothing that is kept.
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
        """All that `work` does, or nothing; see `stores.base.WritesAtomically`. What others do meanwhile is undone
        with it."""
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
        kept = self._metadata(thread)
        if thread.id in self.conversations:
            self.own(thread.id, context).thread = kept
        else:
            self.conversations[thread.id] = Conversation(self.owner(context), kept)

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
        # The id decides between threads of the same moment, so that every page agrees on the order.
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
        """Add the item at the end of the thread, or change the one with its id where it stands.

        A question to the person that was asked before is not asked again: its answer, if there is one, stays.
        """
        asks = isinstance(item, StructuredInputItem | ClientToolCallItem) and item.status == "pending"
        if asks and item.id in self.own(thread_id, context).items:
            return
        await self.save_item(thread_id, item, context)

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        created_at = to_sdk(to_utc(item.created_at))
        kept = item.model_copy(deep=True, update={"created_at": created_at})
        self.own(thread_id, context).items[item.id] = kept

    @override
    async def delete_thread_item(self, thread_id: str, item_id: str, context: object) -> None:
        self.items(thread_id, context).pop(item_id, None)

    async def delete_items_after(self, thread_id: str, item_id: str, context: object) -> Sequence[str]:
        """Delete all items after one; see `stores.base.DeletesTail`."""
        items = self.items(thread_id, context)
        ids = list(items)
        if item_id not in items:
            raise NotFoundError(f"Item {item_id!r} not found")
        gone = ids[ids.index(item_id) + 1 :][::-1]
        for each in gone:
            del items[each]
        return gone

    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: object
    ) -> None:
        """Record an opinion; see `stores.base.KeepsFeedback`."""
        feedback, now = self.own(thread_id, context).feedback, utc_now()
        for item_id in item_ids:
            first = feedback[item_id].created_at if item_id in feedback else now
            feedback[item_id] = Feedback(item_id, kind, created_at=first, updated_at=now)

    async def load_feedback(self, thread_id: str, context: object) -> Sequence[Feedback]:
        """The caller's opinions; see `stores.base.KeepsFeedback`."""
        try:
            kept = self.own(thread_id, context).feedback.values()
        except NotFoundError:
            return []
        return sorted(kept, key=lambda each: each.updated_at)

    async def search_threads(self, query: str, limit: int, context: object) -> SearchResult:
        """Find threads by words; see `stores.base.SearchesThreads`. All matches are equally good here."""
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

    # What all of it rests on

    def owner(self, context: object) -> Owner:
        """Whom the rows of a request belong to: tenant and user, and nothing else of the caller."""
        return identity_of(context).owner

    def own(self, thread_id: str, context: object) -> Conversation:
        """A conversation of the caller's.

        Raises:
            NotFoundError: There is none with that id, or it is somebody else's.
        """
        conversation = self.conversations.get(thread_id)
        if conversation is None or conversation.owner != self.owner(context):
            raise NotFoundError(f"Thread {thread_id!r} not found")
        return conversation

    def items(self, thread_id: str, context: object) -> dict[str, ThreadItem]:
        """The items of a conversation of the caller's; none if there is no such conversation."""
        try:
            return self.own(thread_id, context).items
        except NotFoundError:
            return {}

    def page[T: (ThreadItem, ThreadMetadata)](
        self, entries: Sequence[T], limit: int, after: str | None, order: str
    ) -> Page[T]:
        """The entries after the one with the id `after`, given all of them in ascending order.

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
        # A new thread comes as a `Thread`, whose items are added one by one as well.
        fields: dict[str, Any] = {name: getattr(thread, name) for name in ThreadMetadata.model_fields}
        fields["created_at"] = to_sdk(to_utc(thread.created_at))
        return ThreadMetadata(**deepcopy(fields))


def has_words(text: str, words: Sequence[str]) -> bool:
    """Whether each of `words` begins a word of the text."""
    said = [each.word for each in words_in(text)]
    return all(any(each.startswith(word) for each in said) for word in words)

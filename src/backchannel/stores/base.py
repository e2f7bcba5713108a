"""What Backchannel keeps, and the contracts of the parts that keep it.

Threads, items and attachments follow the SDK's own contract, `chatkit.store.Store`; any implementation of it
can be served. What the SDK has no word for stands here. Every method takes the caller and touches only what
belongs to them; somebody else's thing is as good as absent.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType
from typing import Any, Protocol, runtime_checkable

from chatkit.types import FeedbackKind, ThreadMetadata

__all__ = [
    "DeletesTail",
    "Feedback",
    "KeepsFeedback",
    "PatchesThreads",
    "SearchHit",
    "SearchResult",
    "SearchesThreads",
    "WritesAtomically",
]


@runtime_checkable
class PatchesThreads(Protocol):
    """A store that can change single fields of a thread.

    `Store.save_thread` writes a whole thread and so undoes whatever changed since that copy was loaded. A
    store with this method keeps, for example, a rename that happens while an answer streams.
    """

    async def update_thread(
        self,
        thread_id: str,
        changes: Mapping[str, Any],
        context: Any,
        *,
        unless_renamed_from: str | EllipsisType | None = ...,
    ) -> ThreadMetadata:
        """Set the named fields of `ThreadMetadata` and no others; gives the thread as it is afterwards.

        Args:
            unless_renamed_from: If given, a new title is set only where the present one is this one.

        Raises:
            chatkit.store.NotFoundError: The caller has no such thread.
        """
        ...


@runtime_checkable
class WritesAtomically(Protocol):
    """A store that can make one transaction of several calls."""

    async def atomically[R](self, work: Callable[[], Awaitable[R]]) -> R:
        """Run `work`; all that it writes to this store, in this task, is kept, or nothing.

        `work` may be run more than once, each time as if for the first time. After a crash or a lost connection
        at the very end, it may have been kept although an error was raised.
        """
        ...


@runtime_checkable
class DeletesTail(Protocol):
    """A store that can delete everything after an item in one step."""

    async def delete_items_after(self, thread_id: str, item_id: str, context: Any) -> Sequence[str]:
        """Delete all items after `item_id` and give their ids, newest first. All go, or none."""
        ...


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person thought of an answer.

    Attributes:
        created_at: When they first said so, in UTC.
        updated_at: When they last changed it, in UTC.
    """

    item_id: str
    kind: FeedbackKind
    created_at: datetime
    updated_at: datetime


@runtime_checkable
class KeepsFeedback(Protocol):
    """A store that remembers what people thought of answers."""

    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: Any
    ) -> None:
        """Record the caller's opinion of each item. A later opinion replaces an earlier one."""
        ...

    async def load_feedback(self, thread_id: str, context: Any) -> Sequence[Feedback]:
        """The caller's opinions of a thread's items, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A thread that was found.

    Attributes:
        texts: The ids and whole texts of the items that match best, the best first; empty if only the title does.
    """

    thread: ThreadMetadata
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        words: What was looked for, as `stores.words` reads the query.
        hits: The threads, the best match first.
        has_more: Whether there may be more of them.
    """

    words: Sequence[str]
    hits: Sequence[SearchHit]
    has_more: bool


@runtime_checkable
class SearchesThreads(Protocol):
    """A store that can find threads by what was said in them."""

    async def search_threads(self, query: str, limit: int, context: Any) -> SearchResult:
        """The caller's threads with a message or a title in which every word of `query` occurs or begins a word,
        at most `limit`. The query is data: quotes, operators and wildcards mean nothing. Case and accents do not
        count. A query without any letter or digit finds nothing.
        """
        ...

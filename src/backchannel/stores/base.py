"""Optional capabilities of a store beyond the SDK's contract.

Threads, items and attachments follow `chatkit.store.Store`, any implementation of which can be served. Every method
here gets the request's context and reads and changes only rows of the caller; rows of other owners are treated as
missing.
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

    `Store.save_thread` writes a whole thread, and overwrites what changed since that copy was loaded. With this method,
    for example, a rename while an answer streams is not overwritten.
    """

    async def update_thread(
        self,
        thread_id: str,
        changes: Mapping[str, Any],
        context: Any,
        *,
        unless_renamed_from: str | EllipsisType | None = ...,
    ) -> ThreadMetadata:
        """Set only the given fields of `ThreadMetadata`; returns the changed thread.

        Args:
            unless_renamed_from: If given, the title is set only if the current one equals this.

        Raises:
            chatkit.store.NotFoundError: The caller has no such thread.
        """
        ...


@runtime_checkable
class WritesAtomically(Protocol):
    """A store that can run several calls in one transaction."""

    async def atomically[R](self, work: Callable[[], Awaitable[R]]) -> R:
        """Run `work`, and commit all or none of its writes to this store from this task.

        `work` may be run again after a rollback. After a crash or a lost connection during the commit, the writes may
        be committed although an error was raised.
        """
        ...


@runtime_checkable
class DeletesTail(Protocol):
    """A store that can delete all items after a given one atomically."""

    async def delete_items_after(self, thread_id: str, item_id: str, context: Any) -> Sequence[str]:
        """Delete all items after `item_id`, or none if that fails; returns their ids, newest first.

        Raises:
            chatkit.store.NotFoundError: The caller has no such item.
        """
        ...


@dataclass(frozen=True, slots=True)
class Feedback:
    """A user's feedback on an item.

    Attributes:
        created_at: When it was first given, in UTC.
        updated_at: When it was last changed, in UTC.
    """

    item_id: str
    kind: FeedbackKind
    created_at: datetime
    updated_at: datetime


@runtime_checkable
class KeepsFeedback(Protocol):
    """A store of feedback."""

    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: Any
    ) -> None:
        """Store the caller's feedback on each item. It replaces their earlier feedback."""
        ...

    async def load_feedback(self, thread_id: str, context: Any) -> Sequence[Feedback]:
        """The caller's feedback on a thread's items, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A thread that matches a search.

    Attributes:
        texts: Ids and full texts of the best matching items, best first; empty if only the title matches.
    """

    thread: ThreadMetadata
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search.

    Attributes:
        words: The words of the query; see `stores.words.query_words`.
        hits: The matching threads, best first.
        has_more: Whether there may be more matching threads.
    """

    words: Sequence[str]
    hits: Sequence[SearchHit]
    has_more: bool


@runtime_checkable
class SearchesThreads(Protocol):
    """A store with full-text search."""

    async def search_threads(self, query: str, limit: int, context: Any) -> SearchResult:
        """At most `limit` of the caller's threads in which one message, or the title, has for each word of `query` a
        word that begins with it. Quotes, operators and wildcards have no special meaning; case and accents are ignored.
        A query without letters and digits matches nothing.
        """
        ...

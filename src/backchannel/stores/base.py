"""What Backchannel keeps, and the contracts of the parts that keep it.

Threads, items and attachments follow the SDK's own contract, `chatkit.store.Store`; any implementation of it
can be served. What the SDK has no word for stands here. Every method takes the caller and touches only what
belongs to them; somebody else's thing is as good as absent.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from chatkit.types import FeedbackKind

from backchannel.context import Identity, Usage

type RunStatus = Literal["running", "completed", "failed", "cancelled", "interrupted"]


@runtime_checkable
class PatchesThreads(Protocol):
    """A store that can change single fields of a thread.

    `Store.save_thread` writes a whole thread and so undoes whatever changed since that copy was loaded. A
    store with this method keeps, for example, a rename that happens while an answer streams.
    """

    async def update_thread(self, thread_id: str, changes: Mapping[str, Any], context: Any) -> None:
        """Set the named fields of `ThreadMetadata` and no others.

        Raises:
            chatkit.store.NotFoundError: The caller has no such thread.
        """
        ...


@runtime_checkable
class DeletesTail(Protocol):
    """A store that can delete everything after an item in one step."""

    async def delete_items_after(self, thread_id: str, item_id: str, context: Any) -> Sequence[str]:
        """Delete all items after `item_id` and give their ids, newest first. All go, or none."""
        ...


@runtime_checkable
class KeepsFeedback(Protocol):
    """A store that remembers what people thought of answers."""

    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: Any
    ) -> None:
        """Record the caller's opinion of each item. A later opinion replaces an earlier one."""
        ...


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is kept: which thread it answers in, and how that went.

    Attributes:
        operation: The ChatKit op that started it, such as `threads.add_user_message`.
        status: `running` until it ends; `interrupted` if its process died first.
        error_code: Of the error that failed it, else `None`.
        created_at: When it started, in UTC.
        ended_at: When it ended, in UTC; `None` while it runs.
    """

    id: str
    thread_id: str
    operation: str
    status: RunStatus
    created_at: datetime
    error_code: str | None = None
    ended_at: datetime | None = None


class RunStore(ABC):
    """Runs and what they used."""

    @abstractmethod
    async def add(self, run: RunRecord, identity: Identity) -> None:
        """Keep a run that is about to start."""

    @abstractmethod
    async def finish(
        self, run_id: str, status: RunStatus, error_code: str | None, usage: Usage, identity: Identity
    ) -> None:
        """Record the end of a run and book its usage, both or neither. Only a running run can end."""

    @abstractmethod
    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        """One run of the caller's.

        Raises:
            chatkit.store.NotFoundError: The caller has no such run.
        """

    @abstractmethod
    async def of_thread(
        self, thread_id: str, identity: Identity, *, active: bool, limit: int
    ) -> Sequence[RunRecord]:
        """The newest `limit` runs of a thread, newest first; only running ones if `active`."""

    @abstractmethod
    async def interrupt_abandoned(self) -> int:
        """Mark every run that is still `running` as `interrupted`, whoever owns it, and count them.

        For the start of a process that is alone with its database: what runs then was left by a crash.
        """

"""Stored facts about files, and the contract of their store. Their bytes are in a `file_stores.base.FileStore`.

A row exists before its bytes do and is deleted before they are: a crash in between leaves bytes that a row, or a
scheduled deletion, still names. Nothing is found by listing the file store.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backchannel.context import Identity

type FileStatus = Literal["pending", "stored", "sent"]
"""`pending`: its bytes are not checked, and nobody can read them. `stored`: checked, and not part of a message yet.
`sent`: part of a message of a thread."""

type FileKind = Literal["image", "pdf", "text", "binary"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that somebody uploads or uploaded.

    Attributes:
        id: `atc_…`, the attachment's.
        identity: Its owner: tenant and user only.
        status: See `FileStatus`.
        name: As it is shown to people; never part of a path.
        mime_type: As announced; once it is stored, as found in its bytes.
        kind: What it is to a model; `binary` while it is pending.
        size: In bytes; while it is pending, as announced.
        created_at: When it was announced or received, in UTC.
        expires_at: When it is deleted if it is part of no message by then, in UTC; `None` once it is.
        version: Names the upload whose bytes it has, among several of one file; empty while it is pending.
        thread_id: The thread whose messages it is part of, if any.
        width: In pixels; of pictures only.
        height: In pixels; of pictures only.
        preview_type: The MIME type of its preview; `None` without one.
        model_type: The MIME type of its form for models (a scaled picture, or text); `None` without one.
        tokens: About how many tokens that form has for a model.
    """

    id: str
    identity: Identity
    status: FileStatus
    name: str
    mime_type: str
    kind: FileKind
    size: int
    created_at: datetime
    expires_at: datetime | None = None
    version: str = ""
    thread_id: str | None = None
    width: int | None = None
    height: int | None = None
    preview_type: str | None = None
    model_type: str | None = None
    tokens: int = 0


class QuotaExceededError(Exception):
    """The owner's files would have more bytes than they may.

    Attributes:
        used: The bytes of all of them.
    """

    def __init__(self, used: int) -> None:
        super().__init__(used)
        self.used = used


class FileRecords(ABC):
    """The store of these rows. Every method raises `UnavailableError` if the database cannot be reached."""

    @abstractmethod
    async def add(self, record: FileRecord, quota: int | None) -> None:
        """Store a new file, if the owner's files have at most `quota` bytes with it; exact also while others are added
        at the same time, on all replicas.

        Raises:
            QuotaExceededError: They would have more.
        """

    @abstractmethod
    async def load(self, file_id: str, identity: Identity) -> FileRecord | None:
        """One of the caller's files; `None` if there is none, or it is somebody else's."""

    @abstractmethod
    async def load_many(self, file_ids: Sequence[str], identity: Identity) -> Sequence[FileRecord]:
        """Those of the caller's files that exist, in no particular order."""

    @abstractmethod
    async def find(self, file_id: str) -> FileRecord | None:
        """A file of any owner, for a request with a signature, which then says for whom it was made."""

    @abstractmethod
    async def complete(self, record: FileRecord) -> bool:
        """Store what was found in the bytes of a pending file; gives whether it was still pending."""

    @abstractmethod
    async def extend(self, file_ids: Sequence[str], identity: Identity, expires_at: datetime) -> None:
        """Delete files that are part of no message later than before."""

    @abstractmethod
    async def mark_sent(self, file_ids: Sequence[str], thread_id: str, identity: Identity) -> int:
        """Note that stored files are part of a message of a thread; gives how many of them are now. Those that are part
        of another thread, or pending, are left as they are.

        In the transaction of the caller, if there is one."""

    @abstractmethod
    async def used(self, identity: Identity) -> int:
        """The bytes of all files of the caller."""

    @abstractmethod
    async def delete(self, file_id: str, identity: Identity) -> bool:
        """Delete one of the caller's files that is part of no message, and schedule the deletion of its bytes; gives
        whether there was one."""

    @abstractmethod
    async def delete_by_thread(self, thread_id: str, identity: Identity) -> int:
        """The same for all files of a thread."""

    @abstractmethod
    async def delete_expired(self, now: datetime, limit: int) -> int:
        """The same for up to `limit` files of all owners that are part of no message and whose time has come."""

    @abstractmethod
    async def due_deletions(self, now: datetime, limit: int) -> Sequence[str]:
        """Files whose bytes are to be deleted now. Those are deferred for a while, so that other replicas leave them to
        this one, and so that they are tried again if it dies."""

    @abstractmethod
    async def has_deletions(self) -> bool:
        """Whether the deletion of any bytes is scheduled."""

    @abstractmethod
    async def deletions_done(self, file_ids: Sequence[str], now: datetime) -> None:
        """Note that the bytes were deleted. An upload that was still in progress may write them once more: they are
        deleted a second time when none can be any more, and then forgotten."""

    @abstractmethod
    async def known(self, file_ids: Sequence[str]) -> frozenset[str]:
        """Those of the ids that have a row or a scheduled deletion: the bytes of all others are orphans."""

    @abstractmethod
    async def list_stored(self, after: str, limit: int) -> Sequence[FileRecord]:
        """Files of all owners whose bytes must be there, with an id greater than `after`, by id."""

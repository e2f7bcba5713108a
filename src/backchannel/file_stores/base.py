"""The contract of file stores: bytes under keys, whole or not at all.

A file store knows no owners, no names of files and no quotas; `stores` has those. A key is chosen by the server, is
opaque, and is nothing that a person typed: `check_key` has its form. No key may be a folder of another one: on a disk a
file cannot have files below it. What is written under a key replaces what was
there before, for all readers at once; a reader that has begun may go on with what it began or fail, and never gets
bytes of both.

A store without presigned URLs is read and written by this server only. With them, a browser sends and fetches bytes at
the store itself, with a URL that is good for one method, one key and a limited time. Such a URL can be used again
until it expires: bytes that a browser wrote have to be copied to another key before they are checked.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

MAX_KEY_CHARS = 512
"""The clouds take 1,024 bytes with the prefix of the store's URL."""

MAX_SEGMENT_CHARS = 200
"""File systems take 255 bytes."""

MAX_PRESIGNED_SECONDS = 604_800
"""The longest life of a presigned URL: a week, by the rules of S3 and Google."""

PIECE_BYTES = 262_144
"""The least size of the pieces that `FileStore.read` yields, but of the last."""

MAX_PIECE_BYTES = 1_048_576
"""The largest size of the pieces that `FileStore.read` yields."""

# A segment that begins with a dot is nobody's key: "..", the spool and the files that systems leave in folders.
_KEY = re.compile(r"[a-z0-9_-][a-z0-9_.-]*(?:/[a-z0-9_-][a-z0-9_.-]*)*")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a list says of a file.

    Attributes:
        size: In bytes.
        modified: When it was written, or copied to where it is; aware, in UTC, by the clock of the store.
    """

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """The request by which a browser sends the bytes of one file straight to the store. Any 2xx answer is a success.

    Attributes:
        url: Contains the signature, and is a secret until it expires.
        headers: All that have to be sent with exactly these values. `Content-Length` is none of them: browsers set it
            themselves, and no script may.
    """

    url: str
    method: Literal["PUT"]
    headers: Mapping[str, str]


class FileMissingError(Exception):
    """There is no file with this key. No error for callers of the server: they know nothing of keys."""


class FileStore(ABC):
    """Bytes under keys.

    Every method raises `backchannel.errors.UnavailableError` if the store cannot be reached, does not answer in time,
    or refuses this server; a later call may succeed. Each call has a time-out, which grows with the bytes that it
    sends. Methods raise `ValueError` for a key that `check_key` refuses. They may be called at the same time, also for
    the same key, and may be cancelled.

    Attributes:
        presigns: Whether browsers can read and write by presigned requests.
        origins: The origins (`https://HOST[:PORT]`) at which browsers reach the store, for a Content-Security-Policy;
            empty without presigned URLs.
        spool_directory: Where a file has to be prepared so that `put` can move it in place of copying it; `None` if
            that makes no difference. The store neither makes this directory nor deletes anything in it.
    """

    presigns: bool
    origins: Sequence[str]
    spool_directory: Path | None

    @abstractmethod
    async def put(self, key: str, source: Path | bytes, *, mime_type: str, disposition: str) -> None:
        """Store a file, in place of the one that has this key.

        Whole or not at all: after an error, a crash or a cancellation the key has the file that it had before, or none,
        or all of the new one. Once it returns, the file survives a crash of this machine (local disk) or what the cloud
        promises. May be repeated. A cloud may complete it shortly after an error or a cancellation.

        Args:
            source: The bytes, or a file on local disk. The file may be moved by it (local disk), also if it is
                cancelled; otherwise it is left where it is. It must not be written to meanwhile,
                nor after a cancellation: what sends it may still read it then. It may be deleted.
            mime_type: Stored with the file, for readers of a presigned URL, where the store has a place for it.
            disposition: The value of a `Content-Disposition` header, printable ASCII; likewise.

        Raises:
            OSError: The file of `source` cannot be read.
            ValueError: `mime_type` or `disposition` cannot be the value of a header.
        """

    @abstractmethod
    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to and without `end`, or to the end of the file; those of them that exist.

        Pieces have `PIECE_BYTES` to `MAX_PIECE_BYTES`, the last one may be smaller, and none is empty. The time-out is
        that of each piece, and starts when the piece is asked for. An iteration that is not finished should be closed
        (`aclose`).

        Raises:
            FileMissingError: There is no file with this key; raised before the first piece.
        """

    @abstractmethod
    async def size(self, key: str) -> int:
        """The size of a file in bytes.

        Raises:
            FileMissingError: There is no file with this key.
        """

    @abstractmethod
    async def copy(self, source: str, key: str) -> None:
        """Store the bytes, type and disposition of one key under another one as well. They do not pass this server.

        Whole or not at all, as `put`. A later change of `source` does not change the copy.

        Raises:
            FileMissingError: There is no file with the key `source`.
        """

    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> None:
        """Delete files. Those that do not exist are no error. After an error some may be deleted. May be repeated."""

    @abstractmethod
    def list(self, prefix: str = "") -> AsyncIterator[StoredFile]:
        """All files whose keys begin with the prefix: empty, or whole segments with a slash at the end. In any order.

        What is written or deleted meanwhile may be in it or not. Files with keys that `check_key` refuses are left out:
        they are not ours.

        Raises:
            ValueError: The prefix has another form.
        """

    @abstractmethod
    async def presign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        """The request by which a browser writes the file of a key; only if the store `presigns`.

        What exactly the signature demands depends on the store (`docs/reference/file-stores.md`): on S3 with keys in
        the environment the method, the key, the host, the type, the size and the disposition; elsewhere the method and
        the key only. The caller has to check the size and the bytes that arrived.

        Args:
            mime_type: The type with which the bytes are sent and stored.
            size: How many bytes will be sent.
            disposition: The value of a `Content-Disposition` header, printable ASCII; stored with the file.
            seconds: For how long the request is good: 1 to `MAX_PRESIGNED_SECONDS`. It ends earlier if the credentials
                of the server do. The clocks of the server and of the store have to agree within some minutes.

        Raises:
            ValueError: An argument has an impossible value.
        """

    @abstractmethod
    async def presign_get(self, key: str, *, seconds: int, mime_type: str, disposition: str) -> str:
        """The URL by which a browser reads the file of a key; only if the store `presigns`.

        Whether the file exists is not checked. The answer has the given type and disposition, or those with which the
        file was stored, where a URL cannot change them (`docs/reference/file-stores.md`).

        Args:
            seconds: See `presign_put`.

        Raises:
            ValueError: An argument has an impossible value.
        """

    @abstractmethod
    async def check(self) -> None:
        """Check that the store can be reached, that its bucket exists, and that presigned URLs can be made.

        Raises:
            UnavailableError: It cannot. The message says why, and has no secrets.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections. May be repeated."""


def check_key(key: str) -> str:
    """The key: segments of `a-z0-9_.-` that do not begin with a dot, separated by single slashes; at most
    `MAX_KEY_CHARS`, and `MAX_SEGMENT_CHARS` each.

    Raises:
        ValueError: It is none.
    """
    if not is_key(key):
        raise ValueError(f"{key!r} is no key of a file store.")
    return key


def is_key(key: str) -> bool:
    """Whether a file store could have written something under this name."""
    if len(key) > MAX_KEY_CHARS or not _KEY.fullmatch(key):
        return False
    return all(len(segment) <= MAX_SEGMENT_CHARS for segment in key.split("/"))


def check_prefix(prefix: str) -> str:
    """The prefix of a list: empty, or whole segments of keys with a slash at the end.

    Raises:
        ValueError: It has another form.
    """
    if prefix and not (prefix.endswith("/") and is_key(prefix[:-1])):
        raise ValueError(f"{prefix!r} is no folder of a file store.")
    return prefix


def header_value(text: str) -> str:
    """A value as it can be sent and signed: printable ASCII without two spaces in a row.

    Raises:
        ValueError: There is another character in it, such as a line break.
    """
    # Spaces in a row are one in a signature, and are sent as they are.
    text = re.sub(" {2,}", " ", text).strip(" ")
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"{text!r} cannot be the value of a header.")
    return text


def check_seconds(seconds: int) -> int:
    """The life of a presigned URL in seconds.

    Raises:
        ValueError: It is out of range.
    """
    if not 1 <= seconds <= MAX_PRESIGNED_SECONDS:
        raise ValueError(f"A presigned URL can be good for 1 to {MAX_PRESIGNED_SECONDS} seconds.")
    return seconds

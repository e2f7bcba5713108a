"""File stores over obstore: memory, S3, Azure Blob Storage, Google Cloud Storage. `local_store` adds the local disk."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, override

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from backchannel.errors import UnavailableError
from backchannel.file_stores.base import (
    MAX_PIECE_BYTES,
    PIECE_BYTES,
    FileMissingError,
    FileStore,
    StoredFile,
    UploadTarget,
    check_key,
    check_prefix,
    check_seconds,
    header_value,
    is_key,
)
from backchannel.file_stores.signers import Signer

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

CALL_SECONDS = 30.0
"""How long a call may take that sends and receives little; also the wait for one piece of a file."""

SLOWEST_BYTES_PER_SECOND = 262_144
"""A call may take a second longer for each of these that it sends."""

CHUNK_BYTES = 8 * 1_048_576
"""Larger files are sent in parts of this size. S3 demands 5 MiB, and takes 10,000 parts: files of up to 80 GiB."""

CONCURRENT_PARTS = 2
"""How many parts are sent at once. Two hide most of the waiting; each is in memory."""

CONCURRENT_DELETIONS = 8
"""How many files are deleted at once. Not in one request: some servers that speak S3 have none for that, and Azure ends
at the first file that does not exist."""

COPY_POLLS, COPY_POLL_SECONDS = 120, 0.25
"""How often, and with which pause, a copy is looked at that a store has accepted and makes by itself, as Azure may."""

RETRY_AFTER_SECONDS = 2

_NO_BUCKET = "Its bucket, container or folder does not exist"
_REFUSED = "It refuses the credentials of this server"

_NO_FILE = ("(os error 20)", "(os error 21)")
"""On a disk: the key has a file above it, or is a folder."""

_REASONS = {
    "NoSuchBucket": _NO_BUCKET,
    "ContainerNotFound": _NO_BUCKET,
    "The specified bucket does not exist": _NO_BUCKET,
    "RequestTimeTooSkewed": "Its clock and that of this machine differ",
    "redirect without LOCATION": "Its region or its endpoint is not the configured one",
    "PermanentRedirect": "Its region or its endpoint is not the configured one",
    "AuthorizationHeaderMalformed": "Its region is not the configured one",
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "AuthenticationFailed": _REFUSED,
    "ExpiredToken": "The temporary credentials of this server have expired",
    "InvalidToken": _REFUSED,
    "AccessDenied": _REFUSED,
    "os error 28": "Its disk is full",
    "os error 122": "Its disk is full",
    "os error 30": "Its disk is read-only",
}
"""What operators get to know, by words of the store's error. The error itself may contain names of keys."""


class ObjectFileStore(FileStore):
    """Files in a store of obstore.

    Args:
        store: With the prefix of all keys.
        name: What it is to operators, such as `s3://bucket`: part of the messages of errors.
        signer: Makes presigned URLs; `None` for none.
        abort_uploads: Removes the parts of interrupted uploads of a key, with a bound and without errors. Without it
            they are for a rule of the bucket (S3, Google: `AbortIncompleteMultipartUpload`); Azure removes them after a
            week.
        attributes: Whether the store has a place for the type and the disposition of a file.
        timeout: See `CALL_SECONDS`.
    """

    def __init__(
        self,
        store: "ObjectStore",
        *,
        name: str,
        signer: Signer | None = None,
        abort_uploads: Callable[[str], Awaitable[None]] | None = None,
        attributes: bool = True,
        timeout: float = CALL_SECONDS,
    ) -> None:
        self.presigns = signer is not None
        self.origins: Sequence[str] = (signer.origin,) if signer is not None else ()
        self.spool_directory: Path | None = None
        self._store = store
        self._name = name
        self._signer = signer
        self._abort_uploads = abort_uploads
        self._attributes = attributes
        self._timeout = timeout

    @override
    async def put(self, key: str, source: Path | bytes, *, mime_type: str, disposition: str) -> None:
        check_key(key)
        attributes = {
            "Content-Type": header_value(mime_type),
            "Content-Disposition": header_value(disposition),
        }
        # Without this a file that cannot be read would look like a key that does not exist.
        size = len(source) if isinstance(source, bytes) else (await asyncio.to_thread(source.stat)).st_size
        try:
            with self._errors(missing=False):
                async with asyncio.timeout(self._seconds(size)):
                    await obstore.put_async(
                        self._store,
                        key,
                        source,
                        attributes=attributes if self._attributes else None,
                        chunk_size=CHUNK_BYTES,
                        max_concurrency=CONCURRENT_PARTS,
                    )
        except BaseException:
            # After some errors obstore removes the parts that it has sent; after a cancellation or a time-out never.
            if size > CHUNK_BYTES and self._abort_uploads is not None:
                await asyncio.shield(asyncio.ensure_future(self._abort_uploads(key)))
            raise

    @override
    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        check_key(key)
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"There are no bytes from {start} to {end}.")
        if start or end is not None:
            # Stores disagree about ranges that are empty, or begin after the end.
            end = min(end if end is not None else 2**63, await self.size(key))
            if start >= end:
                return
        options: obstore.GetOptions = {} if end is None else {"range": (start, end)}
        with self._errors():
            async with asyncio.timeout(self._timeout):
                stream = (await obstore.get_async(self._store, key, options=options)).stream(PIECE_BYTES)
        while (piece := await self._next(stream)) is not None:
            # The store in memory gives a whole file as one piece.
            for at in range(0, len(piece), MAX_PIECE_BYTES):
                yield bytes(piece[at : at + MAX_PIECE_BYTES])

    async def _next(self, stream: "obstore.BytesStream") -> memoryview | None:
        with self._errors():
            async with asyncio.timeout(self._timeout):
                try:
                    return memoryview(await anext(stream))
                except StopAsyncIteration:
                    return None

    @override
    async def size(self, key: str) -> int:
        check_key(key)
        with self._errors():
            async with asyncio.timeout(self._timeout):
                return (await obstore.head_async(self._store, key))["size"]

    @override
    async def copy(self, source: str, key: str) -> None:
        check_key(key)
        size = await self.size(source)
        if source == key:
            return
        with self._errors():
            async with asyncio.timeout(self._seconds(size)):
                await obstore.copy_async(self._store, source, key)
        for _ in range(COPY_POLLS):
            # Azure may answer before it has copied everything.
            if await self.size(key) == size:
                return
            await asyncio.sleep(COPY_POLL_SECONDS)
        raise self._unavailable("It has not completed a copy")

    @override
    async def delete(self, keys: Sequence[str]) -> None:
        waiting = list(dict.fromkeys(check_key(key) for key in keys))[::-1]

        async def delete_waiting() -> None:
            while waiting:
                await self._delete(waiting.pop())

        with self._errors(missing=False):
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(CONCURRENT_DELETIONS, len(waiting))):
                        group.create_task(delete_waiting())
            except* UnavailableError as errors:
                raise errors.exceptions[0] from None

    async def _delete(self, key: str) -> None:
        with suppress(FileMissingError), self._errors():
            async with asyncio.timeout(self._timeout):
                await obstore.delete_async(self._store, key)

    @override
    async def list(self, prefix: str = "") -> AsyncGenerator[StoredFile]:
        with self._errors(missing=False):
            stream = _list(self._store, check_prefix(prefix))
        while True:
            with self._errors(missing=False):
                async with asyncio.timeout(self._timeout):
                    try:
                        found = await anext(stream)
                    except StopAsyncIteration:
                        return
            for each in found:
                if is_key(each["path"]):
                    yield StoredFile(each["path"], each["size"], each["last_modified"])

    @override
    async def presign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        if size < 0:
            raise ValueError("A file has 0 bytes or more.")
        signer = self._presigning()
        with self._errors(missing=False):
            async with asyncio.timeout(self._timeout):
                return await signer.sign_put(
                    check_key(key),
                    mime_type=header_value(mime_type),
                    size=size,
                    disposition=header_value(disposition),
                    seconds=check_seconds(seconds),
                )

    @override
    async def presign_get(self, key: str, *, seconds: int, mime_type: str, disposition: str) -> str:
        signer = self._presigning()
        with self._errors(missing=False):
            async with asyncio.timeout(self._timeout):
                return await signer.sign_get(
                    check_key(key),
                    mime_type=header_value(mime_type),
                    disposition=header_value(disposition),
                    seconds=check_seconds(seconds),
                )

    def _presigning(self) -> Signer:
        if self._signer is None:
            raise ValueError(f"The file store {self._name} has no presigned URLs.")
        return self._signer

    @override
    async def check(self) -> None:
        # A list is the request that tells a bucket that does not exist from a file that does not.
        with self._errors(missing=False):
            async with asyncio.timeout(self._timeout):
                with suppress(StopAsyncIteration):
                    await anext(_list(self._store, "check/"))
        if self.presigns:
            await self.presign_get("check", seconds=60, mime_type="text/plain", disposition="inline")

    @override
    async def aclose(self) -> None:
        """Nothing to do: obstore closes its connections when they are idle, and with the process."""

    def _seconds(self, size: int) -> float:
        return self._timeout + size / SLOWEST_BYTES_PER_SECOND

    @contextmanager
    def _errors(self, *, missing: bool = True) -> Generator[None]:
        """Translate errors of obstore and of the file system.

        Args:
            missing: Whether something that does not exist is the file; otherwise it is the bucket.
        """
        try:
            yield
        except FileNotFoundError as error:
            if missing and not _reason(error, ""):
                raise FileMissingError from None
            raise self._unavailable(_reason(error, _NO_BUCKET)) from error
        except TimeoutError as error:
            raise self._unavailable("It does not answer in time") from error
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            raise self._unavailable(_reason(error, _REFUSED)) from error
        except (BaseError, OSError) as error:
            if missing and any(words in str(error) for words in _NO_FILE):
                raise FileMissingError from None
            raise self._unavailable(_reason(error, "It cannot be reached, or has failed")) from error

    def _unavailable(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"The file store {self._name} is not available. {reason}.", retry_after=RETRY_AFTER_SECONDS
        )


def _list(store: "ObjectStore", prefix: str) -> AsyncIterator[Sequence["ObjectMeta"]]:
    # One of its overloads has types of a library that is not installed.
    listing: Callable[..., AsyncIterator[Sequence[ObjectMeta]]] = cast("Any", obstore).list
    return listing(store, prefix or None)


def _reason(error: Exception, usual: str) -> str:
    text = f"os error {error.errno}" if isinstance(error, OSError) and error.errno else str(error)
    return next((reason for words, reason in _REASONS.items() if words in text), usual)

"""What can be done with files: announce, receive, check, read, delete.

The order of every upload: the bytes are received into a temporary file and checked there; then a row with their size is
stored, which the quota is counted by; then they are written to the file store, under keys that nobody else writes; then
the row says that they are there. A crash between any two leaves a row that expires, and with it its bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from backchannel.context import Identity
from backchannel.errors import BackchannelError, ConflictError, InvalidInputError, NotFoundError
from backchannel.errors.files import FileQuotaError, UploadIncompleteError
from backchannel.faultpoints import reached
from backchannel.file_checks.examine import Examined, Examiner
from backchannel.file_checks.names import DEFAULT_NAME, content_disposition, display_name
from backchannel.file_checks.types import AllowedTypes, declared_type, kind_of
from backchannel.file_stores.base import FileMissingError, FileStore, UploadTarget
from backchannel.files.keys import Form, folder_of, key_of, new_version, upload_key, version_key
from backchannel.files.spool import Spool, SpooledFile, too_large
from backchannel.ids import new_id
from backchannel.model_calls.tokens import estimate_tokens
from backchannel.scanners.base import Scanner
from backchannel.stores.file_records import FileRecord, FileRecords, QuotaExceededError
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

PICTURE_TOKENS = 1_500
"""About what a picture of the size that models get costs: 1,000 to 2,500 tokens, by the documentation of OpenAI and
Anthropic."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What people may upload.

    Attributes:
        max_bytes: The most bytes of one file.
        quota: The most bytes of all files of a user; `None` for no limit.
        types: The types that are taken.
        unsent: After what time a file that is part of no message is deleted.
        upload_seconds: How long after its announcement a file may be uploaded.
    """

    max_bytes: int
    quota: int | None
    types: AllowedTypes
    unsent: timedelta
    upload_seconds: int


class Files:
    """The files of all users. Methods with an `identity` only touch that caller's.

    Args:
        records: What is known of each.
        store: Their bytes.
        examiner: Decides what they are.
        scanner: Looks for viruses; `None` for none.
        spool: Uploads in progress.
    """

    def __init__(
        self,
        records: FileRecords,
        store: FileStore,
        examiner: Examiner,
        scanner: Scanner | None,
        spool: Spool,
        limits: FileLimits,
    ) -> None:
        self.records = records
        self.store = store
        self.spool = spool
        self.limits = limits
        self._examiner = examiner
        self._scanner = scanner

    async def announce(self, identity: Identity, name: str, mime_type: str, size: int) -> FileRecord:
        """Store that a file will be uploaded. It counts for the quota from now on.

        Raises:
            InvalidInputError: The file is empty, or its size is no number of bytes.
            UnsupportedTypeError: Files of its type are not taken.
            TooLargeError: It is too large.
            FileQuotaError: The caller's files have too many bytes with it.
        """
        if size < 1:
            raise empty()
        if size > self.limits.max_bytes:
            raise too_large(self.limits.max_bytes)
        name = display_name(name)
        mime_type = declared_type(mime_type, name)
        self.limits.types.check(mime_type, name)
        now = utc_now()
        record = FileRecord(
            id=new_id("attachment"),
            identity=Identity(identity.user, tenant=identity.tenant),
            status="pending",
            name=name,
            mime_type=mime_type,
            kind="image" if mime_type.startswith("image/") else "binary",
            size=size,
            created_at=now,
            expires_at=now + timedelta(seconds=self.limits.upload_seconds),
        )
        await self._add(record)
        return record

    async def receive(
        self, identity: Identity, spooled: SpooledFile, name: str, mime_type: str
    ) -> FileRecord:
        """Check and store a file that has been received.

        Raises:
            UnsupportedTypeError: Files of its type are not taken, or its type is not what its name or sender says.
            InvalidFileError: It is damaged.
            InfectedFileError: The scanner found something.
            FileQuotaError: The caller's files have too many bytes with it.
            UnavailableError: It could not be checked or stored now.
        """
        if not spooled.size:
            raise empty()
        examined = await self._check(spooled.path, name, mime_type)
        name = _named(name, examined)
        now = utc_now()
        pending = FileRecord(
            id=new_id("attachment"),
            identity=Identity(identity.user, tenant=identity.tenant),
            status="pending",
            name=name,
            mime_type=examined.mime_type,
            kind=examined.kind,
            size=spooled.size,
            created_at=now,
            expires_at=now + self.limits.unsent,
        )
        reached("file.received")
        await self._add(pending)
        reached("file.announced")
        try:
            return await self._store(pending, spooled.path, examined)
        except BaseException:
            # Also for a caller who was cancelled. If it fails, the row expires.
            await asyncio.shield(self._give_up(pending))
            raise

    async def fill(self, record: FileRecord, spooled: SpooledFile) -> FileRecord:
        """Check and store the bytes of an announced file. May be repeated until it succeeds; once it has, the file
        stays as it is.

        Raises:
            BackchannelError: See `receive`. The file is still announced then, and can be uploaded again.
        """
        if record.status != "pending":
            return record
        if spooled.size != record.size:
            raise InvalidInputError(
                f"{record.name} was announced with {record.size:,} bytes, and {spooled.size:,} arrived. "
                "Upload it again."
            )
        examined = await self._check(spooled.path, record.name, record.mime_type)
        return await self._store(record, spooled.path, examined)

    async def verify(self, record: FileRecord) -> FileRecord:
        """Check the bytes that a browser wrote to the file store itself.

        They are first copied to where only the server writes: the browser could still replace the others.

        Raises:
            UploadIncompleteError: They are not there.
            BackchannelError: See `fill`.
        """
        incoming = upload_key(record.id)
        try:
            if not self.store.presigns or await self.store.size(incoming) != record.size:
                raise incomplete(record)
            version = new_version()
            await self.store.copy(incoming, version_key(record.id, version))
        except FileMissingError:
            raise incomplete(record) from None
        try:
            async with self.spool.open() as spooled:
                await spooled.write_all(self.store.read(version_key(record.id, version)))
                if spooled.size != record.size:
                    raise incomplete(record)
                examined = await self._check(spooled.path, record.name, record.mime_type)
            stored = await self._store_forms(record, version, examined)
        except BaseException:
            await asyncio.shield(self._delete_version(record.id, version))
            raise
        await self.store.delete([incoming])
        return stored

    async def prepare(self, file_ids: Sequence[str], identity: Identity) -> None:
        """Check that files can be sent in a message, and see to it that none is deleted while it waits to be.

        Raises:
            NotFoundError: One does not exist.
            UploadIncompleteError: The bytes of one have not arrived.
            BackchannelError: See `verify`.
        """
        found = {record.id: record for record in await self.records.load_many(file_ids, identity)}
        for file_id in file_ids:
            if (record := found.get(file_id)) is None:
                raise NotFoundError("An attachment of this message does not exist. Upload it again.")
            if record.status == "pending":
                await self.verify(record)
        if file_ids:
            await self.records.extend(file_ids, identity, utc_now() + self.limits.unsent)

    async def send(self, file_ids: Sequence[str], thread_id: str, identity: Identity) -> Sequence[FileRecord]:
        """Make files part of a message of a thread, in the transaction of the caller; gives them in the same order.

        Raises:
            NotFoundError: One does not exist.
            UploadIncompleteError: One is not checked.
            ConflictError: One is part of another thread.
        """
        if not file_ids:
            return ()
        sent = await self.records.mark_sent(file_ids, thread_id, identity)
        found = {record.id: record for record in await self.records.load_many(file_ids, identity)}
        for file_id in file_ids:
            record = found.get(file_id)
            if record is None:
                raise NotFoundError("An attachment of this message does not exist. Upload it again.")
            if record.status == "pending":
                raise incomplete(record)
            if record.thread_id != thread_id:
                raise ConflictError(f"{record.name} is part of another conversation. Upload it again.")
        assert sent == len(found)
        return [found[file_id] for file_id in file_ids]

    async def delete(self, file_id: str, identity: Identity) -> None:
        """Delete a file that is part of no message.

        Raises:
            NotFoundError: There is none.
            ConflictError: It is part of a message.
        """
        if await self.records.delete(file_id, identity):
            return
        if await self.records.load(file_id, identity) is None:
            raise NotFoundError(f"There is no attachment {file_id}.")
        raise ConflictError("This file is part of a message. It is deleted with the conversation.")

    def read(
        self, record: FileRecord, form: Form = "original", start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes of a stored file.

        Raises:
            FileMissingError: They are not there, before the first piece.
        """
        return self.store.read(key_of(record, form), start, end)

    async def upload_target(self, record: FileRecord) -> UploadTarget:
        """Where a browser can write the bytes of an announced file; only if the store `presigns`."""
        return await self.store.presign_put(
            upload_key(record.id),
            mime_type=record.mime_type,
            size=record.size,
            disposition=content_disposition(record.name),
            seconds=self.limits.upload_seconds,
        )

    async def aclose(self) -> None:
        """Close the connections to the file store and to the scanner."""
        await self.store.aclose()
        if self._scanner is not None:
            await self._scanner.aclose()

    async def _check(self, path: Path, name: str, mime_type: str) -> Examined:
        if self._scanner is not None:
            await self._scanner.scan(path)
        return await self._examiner.examine(path, name=name, mime_type=mime_type)

    async def _add(self, record: FileRecord) -> None:
        try:
            await self.records.add(record, self.limits.quota)
        except QuotaExceededError as error:
            quota = self.limits.quota or 0
            raise FileQuotaError(
                f"Your files would have more than {quota:,} bytes with {record.name} ({record.size:,} bytes). "
                "Delete conversations with files that you do not need any more.",
                details={"quota_bytes": quota, "used_bytes": error.used},
            ) from None

    async def _store(self, pending: FileRecord, path: Path, examined: Examined) -> FileRecord:
        version = new_version()
        try:
            await self.store.put(
                version_key(pending.id, version),
                path,
                mime_type=examined.mime_type,
                disposition=content_disposition(pending.name),
            )
            reached("file.written")
            return await self._store_forms(pending, version, examined)
        except BaseException:
            await asyncio.shield(self._delete_version(pending.id, version))
            raise

    async def _store_forms(self, pending: FileRecord, version: str, examined: Examined) -> FileRecord:
        """Write what was made of a file, and note that it is stored."""
        disposition = content_disposition(pending.name)
        forms: tuple[tuple[Form, bytes | None, str | None], ...] = (
            ("preview", examined.preview, examined.preview_type),
            ("model", examined.model_form, examined.model_type),
        )
        for form, data, mime_type in forms:
            if data is not None and mime_type is not None:
                key = version_key(pending.id, version, form)
                await self.store.put(key, data, mime_type=mime_type, disposition=disposition)
        record = replace(
            pending,
            status="stored",
            version=version,
            mime_type=examined.mime_type,
            kind=examined.kind,
            width=examined.width,
            height=examined.height,
            preview_type=examined.preview_type,
            model_type=examined.model_type,
            tokens=_tokens(examined),
            expires_at=utc_now() + self.limits.unsent,
        )
        reached("file.formed")
        if await self.records.complete(record):
            reached("file.stored")
            return record
        # Another upload of the same file was faster, or the file was deleted meanwhile.
        current = await self.records.load(record.id, record.identity)
        if current is None:
            raise NotFoundError("This file was deleted while it was uploaded.")
        await self._delete_version(record.id, version)
        return current

    async def _delete_version(self, file_id: str, version: str) -> None:
        prefix = f"{folder_of(file_id)}{version}"
        # What remains is deleted with the file.
        with suppress(BackchannelError):
            await self.store.delete([f"{prefix}{suffix}" for suffix in ("", ".preview", ".model")])

    async def _give_up(self, record: FileRecord) -> None:
        try:
            await self.records.delete(record.id, record.identity)
        except BackchannelError as error:
            log.warning("upload_left_to_expire", file_id=record.id, error=error.message)


def _named(name: str, examined: Examined) -> str:
    """The name of a file, as it is shown; what has none, such as a picture from a clipboard, gets one of its type."""
    if name.strip():
        return display_name(name)
    extensions = kind_of(examined.mime_type).extensions
    return f"{DEFAULT_NAME}.{extensions[0]}" if extensions else DEFAULT_NAME


def _tokens(examined: Examined) -> int:
    if examined.kind == "image":
        return PICTURE_TOKENS
    if examined.model_form is None:
        return 0
    return estimate_tokens(examined.model_form.decode("utf-8", "replace"))


def empty() -> InvalidInputError:
    """The error of a file without bytes. Some browsers send one in place of a file that they cannot read."""
    return InvalidInputError("The file is empty. Choose another one.")


def incomplete(record: FileRecord) -> UploadIncompleteError:
    """The error of a message with a file whose bytes have not arrived."""
    return UploadIncompleteError(
        f"The upload of {record.name} is not complete. Wait for it, upload it again, or remove it."
    )

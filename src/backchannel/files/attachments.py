"""Files as ChatKit's attachments.

What is stored of an attachment, in messages and elsewhere, has no link: links are signed and end. In their place is a
placeholder, which becomes a link for the reader when a response is sent (`http.attachment_links`).
"""

import re
from collections.abc import Sequence
from typing import Any, override

from chatkit.store import AttachmentStore
from chatkit.types import (
    Attachment,
    AttachmentCreateParams,
    AttachmentUploadDescriptor,
    FileAttachment,
    ImageAttachment,
)
from pydantic import AnyUrl

from backchannel.context import Identity, RequestContext, identity_of
from backchannel.files.links import FileLinks
from backchannel.files.service import Files
from backchannel.ids import new_id
from backchannel.stores.file_records import FileRecord

_SCHEME = "attachment"

PLACEHOLDER = re.compile(rb'"preview_url":"' + _SCHEME.encode() + rb':(atc_[0-9a-f]{32})"')
"""A placeholder in JSON. Nothing that a person or a model writes looks like this: in a text, quotes are escaped."""


class FileAttachments(AttachmentStore[Any]):
    """Takes the uploads of ChatKit's element, in both of its ways.

    Args:
        links: For uploads to this server, where browsers cannot reach the file store.
    """

    def __init__(self, files: Files, links: FileLinks) -> None:
        self.files = files
        self.links = links

    async def announce(self, params: AttachmentCreateParams, context: RequestContext) -> Attachment:
        """An attachment that says where the browser is to send the file; see `Files.announce`."""
        record = await self.files.announce(context.identity, params.name, params.mime_type, params.size)
        attachment = attachment_of(record)
        attachment.upload_descriptor = await self._descriptor(record, context)
        return attachment

    async def _descriptor(self, record: FileRecord, context: RequestContext) -> AttachmentUploadDescriptor:
        if self.files.store.presigns:
            target = await self.files.upload_target(record)
            return AttachmentUploadDescriptor(
                url=AnyUrl(target.url), method=target.method, headers=dict(target.headers)
            )
        path = self.links.upload_path(record.id, record.identity)
        return AttachmentUploadDescriptor(
            url=AnyUrl(f"{context.base_url}{path}"), method="PUT", headers={"Content-Type": record.mime_type}
        )

    async def prepare(self, attachment_ids: Sequence[str], identity: Identity) -> None:
        """Check the attachments of a message before it is accepted; see `Files.prepare`."""
        await self.files.prepare(attachment_ids, identity)

    async def send(
        self, attachment_ids: Sequence[str], thread_id: str, identity: Identity
    ) -> Sequence[Attachment]:
        """The attachments of a message that is being accepted; see `Files.send`."""
        return [attachment_of(each) for each in await self.files.send(attachment_ids, thread_id, identity)]

    async def delete_by_thread(self, thread_id: str, identity: Identity) -> None:
        """Delete the files of a thread. Their bytes are deleted a little later."""
        await self.files.records.delete_by_thread(thread_id, identity)

    @override
    async def create_attachment(self, input: AttachmentCreateParams, context: Any) -> Attachment:
        if not isinstance(context, RequestContext):
            raise NotImplementedError("Only a RequestContext says under which address the server is reached.")
        return await self.announce(input, context)

    @override
    async def delete_attachment(self, attachment_id: str, context: Any) -> None:
        await self.files.delete(attachment_id, identity_of(context))

    @override
    def generate_attachment_id(self, mime_type: str, context: Any) -> str:
        return new_id("attachment")


def attachment_of(record: FileRecord) -> Attachment:
    """The attachment of a file, as it is stored: without links. Its metadata, which clients do not get, say what the
    file is to a model."""
    metadata = {"kind": record.kind, "tokens": record.tokens}
    if record.kind == "image":
        return ImageAttachment(
            id=record.id,
            name=record.name,
            mime_type=record.mime_type,
            thread_id=record.thread_id,
            metadata=metadata,
            preview_url=AnyUrl(f"{_SCHEME}:{record.id}"),
        )
    return FileAttachment(
        id=record.id,
        name=record.name,
        mime_type=record.mime_type,
        thread_id=record.thread_id,
        metadata=metadata,
    )


def with_links(body: bytes, links: FileLinks, identity: Identity, base_url: str) -> bytes:
    """A response, or a part of an event stream, with links for its reader in place of the placeholders."""

    def link(match: re.Match[bytes]) -> bytes:
        file_id = match[1].decode()
        return f'"preview_url":"{base_url}{links.read_path(file_id, identity, "preview")}"'.encode()

    return PLACEHOLDER.sub(link, body) if b'"attachment:' in body else body

"""Attachments: metadata of files, before and after they are sent in a message."""

from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import (
    Attachment,
    AttachmentUploadDescriptor,
    FileAttachment,
    ImageAttachment,
    ThreadMetadata,
)
from pydantic import AnyUrl

from backchannel.testing.contracts.store_base import ADA, NASTY, StoreSuite

_URL = AnyUrl("https://files.example.com/atc_1?signed=%20%2F")


class AttachmentsSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_attachments_of_every_kind_come_back_as_they_were_saved(self, store: Store[Any]) -> None:
        descriptor = AttachmentUploadDescriptor(url=_URL, method="PUT", headers={"X-A": NASTY})
        attachments: list[Attachment] = [
            FileAttachment(id="atc_1", name=NASTY, mime_type="text/plain", metadata={"private": [None]}),
            FileAttachment(id="atc_2", name="n", mime_type="a/b", upload_descriptor=descriptor),
            ImageAttachment(id="atc_3", name="n", mime_type="image/png", preview_url=_URL),
        ]
        for attachment in attachments:
            await store.save_attachment(attachment, ADA)
        assert [await store.load_attachment(each.id, ADA) for each in attachments] == attachments

    async def test_an_attachment_can_be_placed_in_a_thread(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        descriptor = AttachmentUploadDescriptor(url=_URL, method="POST")
        attachment = FileAttachment(
            id="atc_1", name="n", mime_type="text/plain", upload_descriptor=descriptor, metadata={"size": 1}
        )
        await store.save_attachment(attachment, ADA)
        # Saved again when the message is sent. By then the file is uploaded, so there is no upload descriptor.
        in_thread = attachment.model_copy(update={"thread_id": thread.id, "upload_descriptor": None})
        await store.save_attachment(in_thread, ADA)
        assert await store.load_attachment("atc_1", ADA) == in_thread

    async def test_a_stored_attachment_is_independent_of_the_object(self, store: Store[Any]) -> None:
        attachment = FileAttachment(id="atc_1", name="kept", mime_type="a/b", metadata={"k": []})
        expected = attachment.model_copy(deep=True)
        await store.save_attachment(attachment, ADA)
        for changing in (attachment, await store.load_attachment("atc_1", ADA)):
            changing.name = "changed afterwards"
            assert changing.metadata is not None
            changing.metadata["k"].append("changed afterwards")
            assert await store.load_attachment("atc_1", ADA) == expected

    async def test_deleting_an_attachment_again_changes_nothing(self, store: Store[Any]) -> None:
        for attachment_id in ("atc_1", "atc_2"):
            attachment = FileAttachment(id=attachment_id, name="n", mime_type="a/b")
            await store.save_attachment(attachment, ADA)
        for _ in range(2):
            await store.delete_attachment("atc_1", ADA)
            with pytest.raises(NotFoundError):
                await store.load_attachment("atc_1", ADA)
        await store.delete_attachment("atc_unknown", ADA)
        assert (await store.load_attachment("atc_2", ADA)).id == "atc_2"

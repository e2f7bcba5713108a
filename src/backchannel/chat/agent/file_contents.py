"""The contents of attachments in a model's input.

Each attachment of the history is given what the model is to see of it, in its metadata, where the converter finds it.
The newest come first: pictures and documents that are too many, or too large together, are left out from the oldest on.
"""

from collections.abc import Sequence
from typing import Any

from chatkit.types import Attachment, ThreadItem, UserMessageItem

from backchannel.context import Identity
from backchannel.files.model_parts import ModelParts

CONTENT = "content"
"""The name under which the metadata of an attachment have its part of the message."""

MAX_MEDIA = 20
"""The most pictures and documents of one input. Anthropic's API takes larger pictures than those that we send only if
there are no more."""

MAX_MEDIA_BYTES = 12_000_000
"""The most bytes of all of them, before Base64. APIs refuse requests of more than 20 to 50 MB."""


async def with_contents(
    items: Sequence[ThreadItem], parts: ModelParts, identity: Identity
) -> list[ThreadItem]:
    """The items, with the contents of their attachments."""
    messages = [item for item in items if isinstance(item, UserMessageItem) and item.attachments]
    if not messages:
        return list(items)
    file_ids = list(dict.fromkeys(each.id for item in messages for each in item.attachments))
    records = await parts.load(file_ids, identity)
    left, room = MAX_MEDIA, MAX_MEDIA_BYTES
    contents: dict[str, dict[str, Any] | None] = {}
    for message in reversed(messages):
        for attachment in message.attachments:
            record = records.get(attachment.id)
            if record is None or attachment.id in contents:
                continue
            if not parts.is_medium(record):
                contents[attachment.id] = await parts.part(record)
                continue
            part = await parts.part(record) if left > 0 else None
            size = 0 if part is None else _bytes(part)
            fits = part is not None and (size <= room or message is messages[-1])
            contents[attachment.id] = part if fits else None
            if fits:
                left, room = left - 1, room - size
    return [
        item.model_copy(update={"attachments": [_with_content(each, contents) for each in item.attachments]})
        if isinstance(item, UserMessageItem) and item.attachments
        else item
        for item in items
    ]


def _with_content(attachment: Attachment, contents: dict[str, dict[str, Any] | None]) -> Attachment:
    if attachment.id not in contents:
        return attachment
    metadata = {**(attachment.metadata or {}), CONTENT: contents[attachment.id]}
    return attachment.model_copy(update={"metadata": metadata})


def _bytes(part: dict[str, Any]) -> int:
    # Of Base64, three quarters.
    return len(part.get("image_url") or part.get("file_data") or "") * 3 // 4

"""What models get of files: parts of a message, made from the forms that were stored when a file was uploaded."""

import base64
from collections import OrderedDict
from typing import Any, Literal

import structlog

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.file_stores.base import FileMissingError
from backchannel.files.keys import Form, key_of
from backchannel.files.service import Files
from backchannel.stores.file_records import FileRecord

type ModelInputs = Literal["text", "images", "images,pdf"]

MAX_CACHED_BYTES = 33_554_432
"""Forms that are held in memory by each process, so that a file of a conversation is not read again in every turn."""

MAX_PDF_BYTES = 10_000_000
"""Larger ones are sent as their text: OpenAI takes 32 MB in one request, and Base64 makes it a third more."""

log = structlog.get_logger(__name__)


class ModelParts:
    """Makes parts of messages from files.

    Args:
        inputs: What the models can see besides text.
    """

    def __init__(self, files: Files, inputs: ModelInputs) -> None:
        self._files = files
        self._inputs = frozenset(inputs.split(","))
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0

    async def load(self, file_ids: list[str], identity: Identity) -> dict[str, FileRecord]:
        """Those of the caller's files that exist and are stored, by id."""
        records = await self._files.records.load_many(file_ids, identity)
        return {record.id: record for record in records if record.status != "pending"}

    def is_medium(self, record: FileRecord) -> bool:
        """Whether a file is sent as it is seen, and not as text."""
        if record.kind == "image":
            return "images" in self._inputs and record.model_type is not None
        return record.kind == "pdf" and "pdf" in self._inputs and record.size <= MAX_PDF_BYTES

    async def part(self, record: FileRecord) -> dict[str, Any]:
        """The part for a stored file: a picture, a document, its text, or a sentence about why it is none of these."""
        try:
            if self.is_medium(record):
                return await self._medium(record)
            if record.kind == "image":
                return _note(record, "This model cannot see pictures.")
            if record.model_type is None:
                return _note(record, "It has no text that could be read.")
            text = (await self._form(record, "model")).decode("utf-8", "replace")
        except FileMissingError:
            log.warning("file_lost", file_id=record.id)
            return _note(record, "It cannot be read any more.")
        except UnavailableError:
            # The answer is not worth less than a file of an earlier message; the model says what it lacks.
            log.warning("file_not_readable", file_id=record.id)
            return _note(record, "It cannot be read at present.")
        return {"type": "input_text", "text": f"{_tag(record)}>\n{text}\n</Attachment>"}

    async def _medium(self, record: FileRecord) -> dict[str, Any]:
        if record.kind == "image":
            data = await self._form(record, "model")
            return {
                "type": "input_image",
                "image_url": _data_url(record.model_type or record.mime_type, data),
                "detail": "auto",
            }
        data = await self._form(record, "original")
        # The name is checked by OpenAI: it must end as the type does.
        name = record.name if record.name.lower().endswith(".pdf") else f"{record.name}.pdf"
        return {"type": "input_file", "filename": name, "file_data": _data_url("application/pdf", data)}

    async def _form(self, record: FileRecord, form: Form) -> bytes:
        key = key_of(record, form)
        if (cached := self._cached.get(key)) is not None:
            self._cached.move_to_end(key)
            return cached
        data = b"".join([piece async for piece in self._files.read(record, form)])
        if key not in self._cached:
            self._cached[key] = data
            self._cached_bytes += len(data)
        while self._cached_bytes > MAX_CACHED_BYTES:
            _, oldest = self._cached.popitem(last=False)
            self._cached_bytes -= len(oldest)
        return data


def name_tag(name: str, mime_type: str) -> str:
    """How the model learns the name and type of a file."""
    return f'<Attachment name="{_quoted(name)}" type="{_quoted(mime_type)}"'


def _tag(record: FileRecord) -> str:
    return name_tag(record.name, record.mime_type)


def _note(record: FileRecord, why: str) -> dict[str, Any]:
    return {"type": "input_text", "text": f"{_tag(record)}>{why}</Attachment>"}


def _quoted(text: str) -> str:
    visible = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(visible.split()).replace('"', "'").replace("<", "(").replace(">", ")")[:200]


def _data_url(mime_type: str, data: bytes) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"

"""Whether a file is what it is said to be, and what of it people and models see."""

import asyncio
import base64
import threading
from dataclasses import dataclass
from pathlib import Path

from backchannel.errors import InvalidFileError, TooLargeError, UnsupportedTypeError
from backchannel.file_checks.agreement import Content, agreed_type
from backchannel.file_checks.known_types import KindName
from backchannel.file_checks.processes import Opened, Openers
from backchannel.file_checks.signatures import (
    DESCRIPTIONS,
    HEAD_BYTES,
    archive_format,
    format_of,
    markup_of,
    starts_as_pdf,
)
from backchannel.file_checks.texts import PROBE_BYTES, cleaned, encoding_of, read_text, shortened
from backchannel.file_checks.types import AllowedTypes, declared_type, kind_of

MEMORY_BYTES = 1536 << 20
"""Enough for images of 50 million pixels, which are decoded and turned."""

_OPENED = frozenset({"png", "jpeg", "gif", "webp"})


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a file.

    Attributes:
        mime_type: What it is served as, and what the model is told that it is. Of images, what the content says.
        kind: How it was read.
        size: Bytes of the file.
        width: Of an image, in pixels, as it is shown (upright).
        height: See `width`.
        preview: Of an image: at most 320 pixels a side, upright, without metadata; of an animation its first frame.
            `None` if none could be made.
        preview_type: `image/jpeg` or `image/png`.
        model_form: What the model gets. Of an image: at most 1568 pixels a side and 3.5 MB, upright, without metadata,
            in sRGB. Of a text or PDF: its beginning in UTF-8. `None` for anything else, and for a PDF that has no text
            or a password, or whose text cannot be read.
        model_type: `image/png`, `image/jpeg` or `text/plain`.
        pages: Of a PDF; `None` if it cannot be opened.
    """

    mime_type: str
    kind: KindName
    size: int
    width: int | None = None
    height: int | None = None
    preview: bytes | None = None
    preview_type: str | None = None
    model_form: bytes | None = None
    model_type: str | None = None
    pages: int | None = None


class Examiner:
    """Examines files, a few at a time.

    Args:
        allowed: Types that may be uploaded.
        max_pixels: Of an image; the frames of an animation together may have 16 times as many.
        max_text_chars: Of the text of a file for the model, at least 100.
        seconds: How long a file may wait for its turn, and how long opening it may take; each.
        memory_bytes: The address space of a process that opens a file.
    """

    def __init__(
        self,
        allowed: AllowedTypes,
        *,
        max_pixels: int,
        max_text_chars: int,
        seconds: float = 20,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._allowed = allowed
        self._max_pixels = max_pixels
        self._max_text_chars = max_text_chars
        self._openers = Openers(seconds, memory_bytes)

    async def examine(self, path: Path, *, name: str, mime_type: str) -> Examined:
        """Examine a file. It is only read; nothing is left behind, also not by a cancelled call.

        Args:
            path: The file, complete; it must not change meanwhile.
            name: Its name, as the client sent it.
            mime_type: Its type, as the client sent it, with its parameters.

        Raises:
            UnsupportedTypeError: Its content, its declared type and its name do not agree, or its type is not allowed.
            InvalidFileError: It is empty or damaged.
            TooLargeError: It has too many pixels.
            UnavailableError: It could not be examined for other reasons. The same file may be accepted later.
        """
        self._allowed.check(mime_type, name)
        size, head = await asyncio.to_thread(_beginning, path)
        if not size:
            raise InvalidFileError("The file is empty.", details={"reason": "empty"})
        charset = _charset(mime_type)
        content = await asyncio.to_thread(_content_of, path, head, charset)
        found = agreed_type(declared_type(mime_type, name), content, name)
        if not self._allowed.includes(found, name):
            raise self._allowed.refusal(found, named=DESCRIPTIONS.get(content.format))
        kind = kind_of(found).name
        if kind == "image":
            return await self._image(path, found, content.format, size)
        if kind == "pdf":
            return await self._pdf(path, found, size)
        if kind == "text":
            return await self._text(path, found, charset, size)
        return Examined(found, "binary", size)

    async def _image(self, path: Path, mime_type: str, image_format: str, size: int) -> Examined:
        options = {"format": image_format, "max_pixels": self._max_pixels}
        opened = await self._openers.open(path, "images", options)
        model_type, model_form = _decoded(opened, "model")
        if model_form is None:
            raise self._refused_image(opened)
        width, height = opened.value("size")
        preview_type, preview = _decoded(opened, "preview")
        return Examined(
            mime_type, "image", size, width, height, preview, preview_type, model_form, model_type
        )

    def _refused_image(self, opened: Opened) -> TooLargeError | InvalidFileError:
        if opened.outcome in {"too_large", "no_memory"}:
            return TooLargeError(
                f"The image has too many pixels. At most {self._max_pixels:,} are accepted; make it smaller.",
                details={"max_pixels": self._max_pixels},
            )
        return InvalidFileError(
            "The image is damaged and cannot be opened. Save it again with another program, then try again.",
            details={"reason": "damaged"},
        )

    async def _pdf(self, path: Path, mime_type: str, size: int) -> Examined:
        opened = await self._openers.open(path, "pdfs", {"max_text_chars": self._max_text_chars})
        pages = opened.value("pages")
        if pages is None and not opened.value("encrypted"):
            raise InvalidFileError(
                "The PDF is damaged and cannot be opened. Save it again with another program, then try again.",
                details={"reason": "damaged"},
            )
        text = _text_of_pages(opened, pages or 0, self._max_text_chars)
        return Examined(
            mime_type,
            "pdf",
            size,
            model_form=text.encode() if text else None,
            model_type="text/plain" if text else None,
            pages=pages,
        )

    async def _text(self, path: Path, mime_type: str, charset: str, size: int) -> Examined:
        cancelled = threading.Event()
        try:
            text = await asyncio.to_thread(read_text, path, charset, self._max_text_chars, cancelled.is_set)
        finally:
            cancelled.set()
        if text is None:
            raise _not_text(mime_type)
        return Examined(mime_type, "text", size, model_form=text.start.encode(), model_type="text/plain")


def _beginning(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return path.stat().st_size, file.read(PROBE_BYTES)


def _content_of(path: Path, head: bytes, charset: str) -> Content:
    if starts_as_pdf(head):
        return Content("pdf")
    found = format_of(head[:HEAD_BYTES])
    if found == "zip":
        return Content(archive_format(path))
    encoding = encoding_of(head, charset)
    if encoding is None:
        return Content(found)
    return Content("text", markup=markup_of(head.decode(encoding, "ignore")), binary=found)


def _charset(mime_type: str) -> str:
    for parameter in mime_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip()
    return ""


def _decoded(opened: Opened, name: str) -> tuple[str, bytes] | tuple[None, None]:
    found = opened.value(name)
    return (found[0], base64.b64decode(found[1])) if found else (None, None)


def _text_of_pages(opened: Opened, pages: int, max_chars: int) -> str:
    parts = [(each["page"], cleaned(each["text"]).strip()) for each in opened.reports if "text" in each]
    text = "\n\n".join(f"[Page {page}]\n{each}" for page, each in parts)
    if text and (len(text) > max_chars or opened.outcome != "done"):
        return shortened(text, max_chars, all_of_it=f"{pages:,} pages")
    return text


def _not_text(mime_type: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"The file's content is not text, but its type is given as {mime_type}.", details={"type": mime_type}
    )

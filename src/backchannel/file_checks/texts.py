"""Whether a file is text, in which encoding, and its beginning as UTF-8.

NUL bytes are no text, except in UTF-16 and UTF-32. Nothing is replaced in silence: a text that is not valid in its
encoding is not text, but for halves of emoji and a character that the end of the file cuts.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backchannel.file_checks.encodings import hinted_encoding, legacy_encoding, utf16_without_bom

PROBE_BYTES = 65_536
_CHUNK = 1 << 20

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # Begins as the one of UTF-16 does.
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
"""Without those that logs and print-outs have: tab, line feed, form feed, return and escape."""

_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_MAX_CONTROLS = 0.02


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a text.

    Attributes:
        encoding: As Python names it.
        start: Its first characters, for the model; `\\n` between lines, no control characters.
        characters: How many it has altogether.
    """

    encoding: str
    start: str
    characters: int


def encoding_of(head: bytes, charset: str = "") -> str | None:
    """The encoding of a text by its first bytes; `None` if it is not text.

    Args:
        head: The first bytes, at most `PROBE_BYTES`; the last character may be cut.
        charset: What the client says, which counts where the bytes leave a choice.
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding if _is_text(_decoded(head[len(bom) :], encoding)) else None
    if b"\0" in head:
        return utf16_without_bom(head)
    if _is_text(_decoded(head, "utf-8")):
        return "utf-8"
    for encoding in (hinted_encoding(charset), legacy_encoding(head)):
        if encoding and _is_text(_decoded(head, encoding)):
            return encoding
    return None


def read_text(path: Path, charset: str, max_chars: int, is_cancelled: Callable[[], bool]) -> Text | None:
    """Read all of a file as text; `None` if it is not text, at its beginning or later on.

    Args:
        path: The file.
        charset: See `encoding_of`.
        max_chars: How many characters `start` has at most.
        is_cancelled: Asked after every megabyte; then `None` is returned.
    """
    with path.open("rb") as file:
        encoding = encoding_of(file.read(PROBE_BYTES), charset)
        if encoding is None:
            return None
        found = _read(file, encoding, max_chars, is_cancelled)
        if found is None and encoding == "utf-8" and not is_cancelled():
            # What was looked at was ASCII, or UTF-8 by accident.
            other = hinted_encoding(charset) or legacy_encoding(_sample_beyond_ascii(file))
            found = _read(file, other, max_chars, is_cancelled) if other else None
        return found


def shortened(text: str, max_chars: int, *, all_of_it: str) -> str:
    """A text of at most so many characters, with a note at its end if there is more.

    Args:
        text: Its beginning, which is cut further to make room for the note.
        max_chars: The limit, at least 100.
        all_of_it: How much there is, such as "120,000 characters".
    """
    note = f"\n[The file goes on. This is its beginning, of {all_of_it}.]"
    return text[: max(max_chars - len(note), 0)].rstrip() + note


def cleaned(text: str) -> str:
    """Without control characters and halves of characters; `\\n` between lines."""
    if any("\ud800" <= each <= "\udfff" for each in text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _read(file: BinaryIO, encoding: str, max_chars: int, is_cancelled: Callable[[], bool]) -> Text | None:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)(_errors(encoding))
    parts: list[str] = []
    characters = 0
    while chunk := file.read(_CHUNK):
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError:
            return None
        if "\0" in text or is_cancelled():
            return None
        text = text.removeprefix("\ufeff") if not characters else text
        if characters <= max_chars:
            parts.append(text[: max_chars + 1 - characters])
        characters += len(text)
    start = "".join(parts)
    # Of a file that ends in the middle of a character, that one is left out.
    if characters > max_chars:
        start = shortened(start, max_chars, all_of_it=f"{characters:,} characters")
    return Text(encoding, cleaned(start), characters)


def _sample_beyond_ascii(file: BinaryIO) -> bytes:
    file.seek(0)
    while chunk := file.read(_CHUNK):
        if found := re.search(rb"[\x80-\xff]", chunk):
            return chunk[found.start() :][:PROBE_BYTES]
    return b""


def _errors(encoding: str) -> str:
    # Halves of emoji, as some programs write them, are put together or replaced later.
    return "surrogatepass" if encoding.startswith("utf-") else "strict"


def _decoded(head: bytes, encoding: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)(_errors(encoding)).decode(head)
    except UnicodeDecodeError:
        return None


def _is_text(text: str | None) -> bool:
    if text is None or "\0" in text:
        return False
    return len(_CONTROLS.findall(text)) <= len(text) * _MAX_CONTROLS

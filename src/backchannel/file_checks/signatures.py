"""What the bytes of a file show it to be. The name of the file has no part in it.

Texts are recognised in `texts`; what is asked here is asked of files that are not text, and of those that begin as only
one format does.
"""

import struct
from pathlib import Path

import puremagic

HEAD_BYTES = 8192
"""So many first bytes are looked at."""

_TAIL_BYTES = 65_557
"""Of an archive: its end record, with the longest comment."""

_MAX_ENTRIES = 10_000
_MAX_DIRECTORY = 4 << 20

_AT_START = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"\x00\x00\x02\x00", "ico"),
    (b"MZ", "exe"),
    (b"\x7fELF", "elf"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"\x1a\x45\xdf\xa3", "webm"),
    (b"ID3", "mp3"),
    (b"{\\rtf", "rtf"),
    (b"BM", "bmp"),
)
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "heic"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
}
_PARTS = {b"word/document.xml": "docx", b"xl/workbook.xml": "xlsx", b"ppt/presentation.xml": "pptx"}

DESCRIPTIONS = {
    "png": "a PNG image", "jpeg": "a JPEG image", "gif": "a GIF image", "webp": "a WebP image", "pdf": "a PDF",
    "zip": "a ZIP archive", "ole": "an old Office document", "gzip": "a gzip archive", "7z": "a 7-Zip archive",
    "rar": "a RAR archive", "exe": "a Windows program", "elf": "a program", "heic": "a HEIC image",
    "avif": "an AVIF image", "tiff": "a TIFF image", "bmp": "a BMP image", "ico": "an icon", "docx": "a Word document",
    "xlsx": "an Excel workbook", "pptx": "a PowerPoint presentation", "odf": "an OpenDocument file",
    "epub": "an e-book", "text": "text", "html": "an HTML page", "svg": "an SVG image", "xml": "an XML document",
}  # fmt: skip
"""What people call a format."""


def format_of(head: bytes) -> str:
    """The format that first bytes are of, such as `png`, `zip` or `mp4`; a MIME type if only puremagic knows it, and
    empty if none is known. Formats made of ASCII alone (GIF, RTF, BMP …) can also be the first words of a text.

    Args:
        head: `HEAD_BYTES` of the file, or all of a shorter one.
    """
    for start, found in _AT_START:
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"WAVE": "wav"}.get(head[8:12], "riff")
    if head[4:8] == b"ftyp":
        return _brand(head)
    if is_pdf(head):
        return "pdf"
    # A frame of MPEG audio without tags.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "mp3"
    return _by_puremagic(head)


def is_pdf(head: bytes) -> bool:
    """Whether it can be read as a PDF: readers look for its mark in the first kilobyte."""
    return b"%PDF-" in head[:1029]


def starts_as_pdf(head: bytes) -> bool:
    """Whether the mark of a PDF comes first: other texts may mention it."""
    return head[:1029].removeprefix(b"\xef\xbb\xbf").lstrip(b"\0\t\n\f\r ").startswith(b"%PDF-")


def markup_of(head: str) -> str:
    """`html`, `svg` or `xml` if a text begins as such a document does; else empty."""
    start = head.lstrip("\ufeff \t\r\n").lower()[:4096]
    if start.startswith(("<?xml", "<!--", "<!doctype svg")):
        return "svg" if "<svg" in start else "html" if "<html" in start else "xml"
    if start.startswith("<svg"):
        return "svg"
    html = ("<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<meta", "<style", "<title")
    return "html" if start.startswith(html) else ""


def archive_format(path: Path) -> str:
    """What an archive contains: `docx`, `xlsx`, `pptx`, `odf`, `epub`, or `zip` for anything else.

    Its directory is read, which is at its end, and of an archive with too large a one nothing: no entry is unpacked.
    """
    with path.open("rb") as file:
        first = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(size - _TAIL_BYTES, 0))
        tail = file.read()
        place = tail.rfind(b"PK\x05\x06")
        if place < 0 or len(tail) - place < 22:
            return "zip"
        entries, length, start = struct.unpack_from("<HII", tail, place + 10)
        if entries > _MAX_ENTRIES or length > _MAX_DIRECTORY or start + length > size:
            return "zip"
        file.seek(start)
        names = _entries(file.read(length))
    if first[30:38] == b"mimetype":
        kind = first[38:120]
        if kind.startswith(b"application/vnd.oasis.opendocument."):
            return "odf"
        if kind.startswith(b"application/epub+zip"):
            return "epub"
    if b"[Content_Types].xml" in names:
        return next((found for part, found in _PARTS.items() if part in names), "zip")
    return "zip"


def _entries(directory: bytes) -> set[bytes]:
    names: set[bytes] = set()
    place = 0
    while directory[place : place + 4] == b"PK\x01\x02" and place + 46 <= len(directory):
        name, extra, comment = struct.unpack_from("<HHH", directory, place + 28)
        names.add(directory[place + 46 : place + 46 + name])
        place += 46 + name + extra + comment
    return names


def _brand(head: bytes) -> str:
    size = min(struct.unpack_from(">I", head)[0], 256)
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, size, 4))]
    # The major brand of HEIC and AVIF may be the general one; then the others say which.
    for brand in (*(each for each in brands if each not in {b"mif1", b"msf1"}), *brands):
        if brand in _BRANDS:
            return _BRANDS[brand]
    return "mp4"


def _by_puremagic(head: bytes) -> str:
    # Never by the name: it would raise the confidence of what the name says.
    try:
        found = puremagic.magic_string(head)  # pyright: ignore[reportUnknownMemberType]
    except (puremagic.PureError, ValueError):
        return ""
    types = [str(each.mime_type).lower() for each in found]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return next((each for each in types if each), "")

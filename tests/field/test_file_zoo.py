"""Files that are something else, or nothing: each is refused in its way, and the odd ones that people have are taken."""

import asyncio
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfWriter

from backchannel.errors import BackchannelError, InvalidFileError, TooLargeError, UnsupportedTypeError
from backchannel.file_checks.examine import Examined, Examiner
from backchannel.file_checks.types import DEFAULT_TYPES, AllowedTypes
from pictures import picture, size_of

pytestmark = pytest.mark.row("E2", "E3")

MAX_PIXELS = 1_000_000


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., object]:
    async def run(data: bytes, name: str, mime_type: str, types: str = DEFAULT_TYPES) -> Examined:
        file = tmp_path / "file"
        await asyncio.to_thread(file.write_bytes, data)
        examiner = Examiner(AllowedTypes.parse(types), max_pixels=MAX_PIXELS, max_text_chars=1000)
        return await examiner.examine(file, name=name, mime_type=mime_type)

    return run


def zipped(**entries: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target.getvalue()


def png_of(width: int, height: int, data: bytes | None = None, *more: bytes) -> bytes:
    """A PNG whose header says what it wants."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = zlib.compress(b"\0" * (width + 1) * min(height, 10)) if data is None else data
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(b"zTXt", each) for each in more)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def pdf_of(pages: int = 1, password: str | None = None) -> bytes:
    writer, target = PdfWriter(), io.BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(target)
    return target.getvalue()


HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
# A megabyte of it is a kilobyte.
BOMB = zipped(a=b"\0" * 1_000_000)

WRONG = {
    "HTML as PNG": (HTML, "a.png", "image/png"),
    "SVG as PNG": (SVG, "a.png", "image/png"),
    "SVG": (SVG, "a.svg", "image/svg+xml"),  # multica-ai/multica#3022
    "SVG with a declaration, of no type": (b'<?xml version="1.0"?>\n' + SVG, "a", ""),
    "HTML of no type": (b"\n  " + HTML, "a", ""),
    "zip as PNG": (BOMB, "a.png", "image/png"),
    "zip as text": (BOMB, "a.txt", "text/plain"),
    "zip as CSV": (BOMB, "a.csv", "text/csv"),
    "zip": (BOMB, "a.zip", "application/zip"),
    "program": (b"MZ" + bytes(200), "a.txt", "text/plain"),
    "program of no type": (b"\x7fELF" + bytes(200), "a", ""),
    "PDF as text": (pdf_of(), "a.txt", "text/plain"),
    "picture as text": (picture(), "a.txt", "text/plain"),
    "picture as PDF": (picture(), "a.pdf", "application/pdf"),
    "text as PDF": (b"just text", "a.pdf", "application/pdf"),
    "noise as text": (bytes(range(256)) * 4, "a.txt", "text/plain"),
    "NULs as text": (b"a\0b" * 100, "a.txt", "text/plain"),
    "HEIC as JPEG": (
        b"\0\0\0\x18ftypheic" + bytes(100),
        "a.jpg",
        "image/jpeg",
    ),  # open-webui/open-webui#28411
    "icon": (b"\0\0\1\0\1\0" + bytes(100), "a.ico", "image/x-icon"),  # XiaomiMiMo/MiMo-Code#362
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_something_else(what: str, examine):
    with pytest.raises(UnsupportedTypeError) as caught:
        await examine(*WRONG[what])
    assert caught.value.status == 415


DAMAGED = {
    "nothing": (b"", "a.png", "image/png", InvalidFileError),
    "only a mark": (b"\x89PNG\r\n\x1a\n", "a.png", "image/png", InvalidFileError),
    "a mark and a script": (b"\x89PNG\r\n\x1a\n" + HTML, "a.png", "image/png", InvalidFileError),
    "a header one row too high": (png_of(10, 11), "a.png", "image/png", InvalidFileError),
    "no width": (
        png_of(0, 10, zlib.compress(b"\0" * 10)),
        "a.png",
        "image/png",
        InvalidFileError,
    ),  # Pillow#7235
    "a picture that is cut": (picture(400, 400, kind="JPEG")[:-900], "a.jpg", "image/jpeg", InvalidFileError),
    "a GIF that is cut": (picture(50, 50, kind="GIF")[:40], "a.gif", "image/gif", InvalidFileError),
    "a WebP that is cut": (picture(50, 50, kind="WEBP")[:-10], "a.webp", "image/webp", InvalidFileError),
    "a bomb": (png_of(30_000, 30_000), "a.png", "image/png", TooLargeError),
    "just too many pixels": (picture(1001, 1000), "a.png", "image/png", TooLargeError),  # Pillow#2583
    "no PDF": (b"%PDF-1.7\nnothing", "a.pdf", "application/pdf", InvalidFileError),
}


@pytest.mark.parametrize("what", DAMAGED)
async def test_what_is_damaged_or_too_large(what: str, examine):
    *file, error = DAMAGED[what]
    with pytest.raises(error) as caught:
        await examine(*file)
    assert 400 <= caught.value.status < 500


async def test_pictures_of_every_kind_become_one_that_models_take(examine):
    """appstrate and others: what cameras and programs write, and what must not come of it."""
    red = Image.new("RGB", (60, 40), (200, 30, 30))
    gps = Image.Exif()
    gps[0x0112] = 6
    gps.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    cases = {
        "rotated": (saved(red, "JPEG", exif=gps), "a.jpg", (40, 60)),  # lovell/sharp#1784
        "CMYK": (saved(red.convert("CMYK"), "JPEG"), "a.jpg", (60, 40)),
        "16 bits": (saved(Image.new("I;16", (60, 40), 40_000), "PNG"), "a.png", (60, 40)),  # geti#5888
        "palette": (saved(red.convert("P"), "PNG", transparency=0), "a.png", (60, 40)),
        "grey and alpha": (saved(Image.new("LA", (60, 40), (9, 99)), "PNG"), "a.png", (60, 40)),
        "one pixel": (picture(1, 1), "a.png", (1, 1)),
        "animated": (saved(red, "GIF", save_all=True, append_images=[red] * 3), "a.gif", (60, 40)),
        "MPO": (
            saved(red, "MPO", save_all=True, append_images=[red]),
            "a.jpg",
            (60, 40),
        ),  # wagtail/wagtail#729
        # BerriAI/litellm#24900
        "JPEG as PNG": (saved(red, "JPEG"), "a.png", (60, 40)),
        "a text that is a bomb": (
            png_of(10, 10, None, b"k\0\0" + zlib.compress(b"x" * 3_000_000)),
            "a.png",
            (10, 10),
        ),
    }
    for what, (data, name, size) in cases.items():
        found = await examine(data, name, "image/png" if name.endswith("png") else "")
        assert found.kind == "image", what
        assert (found.width, found.height) == size, what
        assert found.model_form is not None, what
        assert size_of(found.model_form) == size, what
        assert found.model_type in {"image/png", "image/jpeg"}, what
        with Image.open(io.BytesIO(found.model_form)) as image:
            assert not image.getexif(), what
            assert image.mode in {"L", "LA", "RGB", "RGBA"}, what
        assert found.preview is not None, what
    assert (await examine(cases["JPEG as PNG"][0], "a.png", "image/png")).mime_type == "image/jpeg"


TEXTS = {
    "UTF-8": ("naïve 文件 😀".encode(), "naïve 文件 😀"),
    "with a mark": (b"\xef\xbb\xbfhello", "hello"),
    "UTF-16": ("hello naïve".encode("utf-16"), "hello naïve"),  # cdgriffith/puremagic#134
    "UTF-16 without a mark": ("hello, this is a text".encode("utf-16-le"), "hello, this is a text"),
    "Windows": ("naïve – “text”".encode("cp1252"), "naïve – “text”"),
    # Stack-Cairn/LiveAgent#232
    "cut in the middle of a character": (b"x" * 65_535 + "é".encode(), None),
    "lines of Windows": (b"a\r\nb\r\n", "a\nb\n"),
}


@pytest.mark.parametrize("what", TEXTS)
async def test_texts_of_every_encoding_become_utf_8(what: str, examine):
    data, expected = TEXTS[what]
    found = await examine(data, "a.txt", "text/plain")
    assert (found.kind, found.mime_type, found.model_type) == ("text", "text/plain", "text/plain")
    assert found.model_form is not None
    text = found.model_form.decode()
    assert text == expected if expected is not None else len(text) <= 1000


async def test_a_long_text_is_cut_with_a_note(examine):
    found = await examine(b"word " * 100_000, "a.md", "")
    assert found.mime_type == "text/markdown"
    text = found.model_form.decode()
    assert len(text) <= 1000
    assert "500,000 characters" in text


async def test_documents(examine):
    found = await examine(pdf_of(3), "a.pdf", "application/pdf")
    assert (found.kind, found.pages, found.model_form) == ("pdf", 3, None)
    locked = await examine(pdf_of(1, "secret"), "a.pdf", "application/pdf")
    assert (locked.kind, locked.pages) == ("pdf", None)
    word = zipped(**{"word/document.xml": b"<x/>", "[Content_Types].xml": b"<x/>"})  # appstrate/appstrate#658
    assert (await examine(word, "a.docx", "application/zip", ".docx")).kind == "binary"
    with pytest.raises(BackchannelError):
        # param20h/PDF-Assistant-RAG#753
        await examine(BOMB, "a.docx", "application/zip", ".docx")

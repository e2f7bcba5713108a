"""What the bytes of files show."""

import random
import struct
from pathlib import Path

import pytest

import odd_files
from backchannel.file_checks.signatures import archive_format, format_of, markup_of, starts_as_pdf

pytestmark = pytest.mark.row("E2")

CONTENT = ("[Content_Types].xml", b"<Types/>")


def ftyp(*brands: bytes) -> bytes:
    return (
        struct.pack(">I", 8 + 4 * (len(brands) + 1)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    )


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (odd_files.saved(odd_files.image(), "PNG"), "png"),
        (odd_files.saved(odd_files.image(), "JPEG"), "jpeg"),
        (odd_files.saved(odd_files.image("P"), "GIF"), "gif"),
        (odd_files.saved(odd_files.image(), "WEBP"), "webp"),
        (odd_files.saved(odd_files.image(), "BMP"), "bmp"),
        (odd_files.saved(odd_files.image(), "TIFF"), "tiff"),
        (odd_files.saved(odd_files.image(), "ICO"), "ico"),
        (odd_files.mpo(), "jpeg"),
        (odd_files.zip_bomb(), "zip"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (b"MZ\x90", "exe"),
        (b"\x7fELF\x02", "elf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "ole"),
        (b"ID3\x03" + bytes(10), "mp3"),
        (b"\xff\xfb\x90\x00" + bytes(10), "mp3"),
        (ftyp(b"heic", b"mif1"), "heic"),
        (ftyp(b"mif1", b"heic"), "heic"),
        (ftyp(b"mif1", b"avif", b"miaf"), "avif"),
        (ftyp(b"avif", b"mif1"), "avif"),
        (ftyp(b"M4A ", b"mp42"), "mp4"),
        (ftyp(b"3gp4"), "mp4"),
        (b"\x89PN", ""),
        (b"", ""),
        (b"\x00", ""),
    ],
)
def test_formats(head: bytes, found: str):
    assert format_of(head) == found


def test_no_bytes_make_it_fail():
    chance = random.Random(7)
    for _ in range(500):
        head = chance.choice((b"", b"RIFF", b"\0\0\0\x20ftyp", b"\xff\xff\xff\xffftyp", b"PK\3\4"))
        format_of(head + chance.randbytes(chance.randrange(40)))


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([CONTENT, ("word/document.xml", b"x")], "docx"),
        ([("word/document.xml", b"x" * 5000), CONTENT], "docx"),
        ([("xl/worksheets/sheet1.xml", b"x" * 9000), ("xl/workbook.xml", b"x"), CONTENT], "xlsx"),
        ([CONTENT, ("ppt/presentation.xml", b"x")], "pptx"),
        ([("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"x")], "odf"),
        ([("mimetype", b"application/epub+zip")], "epub"),
        ([("a.txt", b"x")], "zip"),
        ([("META-INF/MANIFEST.MF", b"x"), ("A.class", b"x")], "zip"),
        ([("word/t1.xml", b"x")], "zip"),
        ([("word/document.xml", b"x")], "zip"),
        ([CONTENT], "zip"),
        ([], "zip"),
    ],
)  # fmt: skip
def test_archives_are_what_their_directory_says(tmp_path: Path, entries: list[tuple[str, bytes]], found: str):
    (tmp_path / "f").write_bytes(odd_files.zipped(*entries, stored=True))
    assert archive_format(tmp_path / "f") == found


def test_archives_that_are_cut_or_lie_are_only_archives(tmp_path: Path):
    whole = odd_files.zipped(CONTENT, ("word/document.xml", b"x"))
    for content in (
        whole[:50],
        whole[:-10],
        whole[:-22] + whole[-22:].replace(b"\2\0\2\0", b"\xff\xff\xff\xff"),
        b"PK\x05\x06",
    ):
        (tmp_path / "f").write_bytes(content)
        assert archive_format(tmp_path / "f") == "zip"
    many = odd_files.zipped(
        CONTENT, ("word/document.xml", b"x"), *((str(each), b"") for each in range(10_001))
    )
    (tmp_path / "f").write_bytes(many)
    assert archive_format(tmp_path / "f") == "zip"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\ufeff\n <!DOCTYPE HTML><html>", "html"),
        ("<script>alert(1)</script>", "html"),
        ("<HTML>", "html"),
        ("<svg onload=x>", "svg"),
        ("<?xml version='1.0'?><!-- x --><svg>", "svg"),
        ("<!-- x --><html>", "html"),
        ("<?xml version='1.0'?><a/>", "xml"),
        ("text <html>", ""),
        ("", ""),
    ],
)
def test_markup(text: str, found: str):
    assert markup_of(text) == found


def test_the_mark_of_a_pdf_counts_where_it_comes_first():
    assert starts_as_pdf(b"%PDF-1.7")
    assert starts_as_pdf(b"\xef\xbb\xbf\r\n%PDF-1.7")
    assert not starts_as_pdf(b"# writes %PDF-1.7")

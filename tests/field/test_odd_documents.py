"""Texts and PDFs of public reports, and what the model gets of them. Each case names the report."""

import codecs
import time
import zlib
from pathlib import Path

import pytest

import odd_files
from backchannel.errors import InvalidFileError, UnsupportedTypeError
from field.examined_files import Examine, examine_in, text_of

pytestmark = pytest.mark.row("E2", "E3")


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    return examine_in(tmp_path)


# Osmantic/ODS#4454, #2821, vidboda/MobiDetails#42, xtekky/gpt4free#2716, NousResearch/hermes-agent#84206,
# Stack-Cairn/LiveAgent#232: texts that are not UTF-8.
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\ufeffW\u00f6rter", "utf-8"),
        ("\ufeffW\u00f6rter", "utf-16-le"),
        ("\ufeffW\u00f6rter", "utf-16-be"),
        ("W\u00f6rter, ohne Zeichen am Anfang", "utf-16-le"),
        ("Gr\u00f6\u00dfe \u2013 Stra\u00dfe", "cp1252"),
        ("soft\u00adhyphen na\u00efve", "cp1252"),
        ("\u4e2d\u6587\u6587\u672c\u6587\u4ef6\u7684\u5185\u5bb9\u662f\u6d4b\u8bd5\u7528\u7684\u3002", "gb18030"),
        ("\u7e41\u9ad4\u4e2d\u6587\u7684\u6587\u5b57\u6a94\u6848\u5167\u5bb9\uff0c\u4f9b\u6e2c\u8a66\u4f7f\u7528\u3002", "big5"),
        ("\u3053\u308c\u306f\u65e5\u672c\u8a9e\u3067\u3059\u3002\u30ab\u30bf\u30ab\u30ca\u3002", "cp932"),
    ],
)  # fmt: skip
async def test_texts_in_other_encodings(examine: Examine, text: str, encoding: str):
    found = await examine(text.encode(encoding), "a.csv", "application/octet-stream")
    assert text_of(found) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "content", [b"a\0b", b"text" + bytes(9), codecs.BOM_UTF8 + b"\0", bytes(1000), b"a" * 2_000_000 + b"\0"]
)
async def test_nul_bytes_reach_no_model(examine: Examine, content: bytes):
    with pytest.raises(UnsupportedTypeError):
        await examine(content, "a.txt", "text/plain")


# xberg-io/xberg#350 and others: a file fills the model's context.
async def test_ten_megabytes_in_one_line(examine: Examine):
    found = await examine(b"x" * 10_000_000, "a.txt")
    assert len(text_of(found)) <= 2000
    assert "10,000,000 characters" in text_of(found)


# element-hq/element-web#32809, team113/messenger#1607, 2anki/2anki.net#1481, mozilla/send#732, osfclient/osfclient#32: empty
# files, about which nothing or something else is said.
@pytest.mark.parametrize("name", ["a.txt", "a.png", "a.pdf", "a"])
async def test_an_empty_file_is_called_empty(examine: Examine, name: str):
    with pytest.raises(InvalidFileError, match="empty") as refused:
        await examine(b"", name)
    assert refused.value.details == {"reason": "empty"}


# py-pdf/pypdf#966, #140, #2093, #2098, #2761, mfenniak/pyPdf#45, jalan/pdftotext#65, ogx-ai/ogx#5063: PDFs by which readers
# crash, or which they read for ever.
def loop_of(kind: str) -> bytes:
    catalog, pages = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>"
    empty = b"<< /Length 0 >>\nstream\n\nendstream"
    if kind == "parents":
        pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 /Parent 3 0 R >>"
        return odd_files.pdf_of([catalog, pages, b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>", empty])
    if kind == "kids":
        return odd_files.pdf_of([catalog, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"])
    if kind == "contents":
        return odd_files.pdf_of([catalog, pages, page, b"[4 0 R 4 0 R]"])
    if kind == "previous":
        whole = odd_files.pdf("Words")
        return whole.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % whole.rindex(b"xref\n0"))
    if kind == "deep":
        return odd_files.pdf_of([catalog, pages, page, b"[" * 100_000])
    large = zlib.compress(b"(" * (60 << 20), 9)
    return odd_files.pdf_of(
        [
            catalog,
            pages,
            page,
            b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(large), large),
        ]
    )


@pytest.mark.parametrize("kind", ["parents", "kids", "contents", "previous", "deep", "large"])
async def test_a_pdf_that_is_read_for_ever(examine: Examine, kind: str):
    began = time.monotonic()
    try:
        found = await examine(loop_of(kind), "a.pdf", "application/pdf", seconds=10)
    except InvalidFileError:
        assert kind in {"kids", "deep"}
    else:
        assert found.kind == "pdf"
    assert time.monotonic() - began < 20


async def test_a_pdf_of_ten_thousand_pages(examine: Examine):
    found = await examine(odd_files.pdf(*(f"Page {number}" for number in range(10_000))), "a.pdf")
    assert found.pages == 10_000
    assert text_of(found).startswith("[Page 1]\nPage 0\n\n[Page 2]\nPage 1\n")
    assert text_of(found).endswith("of 10,000 pages.]")
    assert len(text_of(found)) <= 2000


async def test_pdfs_that_models_get_no_text_of(examine: Examine):
    scanned = await examine(odd_files.pdf(""), "a.pdf", "application/x-pdf")
    assert (scanned.pages, scanned.model_form, scanned.model_type) == (1, None, None)
    locked = await examine(odd_files.encrypted_pdf("secret"), "a.pdf")
    assert (locked.pages, locked.model_form) == (None, None)
    opened = await examine(odd_files.encrypted_pdf(""), "a.pdf")
    assert text_of(opened) == "[Page 1]\nHidden words"


@pytest.mark.parametrize(
    "content", [b"%PDF-1.4\n", odd_files.pdf("a")[:80], odd_files.pdf(), b"%PDF-1.7" + bytes(5000)]
)
async def test_pdfs_that_cannot_be_opened(examine: Examine, content: bytes):
    with pytest.raises(InvalidFileError):
        await examine(content, "a.pdf", "application/pdf")

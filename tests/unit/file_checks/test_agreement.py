"""Content, declared type and name agree, or the file is refused."""

import pytest

from backchannel.errors import UnsupportedTypeError
from backchannel.file_checks.agreement import Content, agreed_type
from backchannel.file_checks.known_types import UNDECLARED

pytestmark = pytest.mark.row("E2")

TEXT = Content("text")
HTML = Content("text", markup="html")
SVG = Content("text", markup="svg")
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("declared", "content", "agreed"),
    [
        ("image/png", Content("png"), "image/png"),
        ("image/png", Content("jpeg"), "image/jpeg"),
        ("image/webp", Content("gif"), "image/gif"),
        ("application/pdf", Content("pdf"), "application/pdf"),
        ("application/pdf", Content("text", binary="pdf"), "application/pdf"),
        ("text/plain", TEXT, "text/plain"),
        ("text/plain", Content("text", binary="bmp"), "text/plain"),
        ("text/markdown", HTML, "text/markdown"),
        ("text/html", TEXT, "text/html"),
        ("image/svg+xml", SVG, "image/svg+xml"),
        (DOCX, Content("docx"), DOCX),
        ("application/zip", Content("docx"), "application/zip"),
        ("application/rtf", Content("text", binary="rtf"), "application/rtf"),
        ("application/x-own", Content(""), "application/x-own"),
        ("application/x-own", TEXT, "application/x-own"),
        (UNDECLARED, Content("png"), "image/png"),
        (UNDECLARED, Content("pdf"), "application/pdf"),
        (UNDECLARED, TEXT, "text/plain"),
        (UNDECLARED, HTML, "text/html"),
        (UNDECLARED, SVG, "image/svg+xml"),
        (UNDECLARED, Content("zip"), "application/zip"),
        (UNDECLARED, Content("exe"), "application/vnd.microsoft.portable-executable"),
        (UNDECLARED, Content("audio/x-unheard-of"), "audio/x-unheard-of"),
        (UNDECLARED, Content(""), UNDECLARED),
    ],
)
def test_what_agrees(declared: str, content: Content, agreed: str):
    assert agreed_type(declared, content, "name") == agreed


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        ("image/png", HTML),
        ("image/png", SVG),
        ("image/png", Content("zip")),
        ("image/png", Content("heic")),
        ("image/png", Content("pdf")),
        ("image/png", Content("")),
        ("application/pdf", HTML),
        ("application/pdf", Content("png")),
        ("text/plain", Content("png")),
        ("text/csv", Content("zip")),
        ("text/csv", Content("ole")),
        ("text/plain", Content("pdf")),
        ("text/plain", Content("")),
        ("image/svg+xml", TEXT),
        ("image/svg+xml", Content("png")),
        (DOCX, Content("zip")),
        (DOCX, Content("xlsx")),
        ("audio/mpeg", Content("exe")),
        ("audio/mpeg", TEXT),
        ("application/x-own", HTML),
        ("application/x-own", Content("exe")),
    ],
)
def test_what_does_not(declared: str, content: Content):
    with pytest.raises(UnsupportedTypeError) as refused:
        agreed_type(declared, content, "name")
    assert declared in refused.value.message

"""What type a file is taken for, and which types are allowed."""

import pytest

from backchannel.errors import ConfigurationError, UnsupportedTypeError
from backchannel.file_checks.known_types import KINDS, UNDECLARED
from backchannel.file_checks.types import DEFAULT_TYPES, AllowedTypes, canonical_type, declared_type, kind_of

pytestmark = pytest.mark.row("E2")

DEFAULT = AllowedTypes.parse(DEFAULT_TYPES)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("mime_type", "name", "taken_for"),
    [
        ("image/png", "a.png", "image/png"),
        ("image/jpg", "a.jpeg", "image/jpeg"),
        ("image/pjpeg", "a.jfif", "image/jpeg"),
        ("", "a.JPE", "image/jpeg"),
        ("application/octet-stream", "a.md", "text/markdown"),
        ("", "a.md", "text/markdown"),
        ("text/x-markdown", "a.md", "text/markdown"),
        ("text/plain;charset=utf-8", "a.txt", "text/plain"),
        ("Text/Plain; charset=UTF-8", "a.txt", "text/plain"),
        ("application/vnd.ms-excel", "a.csv", "text/csv"),
        ("application/vnd.ms-excel", "a.xls", "application/vnd.ms-excel"),
        ("text/plain", "a.csv", "text/csv"),
        ("text/csv", "a.txt", "text/csv"),
        ("video/mp2t", "a.ts", "text/plain"),
        ("application/x-shellscript", "a.sh", "text/plain"),
        ("application/javascript", "a.js", "text/plain"),
        ("text/javascript", "a", "text/plain"),
        ("application/x-unheard-of", "a.py", "text/plain"),
        ("text/x-unheard-of", "a", "text/plain"),
        ("application/x-pdf", "a.pdf", "application/pdf"),
        ("application/json", "a.txt", "application/json"),
        ("", "Dockerfile", "text/plain"),
        ("", "README", "text/plain"),
        ("", "blob", UNDECLARED),
        ("", "", UNDECLARED),
        ("nonsense", "a.b.qqq", UNDECLARED),
        ("image/png", "blob", "image/png"),
        ("image/png", "a.jpg", "image/png"),
        ("application/zip", "a.docx", DOCX),
        ("image/heif-sequence", "a.HEIC", "image/heic"),
        # Active content counts if either says so.
        ("text/plain", "a.html", "text/html"),
        ("text/html", "a.txt", "text/html"),
        ("text/plain", "a.svg", "image/svg+xml"),
        ("application/rss+xml", "a", "text/xml"),
        ("application/xhtml+xml", "a.xhtml", "application/xhtml+xml"),
    ],
)
def test_what_a_file_is_taken_for(mime_type: str, name: str, taken_for: str):
    assert declared_type(mime_type, name) == taken_for


@pytest.mark.parametrize(
    ("mime_type", "name"),
    [
        ("image/png", "a.pdf"),
        ("image/png", "a.txt"),
        ("image/png", "a.svg"),
        ("text/plain", "a.png"),
        ("image/jpeg", "a.exe"),
        ("application/pdf", "a.docx"),
        ("application/zip", "a.csv"),
        ("application/vnd.ms-excel", "a.txt"),
        ("image/png", "a.jpg\u202e.exe"),
    ],
)
def test_a_type_and_a_name_that_contradict_each_other(mime_type: str, name: str):
    with pytest.raises(UnsupportedTypeError, match="name ends with"):
        declared_type(mime_type, name)


def test_every_known_type_is_taken_for_itself():
    for kind in KINDS:
        assert canonical_type(kind.mime_type) == kind.mime_type
        for alias in kind.aliases:
            assert canonical_type(alias.upper()) == kind.mime_type
        for ending in kind.extensions:
            assert declared_type(kind.mime_type, f"a.{ending}") in {
                kind.mime_type,
                declared_type("", f"a.{ending}"),
            }


def test_the_table_says_nothing_twice():
    aliases = [each for kind in KINDS for each in (kind.mime_type, *kind.aliases)]
    endings = [each for kind in KINDS for each in kind.extensions]
    assert sorted(aliases) == sorted(set(aliases))
    assert sorted(endings) == sorted(set(endings))


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "a.jpg",
        "a.gif",
        "a.webp",
        "a.pdf",
        "a.txt",
        "a.md",
        "a.csv",
        "a.json",
        "a.py",
        "a.tsx",
        "a.yaml",
        "Makefile",
        "blob",
    ],
)
def test_what_is_allowed_without_settings(name: str):
    DEFAULT.check("", name)


@pytest.mark.parametrize(
    "name",
    [
        "a.html",
        "a.svg",
        "a.xml",
        "a.zip",
        "a.docx",
        "a.xls",
        "a.exe",
        "a.heic",
        "a.mp3",
        "a.ico",
        "a.avif",
        "a.tiff",
        "a.url",
        "a.rtf",
    ],
)
def test_what_is_not_allowed_without_settings(name: str):
    with pytest.raises(UnsupportedTypeError) as refused:
        DEFAULT.check("", name)
    assert refused.value.details["allowed"] == DEFAULT.listed()
    assert "image/png" in refused.value.message


def test_wildcards_include_no_active_content():
    allowed = AllowedTypes.parse("image/*, text/*, audio/*, video/*")
    for name in ("a.png", "a.webp", "a.txt", "a.csv", "a.mp3", "a.mp4"):
        allowed.check("", name)
    for name in ("a.svg", "a.html", "a.xml", "a.xhtml", "a.heic", "a.bmp", "a.ico", "a.pdf"):
        with pytest.raises(UnsupportedTypeError):
            allowed.check("", name)
    for mime_type in ("image/svg+xml", "text/html", "text/xml", "text/xsl", "audio/x+xml"):
        with pytest.raises(UnsupportedTypeError):
            allowed.check(mime_type, "a")
    allowed.check("audio/x-unheard-of", "a")


def test_what_is_named_is_allowed():
    allowed = AllowedTypes.parse(" image/SVG+xml ,.DOCX,, .parquet, application/x-own")
    allowed.check("", "a.svg")
    allowed.check("", "a.docx")
    allowed.check("application/x-own", "a.own")
    allowed.check("", "a.parquet")
    for name in ("a.html", "a.xlsx", "a.png"):
        with pytest.raises(UnsupportedTypeError):
            allowed.check("", name)
    assert allowed.includes(UNDECLARED, "a.parquet")
    assert not allowed.includes(UNDECLARED, "a.other")
    assert not allowed.includes(kind_of("exe").mime_type, "a.exe")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "png",
        "*/*",
        "image/",
        "/png",
        "application/*",
        "image/png image/gif",
        "..",
        "application/octet-stream",
    ],
)
def test_lists_that_cannot_be_read(text: str):
    with pytest.raises(ConfigurationError):
        AllowedTypes.parse(text)


def test_the_composer_gets_types_with_their_extensions():
    accepted = AllowedTypes.parse("image/jpeg, .docx, .parquet, audio/*").accept()
    assert ".jfif" in accepted["image/jpeg"]
    assert accepted[DOCX] == [".docx"]
    assert accepted[UNDECLARED] == [".parquet"]
    assert accepted["audio/*"] == []

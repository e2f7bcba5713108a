"""What a file is taken for by its name and declared type, and what may be uploaded."""

import pytest

from backchannel.errors import ConfigurationError, UnsupportedTypeError
from backchannel.file_checks.types import DEFAULT_TYPES, AllowedTypes, declared_type

pytestmark = pytest.mark.row("E2")


@pytest.mark.parametrize(
    ("declared", "name", "found"),
    [
        ("image/png", "a.png", "image/png"),
        ("image/jpg", "a.jpeg", "image/jpeg"),
        ("IMAGE/PJPEG", "a.JPG", "image/jpeg"),
        # jshttp/mime-types#101
        ("", "a.jfif", "image/jpeg"),
        ("application/x-pdf", "a.pdf", "application/pdf"),
        # DFE-Digital/get-help-with-tech#1219, codice/ddf#6329
        ("application/vnd.ms-excel", "a.csv", "text/csv"),
        ("application/octet-stream", "a.csv", "text/csv"),
        # danny-avila/LibreChat#1822
        ("", "a.md", "text/markdown"),
        ("text/x-markdown", "a.md", "text/markdown"),
        # danny-avila/LibreChat#14804
        ("application/x-shellscript", "a.sh", "text/plain"),
        ("video/mp2t", "a.ts", "text/plain"),
        # supabase/storage#1381
        ("text/plain;charset=UTF-8", "a.txt", "text/plain"),
        ("application/octet-stream", "a.py", "text/plain"),
        ("", "Makefile", "text/plain"),
        ("text/plain", "noext", "text/plain"),
        ("", "noext", "application/octet-stream"),
        ("nonsense", "a.txt", "text/plain"),
        # What a browser could run is that, whichever of the two says so.
        ("text/plain", "a.html", "text/html"),
        ("text/html", "a.txt", "text/html"),
        ("image/svg+xml", "a.svg", "image/svg+xml"),
    ],
)
def test_what_it_is_taken_for(declared: str, name: str, found: str):
    assert declared_type(declared, name) == found


@pytest.mark.parametrize(
    ("declared", "name"),
    [("image/png", "a.pdf"), ("application/pdf", "a.png"), ("text/plain", "a.exe"), ("image/png", "a.txt")],
)
def test_what_contradicts_itself(declared: str, name: str):
    with pytest.raises(UnsupportedTypeError):
        declared_type(declared, name)


@pytest.mark.parametrize(
    ("types", "mime_type", "name", "taken"),
    [
        (DEFAULT_TYPES, "image/webp", "a.webp", True),
        (DEFAULT_TYPES, "text/x-python", "a.py", True),
        (DEFAULT_TYPES, "application/zip", "a.zip", False),
        (DEFAULT_TYPES, "text/html", "a.html", False),
        (DEFAULT_TYPES, "image/svg+xml", "a.svg", False),
        (DEFAULT_TYPES, "image/heic", "a.heic", False),
        ("image/*, text/*", "image/svg+xml", "a.svg", False),
        ("image/*, text/*", "text/html", "a.html", False),
        ("image/*, text/html", "text/html", "a.html", True),
        ("image/*", "image/tiff", "a.tiff", False),
        (".docx", "application/zip", "a.docx", True),
        (".docx", "application/zip", "a.zip", False),
        (".xyz", "application/octet-stream", "a.xyz", True),
        # pocketbase/pocketbase#6808
        ("audio/*", "audio/x-m4a", "a.m4a", True),
    ],
)
def test_what_may_be_uploaded(types: str, mime_type: str, name: str, taken: bool):
    allowed = AllowedTypes.parse(types)
    if taken:
        allowed.check(mime_type, name)
        return
    with pytest.raises(UnsupportedTypeError) as caught:
        allowed.check(mime_type, name)
    assert "Allowed are" in caught.value.message


@pytest.mark.parametrize("types", ["", " , ", "png", "*/*", "application/*", "image", ".."])
def test_a_list_that_says_nothing_is_refused(types: str):
    with pytest.raises(ConfigurationError):
        AllowedTypes.parse(types)

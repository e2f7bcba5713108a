"""Names of files: shown to people, in a header, and never a path."""

import unicodedata

import pytest

from backchannel.file_checks.names import MAX_NAME_BYTES, content_disposition, display_name, extension

pytestmark = pytest.mark.row("E2", "E4")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("plan.pdf", "plan.pdf"),
        ("Grüße 文件 😀 مرحبا.txt", "Grüße 文件 😀 مرحبا.txt"),
        # heypinchy/pinchy#729: the same name in two forms of Unicode.
        ("nai\u0308ve.txt", "naïve.txt"),
        # OpenBMB/ChatDev#641
        ("../../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\fakepath\\photo.jpg", "photo.jpg"),
        # orhun/rustypaste#2
        ("../.", "file"),
        ("..", "file"),
        ("", "file"),
        (" . . ", "file"),
        ("\u200b\u3164", "file"),
        # open-mercato/cezar#988
        ("brief\u202efdm.exe", "brieffdm.exe"),
        ("a\u2066b\u2069c\u200e.txt", "abc.txt"),
        # pallets/werkzeug#1175
        ("a\r\nb\0c\x1b.txt", "a bc.txt"),
        ("trailing. . ", "trailing"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("half \ud800.txt", "half .txt"),
        ("family 👩\u200d👧.txt", "family 👩\u200d👧.txt"),
        ("a+b%20#1?.txt", "a+b%20#1?.txt"),
        (".env", ".env"),
    ],
)
def test_what_is_shown(sent: str, shown: str):
    assert display_name(sent) == shown
    assert display_name(shown) == shown


@pytest.mark.parametrize("character", ["x", "文", "😀", "é"])
def test_a_long_name_is_shortened_before_its_extension(character: str):
    """open-webui/open-webui#25954: file systems count bytes."""
    name = display_name(character * 10_000 + ".docx")
    assert name.endswith(f"{character}.docx")
    assert MAX_NAME_BYTES - 4 < len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tar.gz", "gz"),
        ("A.PDF", "pdf"),
        ("noext", ""),
        ("a.", ""),
        ("photo.jpg.exe", "exe"),
        ("a.jpg\u202egpj", "jpggpj"),
    ],
)
def test_the_extension_is_that_of_what_is_shown(name: str, expected: str):
    assert extension(name) == expected


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("plan.pdf", "attachment; filename=\"plan.pdf\"; filename*=UTF-8''plan.pdf"),
        # Kludex/starlette#1019
        ("naïve 文.txt", "attachment; filename=\"naive _.txt\"; filename*=UTF-8''na%C3%AFve%20%E6%96%87.txt"),
        # paradigmxyz/centaur#67
        ('a"; x=".txt', "attachment; filename=\"a_; x=_.txt\"; filename*=UTF-8''a%22%3B%20x%3D%22.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
def test_the_header(name: str, header: str):
    assert content_disposition(name) == header


def test_no_name_breaks_the_header():
    found = content_disposition("x\r\nSet-Cookie: a=b" + "文" * 10_000)
    assert found.isascii()
    assert found.isprintable()
    assert len(found) < 1024

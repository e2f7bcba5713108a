"""Names of files, as they are shown and as a response carries them."""

import unicodedata
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.file_checks.names import MAX_NAME_BYTES, content_disposition, display_name, extension

pytestmark = pytest.mark.row("E2")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../x", "x"),
        ("..\\..\\evil.txt", "evil.txt"),
        ("C:\\Users\\me\\x.png", "x.png"),
        ("/etc/passwd", "passwd"),
        ("folder/", "folder"),
        ("a/..", "a"),
        ("", "file"),
        (".", "file"),
        ("..", "file"),
        (". . .", "file"),
        ("../.", "file"),
        ("\x00\u202e\u200b", "file"),
        ("a.txt. . ", "a.txt"),
        ("  a .txt", "a .txt"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("LPT\u00b9.log", "_LPT\u00b9.log"),
        ("COM10.txt", "COM10.txt"),
        ("console.log", "console.log"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("\u2066a\u2069\u061c\u200e\u200f.txt", "a.txt"),
        ("a\u200bb\ufeffc\u00ad.txt", "abc.txt"),
        ("\u3164\u115f.txt", ".txt"),
        ("x.png\x00.html", "x.png.html"),
        ("a\r\nb\tc.txt", "a b c.txt"),
        ("Screenshot 3.04\u202fPM.png", "Screenshot 3.04 PM.png"),
        ("a\u0308.png", "\u00e4.png"),
        ("\u1100\u1161.txt", "\uac00.txt"),
        ("x\ud800.png", "x.png"),
        ("2024-01-29T10:48:15.595Z.txt", "2024-01-29T10:48:15.595Z.txt"),
        ("a?b#c%20d+e&f@g.txt", "a?b#c%20d+e&f@g.txt"),
        ("\u0645\u0644\u0641.pdf", "\u0645\u0644\u0641.pdf"),
        ("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt", "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt"),
        ("a\u200db.txt", "ab.txt"),
        (".gitignore", ".gitignore"),
        ("v1.2.final.tar.gz", "v1.2.final.tar.gz"),
    ],
)  # fmt: skip
def test_what_is_shown(name: str, shown: str):
    assert display_name(name) == shown


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.PNG", "png"),
        ("a.tar.gz", "gz"),
        ("photo.jpg.exe", "exe"),
        ("invoice\u202egpj.exe", "exe"),
        ("x.png\x00.html", "html"),
        ("x.html. ", "html"),
        ("x.html/", "html"),
        ("Makefile", ""),
        (".env", "env"),
        ("a.", ""),
        ("a.b c", ""),
        ("a.\u0440\u0444", ""),
        ("../.", ""),
    ],
)
def test_the_extension_is_that_of_the_shown_name(name: str, ending: str):
    assert extension(name) == ending


@pytest.mark.parametrize(
    "name",
    ["x" * 10_000 + ".png", "\u6587" * 300 + ".png", "\U0001f680" * 5000 + ".png", "e\u0301" * 400 + ".png"],
)
def test_a_long_name_is_shortened_before_its_extension(name: str):
    shown = display_name(name)
    assert MAX_NAME_BYTES - 4 <= len(shown.encode()) <= MAX_NAME_BYTES
    assert shown.endswith(".png")
    assert name[0] == shown[0] or name[0] == "e"


def test_a_name_of_millions_of_marks_takes_no_time():
    assert len(display_name("a" + "\u0301\u0323" * 1_000_000 + ".txt").encode()) <= MAX_NAME_BYTES


AWKWARD = st.text(
    st.one_of(st.characters(), st.sampled_from('./\\ "\r\n%;\u202e\u200d\u0301\u3164')), max_size=400
)


@given(AWKWARD)
def test_every_name_becomes_a_harmless_one(name: str):
    shown = display_name(name)
    assert shown == display_name(shown)
    assert 1 <= len(shown.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", shown)
    assert not set(shown) & set("/\\\0\r\n\u202e")
    assert shown[-1] not in " ."


@given(AWKWARD)
def test_every_header_is_one_line_and_gives_the_name_back(name: str):
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert len(header) <= 1024
    assert header.count('"') == 2
    plain, _, extended = header.partition("; filename*=")
    parsed = Message()
    parsed["Content-Disposition"] = f"attachment; filename*={extended}"
    assert parsed.get_filename() == display_name(name)
    parsed.replace_header("Content-Disposition", plain)
    assert parsed.get_filename()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("\u00fcbung.pdf", "attachment; filename=\"ubung.pdf\"; filename*=UTF-8''%C3%BCbung.pdf"),
        ('a"b;c.txt', "attachment; filename=\"a_b;c.txt\"; filename*=UTF-8''a%22b%3Bc.txt"),
        ("\u5831\u544a-\U0001f680.pdf", "attachment; filename=\"__-_.pdf\"; filename*=UTF-8''%E5%A0%B1%E5%91%8A-%F0%9F%9A%80.pdf"),
        ("\u00b8", "attachment; filename=\"file\"; filename*=UTF-8''%C2%B8"),
        ("\uff23\uff2f\uff2e", "attachment; filename=\"_CON\"; filename*=UTF-8''%EF%BC%A3%EF%BC%AF%EF%BC%AE"),
        ("a\r\nSet-Cookie: x", "attachment; filename=\"a Set-Cookie: x\"; filename*=UTF-8''a%20Set-Cookie%3A%20x"),
    ],
)  # fmt: skip
def test_headers(name: str, header: str):
    assert content_disposition(name) == header

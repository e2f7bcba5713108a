"""Which bytes are text, in which encoding, and what of it the model gets."""

import codecs
import os
from pathlib import Path

import pytest

from backchannel.file_checks.texts import PROBE_BYTES, cleaned, encoding_of, read_text, shortened

pytestmark = pytest.mark.row("E2", "E3")

JAPANESE = "\u3053\u308c\u306f\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002\u30ab\u30bf\u30ab\u30ca\u3068\u6f22\u5b57\u3002\n"
NAMES = "\u540d\u524d,\u4f4f\u6240\n\u5c71\u7530\u592a\u90ce,\u6771\u4eac\u90fd\n"
CHINESE = "\u8fd9\u662f\u4e00\u4e2a\u7b80\u5355\u7684\u4e2d\u6587\u6587\u672c\u6587\u4ef6\uff0c\u7528\u6765\u6d4b\u8bd5\u7f16\u7801\u7684\u8bc6\u522b\u3002\n"
TRADITIONAL = "\u9019\u662f\u4e00\u500b\u7e41\u9ad4\u4e2d\u6587\u7684\u6587\u5b57\u6a94\u6848\uff0c\u7528\u4f86\u6e2c\u8a66\u7de8\u78bc\u7684\u8b58\u5225\u3002\n"
KOREAN = "\uc774\uac83\uc740 \ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8 \ud30c\uc77c\uc785\ub2c8\ub2e4.\n"
RUSSIAN = "\u042d\u0442\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0439 \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442 \u0434\u043b\u044f \u043f\u0440\u043e\u0432\u0435\u0440\u043a\u0438.\n"
WESTERN = "Caf\u00e9 cr\u00e8me, na\u00efve \u2018don\u2019t\u2019 \u20ac 5\nGr\u00f6\u00dfe;Stra\u00dfe\n"
ENGLISH = "It\u2019s Bob\u2019s; we don\u2019t and won\u2019t \u201cquote\u201d it.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (NAMES, "cp932"),
        (CHINESE, "gb18030"),
        (TRADITIONAL, "big5"),
        (KOREAN, "cp949"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (WESTERN, "cp1252"),
        (ENGLISH, "cp1252"),
        *((each, "utf-8") for each in (JAPANESE, KOREAN, WESTERN, "plain", "\U0001f680")),
        *((each, "utf-16-le") for each in (JAPANESE, CHINESE, RUSSIAN, WESTERN, "a,b\r\n1,2\r\n", "hi")),
        *((each, "utf-16-be") for each in (JAPANESE, RUSSIAN, WESTERN, "a,b\r\n1,2\r\n")),
    ],
)  # fmt: skip
def test_an_encoding_that_nothing_declares(tmp_path: Path, text: str, encoding: str):
    written = text.encode(encoding)
    assert encoding_of(written) == encoding
    (tmp_path / "f").write_bytes(written)
    found = read_text(tmp_path / "f", "", 1000, lambda: False)
    assert found is not None
    assert found.start == text.replace("\r\n", "\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_decides_and_is_not_part_of_the_text(tmp_path: Path, encoding: str):
    (tmp_path / "f").write_bytes(("\ufeff" + JAPANESE).encode(encoding))
    found = read_text(tmp_path / "f", "cp1252", 1000, lambda: False)
    assert found is not None
    assert (found.encoding, found.start) == (encoding, JAPANESE)


@pytest.mark.parametrize(
    "content",
    [
        b"text\0text",
        b"\0",
        b"\0\1\2\3",
        b"ab\0cd",
        codecs.BOM_UTF16_LE + b"a\0\0\0",
        codecs.BOM_UTF8 + b"\xff\xfe",
        b"\x01\x02\x03\x04\x05\x06",
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(50),
        bytes(range(256)),
        bytes(range(1, 256)) * 10,
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes):
    assert encoding_of(content) is None
    (tmp_path / "f").write_bytes(content)
    assert read_text(tmp_path / "f", "", 1000, lambda: False) is None


def test_no_noise_is_text():
    taken = [size for size in range(40, 2000, 20) if encoding_of(os.urandom(size))]
    assert taken == []


def test_nul_bytes_are_found_wherever_they_are(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"a" * 3_000_000 + b"\0")
    assert read_text(tmp_path / "f", "", 1000, lambda: False) is None


# Stack-Cairn/LiveAgent#232: the end of what is looked at cuts a character, and the file is taken for binary.
@pytest.mark.parametrize("character", ["\u00e9", "\u6587", "\U0001f680"])
def test_a_character_may_be_cut_at_any_place(tmp_path: Path, character: str):
    for before in range(4):
        content = b"a" * (PROBE_BYTES - before) + character.encode() * 3
        (tmp_path / "f").write_bytes(content)
        found = read_text(tmp_path / "f", "", PROBE_BYTES * 2, lambda: False)
        assert found is not None
        assert found.start.endswith("a" + character * 3)
    (tmp_path / "f").write_bytes(b"text " + character.encode()[:-1])
    found = read_text(tmp_path / "f", "", 1000, lambda: False)
    assert found is not None
    assert found.start == "text "


def test_letters_beyond_ascii_may_come_late(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"a" * 1_500_000 + WESTERN.encode("cp1252"))
    found = read_text(tmp_path / "f", "", 2_000_000, lambda: False)
    assert found is not None
    assert found.encoding == "cp1252"
    assert found.start.endswith(WESTERN)


@pytest.mark.parametrize("charset", ["cp1250", '"windows-1250"', "WINDOWS-1250 "])
def test_a_declared_encoding_counts_where_bytes_leave_a_choice(tmp_path: Path, charset: str):
    (tmp_path / "f").write_bytes("P\u0159\u00edli\u0161 \u017elu\u0165".encode("cp1250"))
    found = read_text(tmp_path / "f", charset, 1000, lambda: False)
    assert found is not None
    assert found.start == "P\u0159\u00edli\u0161 \u017elu\u0165"


@pytest.mark.parametrize(
    "charset", ["foo-1", "rot13", "base64", "zlib", "idna", "x" * 10_000, "\ud800", "cp1252\0"]
)
def test_another_declared_encoding_does_not_matter(charset: str):
    assert encoding_of(WESTERN.encode(), charset) == "utf-8"
    assert encoding_of(WESTERN.encode("cp1252"), charset) == "cp1252"


# Halves of emoji, as JavaScript and Java write them.
def test_halves_of_emoji_are_joined_or_replaced():
    assert cleaned("\ud83d\ude80!") == "\U0001f680!"
    assert cleaned("a\ud83db\ude80") == "a\ufffdb\ufffd"
    assert encoding_of(b"a\xed\xa0\xbd\xed\xb8\x80") == "utf-8"
    assert encoding_of("a\ud83d, and so on".encode("utf-16-le", "surrogatepass")) is None
    assert encoding_of(codecs.BOM_UTF16_LE + "a\ud83d".encode("utf-16-le", "surrogatepass")) == "utf-16-le"


def test_control_characters_do_not_reach_the_model():
    assert cleaned("\x1b[31mred\x07\x00\r\nx\ry\x85\ufeff") == "[31mred\nx\ny\x85"
    assert encoding_of(b"\x1b[31mred\x1b[0m line\x0c\n") == "utf-8"


def test_a_line_of_ten_megabytes_is_cut_with_a_note(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"x" * 10_000_000)
    found = read_text(tmp_path / "f", "", 1000, lambda: False)
    assert found is not None
    assert found.characters == 10_000_000
    assert len(found.start) <= 1000
    assert found.start.endswith("of 10,000,000 characters.]")


def test_text_that_fits_has_no_note(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"x" * 1000)
    found = read_text(tmp_path / "f", "", 1000, lambda: False)
    assert found is not None
    assert found.start == "x" * 1000


def test_the_note_counts():
    assert len(shortened("x" * 500, 120, all_of_it="9 pages")) == 120


def test_reading_ends_when_it_is_cancelled(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"x" * 5_000_000)
    asked: list[None] = []

    def is_cancelled() -> bool:
        asked.append(None)
        return len(asked) > 1

    assert read_text(tmp_path / "f", "", 1000, is_cancelled) is None
    assert len(asked) == 3

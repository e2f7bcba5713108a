"""Encodings of texts that do not say theirs: UTF-16 without a mark, and those from before Unicode.

A guess by what is usual in each: short texts, and languages that are not looked for, are read as Western European.
"""

import codecs
import itertools
import unicodedata
from collections.abc import Callable

_SAMPLE_BYTES = 16_384
_MIN_SHARE = 0.75

_HINTS = frozenset(
    {"utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "gb2312",
     "gbk", "gb18030", "big5", "big5hkscs", "euc_kr", "cp949", "koi8-r", "koi8-u", "cp866", "mac-roman"}
    | {f"cp{number}" for number in range(1250, 1259)}
    | {f"iso8859-{number}" for number in (*range(1, 12), *range(13, 17))}
)  # fmt: skip


def hinted_encoding(charset: str) -> str | None:
    """The encoding of text that a client names; `None` if there is none of that name."""
    try:
        name = codecs.lookup(charset.strip("\"' ")).name if charset else ""
    except (LookupError, ValueError):
        return None
    return name if name in _HINTS else None


def utf16_without_bom(head: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` if bytes with NULs among them are text in it, else `None`."""
    head = head[: len(head) // 2 * 2][:_SAMPLE_BYTES]
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        if len(text) >= 2 and all(map(_is_character, text)) and _is_one_script(text):
            return encoding
    return None


def legacy_encoding(head: bytes) -> str | None:
    """The likely encoding of text that is not UTF-8; `None` if it is none of those known here."""
    # A character at the end may be cut.
    sample = head[:_SAMPLE_BYTES]
    high = sum(each >= 0x80 for each in sample)
    if not high:
        return None
    for encoding, is_usual in _MULTIBYTE:
        pairs = _pairs(sample, encoding)
        if pairs and is_usual(pairs):
            return encoding
    letters = sum(each >= 0xC0 for each in sample)
    if letters > high * _MIN_SHARE and _has_words_of(sample):
        # Small letters are the more frequent half, and the two encodings have them in different halves.
        return "cp1251" if sum(each >= 0xE0 for each in sample) * 2 > letters else "koi8-r"
    return "cp1252" if _decodes(sample, "cp1252") else None


def _is_character(each: str) -> bool:
    return each in "\n\r\t\f" or unicodedata.category(each) not in {"Cc", "Cn", "Co", "Cs"}


def _is_one_script(text: str) -> bool:
    """Whether the letters are Latin and of one other script. Bytes in the wrong order are of many."""
    ascii_share = sum(each in "\n\r\t" or " " <= each <= "~" for each in text) / len(text)
    if ascii_share >= 0.9:
        return True
    scripts = [_script(each) for each in text if each.isalpha()]
    others = [each for each in scripts if each != "LATIN"]
    most = max((others.count(each) for each in set(others)), default=0)
    alike = most + len(scripts) - len(others)
    return len(text) >= 8 and alike >= len(scripts) * 0.9 and any(each in " \n\u3000" for each in text)


def _script(letter: str) -> str:
    found = unicodedata.name(letter, "").partition(" ")[0]
    return (
        "CJK" if found in {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "FULLWIDTH"} else found
    )


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _pairs(sample: bytes, encoding: str) -> list[tuple[str, bytes]]:
    """The characters beyond ASCII with their bytes; none if the sample is not in this encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
        return [(each, each.encode(encoding)) for each in text if each > "\x7f"]
    except UnicodeError:
        return []


def _share(pairs: list[tuple[str, bytes]], is_usual: Callable[[str, bytes], bool]) -> float:
    return sum(is_usual(*each) for each in pairs) / len(pairs)


def _is_japanese(pairs: list[tuple[str, bytes]]) -> bool:
    # No Japanese text is without kana; half-width ones are what single bytes of other encodings look like.
    kana = _share(pairs, lambda each, _: "\u3041" <= each <= "\u30fe")
    odd = _share(pairs, lambda each, _: "\uff61" <= each <= "\uff9f" or each > "\uffef")
    return kana >= 0.2 and odd <= 0.2


def _is_korean(pairs: list[tuple[str, bytes]]) -> bool:
    return _share(pairs, lambda _, code: 0xB0 <= code[0] <= 0xC8 and code[-1] >= 0xA1) >= 0.9


def _is_simplified(pairs: list[tuple[str, bytes]]) -> bool:
    return _share(pairs, _is_common_in_gb) >= _MIN_SHARE


def _is_common_in_gb(_: str, code: bytes) -> bool:
    return len(code) == 2 and code[1] >= 0xA1 and (0xB0 <= code[0] <= 0xD7 or code[0] in {0xA1, 0xA3})


def _is_traditional(pairs: list[tuple[str, bytes]]) -> bool:
    return _share(pairs, lambda _, code: 0xA1 <= code[0] <= 0xC6) >= _MIN_SHARE


def _is_kanji(pairs: list[tuple[str, bytes]]) -> bool:
    return (
        _share(pairs, lambda _, code: len(code) == 2 and (0x88 <= code[0] <= 0x97 or code[0] == 0x81)) >= 0.9
    )


_MULTIBYTE: tuple[tuple[str, Callable[[list[tuple[str, bytes]]], bool]], ...] = (
    ("euc_jp", _is_japanese),
    ("cp932", _is_japanese),
    ("cp949", _is_korean),
    ("gb18030", _is_simplified),
    ("big5", _is_traditional),
    ("cp932", _is_kanji),
)


def _has_words_of(sample: bytes) -> bool:
    """Whether most letters beyond ASCII stand beside each other, as in words of another alphabet."""
    beside = sum(left >= 0xC0 and right >= 0xC0 for left, right in itertools.pairwise(sample))
    return beside * 2 > sum(each >= 0xC0 for each in sample)

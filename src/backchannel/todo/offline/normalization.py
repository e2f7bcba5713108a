"""Normalizes text before it is parsed, and replaces quoted parts by placeholders.

A quoted part is a title or a search text that must stay as it is. One character of the Unicode private use
area replaces it while the rules run; `put_back` restores it afterwards.
"""

import re
import unicodedata

_PRIVATE_START = 0xE000
_PRIVATE_COUNT = 200
QUOTED = "[\ue000-\ue0ff]"
"""A pattern for one quoted part that was set aside."""

_QUOTES = re.compile(r'"([^"\n]+)"|(?<!\w)\'([^\'\n]+)\'(?!\w)|`([^`\n]+)`')
_PLAIN = str.maketrans(
    {
        "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "´": "'",
        "\u00a0": " ", "\u202f": " ", "\t": " ", "\r": "\n", "–": "-", "—": "-", "…": "...",
    }
)  # fmt: skip
_PRIVATE = re.compile(f"{QUOTED}")


def plain(text: str) -> str:
    """The text with straight quotes, simple dashes and single spaces; line breaks stay."""
    text = _PRIVATE.sub("", unicodedata.normalize("NFC", text)).translate(_PLAIN)
    lines = (re.sub(r" +", " ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def set_aside(text: str) -> tuple[str, tuple[str, ...]]:
    """The normalized text with each quoted part replaced by one private use character, and those parts in order."""
    parts: list[str] = []

    def keep(match: re.Match[str]) -> str:
        inside = next(group for group in match.groups() if group is not None).strip()
        if not inside or len(parts) >= _PRIVATE_COUNT:
            return match.group()
        parts.append(inside)
        return chr(_PRIVATE_START + len(parts) - 1)

    return _QUOTES.sub(keep, text), tuple(parts)


def put_back(text: str, parts: tuple[str, ...], *, quotes: bool = False) -> str:
    """The text with its quoted parts back in place, inside `"…"` if `quotes`."""

    def back(match: re.Match[str]) -> str:
        index = ord(match.group()) - _PRIVATE_START
        part = parts[index] if index < len(parts) else ""
        return f'"{part}"' if quotes else part

    return _PRIVATE.sub(back, text)


def is_quoted(text: str) -> bool:
    """Whether the whole text is one quoted part."""
    return bool(re.fullmatch(QUOTED, text.strip()))


def trim(text: str) -> str:
    """The text without the spaces and punctuation around it; brackets and other signs stay."""
    return re.sub(r"^[\s,;:.!?-]+|[\s,;:.!?-]+$", "", text)


def cut(text: str, start: int, end: int) -> str:
    """The text without `text[start:end]`, with no doubled spaces or commas where it was."""
    left, right = text[:start].rstrip(" ,-("), text[end:].lstrip(" ,-)")
    if right and right[0] in ".!?;:":
        return left + right
    return f"{left} {right}".strip()

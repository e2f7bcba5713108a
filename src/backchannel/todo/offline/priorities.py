"""Parses words for a priority as the numbers 0 to 5.

A number is passed on unchanged, even out of range: the tool validates it.
"""

import re
from dataclasses import dataclass

_WORDS: dict[str, int] = {
    "no": 0, "none": 0, "zero": 0, "lowest": 1, "very low": 1, "minimum": 1, "minimal": 1, "low": 2,
    "lower": 2, "medium": 3, "mid": 3, "normal": 3, "moderate": 3, "middle": 3, "average": 3, "high": 4,
    "higher": 4, "important": 4, "very high": 5, "highest": 5, "top": 5, "urgent": 5, "critical": 5,
    "max": 5, "maximum": 5, "maximal": 5, "asap": 5,
}  # fmt: skip
_ANY_WORD = "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True))
_LEAD = r"(?:(?:and|with|at|of|as|it's|its|it is|a|an|the|is|in|has)\s+)*"
_NUMBER = r"-?\d{1,6}"
_PHRASES = (
    re.compile(rf"\b{_LEAD}(?P<word>{_ANY_WORD})[ -]prio(?:rity)?\b", re.IGNORECASE),
    re.compile(
        rf"\b{_LEAD}prio(?:rity)?(?:\s+level)?\s*(?:=|:|\bof\b|\bis\b|\bto\b|\bas\b)?\s*"
        rf"(?:(?P<number>{_NUMBER})\b|(?P<word>{_ANY_WORD})\b)",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<![\w.-]){_LEAD}p(?P<number>\d{{1,2}})\b(?![.'-]\w)", re.IGNORECASE),
    re.compile(rf"\b{_LEAD}(?P<word>asap)\b", re.IGNORECASE),
    re.compile(r"(?P<bangs>!{3,})"),
)
_AT_EDGE = re.compile(
    rf"^(?P<lead>(?:{_LEAD})(?:(?:very|really|super)\s+)?(?P<word>urgent|critical|important))"
    rf"(?:ly)?\s*(?:[:,!-]\s*|$)"
    rf"|(?P<tail>{_LEAD}(?:(?:very|really|super)\s+)?\b(?P<word2>urgent|critical|important))(?:ly)?[\s.!]*$",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:^|[\s,;:–-])+(?:(?:and|but)\s+)?(?:it's|its|it is|is|that's)?\s*(?:not|isn't|nothing)\s+"
    r"(?:(?:so|very|really|that|too|all that)\s+)?(?P<word>urgent|critical|important)[\s.!]*$",
    re.IGNORECASE,
)
_VALUE = re.compile(
    rf"(?:to\s+|at\s+|as\s+)?(?:the\s+)?(?:(?:p|prio|priority|level)\s*)?"
    rf"(?:(?P<number>{_NUMBER})(?:\s*/\s*5|\s+out of 5)?|(?P<word>{_ANY_WORD}))"
    rf"(?:\s+(?:priority|prio|level))?(?:\s+(?:please|now))?[.!]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FoundPriority:
    """A priority in a text: its value (0 to 5, or any other number in the text) and its position."""

    value: int
    start: int
    end: int
    word: str = ""


def find_priority(text: str) -> FoundPriority | None:
    """The first priority in a text, or `None`. `p1` to `p5` are the numbers 1 to 5."""
    if match := _NOT.search(text):
        return FoundPriority(_WORDS["low"], match.start(), match.end(), "low")
    for pattern in _PHRASES:
        if match := pattern.search(text):
            return _found(match)
    if match := _AT_EDGE.search(text):
        word = (match.group("word") or match.group("word2")).lower()
        return FoundPriority(_WORDS[word], match.start(), match.end(), word)
    return None


def priority_value(text: str) -> int | None:
    """Parse a text that is a priority as a whole, such as `5`, `high` or `priority 3`; `None` if it is not."""
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        return None
    return _found(match).value


def _found(match: re.Match[str]) -> FoundPriority:
    groups = match.groupdict()
    if groups.get("bangs"):
        return FoundPriority(5, match.start(), match.end(), "urgent")
    if groups.get("number"):
        return FoundPriority(int(groups["number"]), match.start(), match.end(), groups["number"])
    word = str(groups["word"]).lower()
    return FoundPriority(_WORDS[word], match.start(), match.end(), word)

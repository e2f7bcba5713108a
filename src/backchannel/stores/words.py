"""Words of a text, for searching: the same on every database, whatever its engine thinks a word is.

A word is a run of letters and digits without case and accents, so that `cafe` finds `Café` and quotes, operators
and wildcards are never syntax. Scripts that put no spaces between words (Chinese, Japanese) are taken sign by
sign.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatkit.types import AssistantMessageItem, ThreadItem, UserMessageItem

MAX_WORD_CHARS = 60
"""Longer words are cut, in texts as in queries: InnoDB's index ignores words of more than 84 characters."""

MAX_INDEXED_CHARS = 50_000
"""How much of one text can be found: PostgreSQL's index takes 1 MiB of words at most, and 16,383 places."""

MAX_QUERY_WORDS = 16
"""How many different words of a query count, the first ones."""

_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Combining marks belong to the letter before them.
_WORD = re.compile(
    f"[{_SIGNS}]|(?:(?![{_SIGNS}])[^\\W_\u0300-\u036f])(?:(?![{_SIGNS}])[^\\W_]|[\u0300-\u036f])*"
)
_SPACE = re.compile(r"\s+")
# What Markdown makes of words; an excerpt is plain text.
_MARKS = re.compile(r"\*\*|__|`+|(?:^|(?<=\n))#{1,6} ")


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it stands: `text[start:end]`."""

    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an excerpt; `match` if it is what was looked for."""

    text: str
    match: bool


def text_of(item: ThreadItem) -> str:
    """What of an item can be found: the words of people and assistants, and nothing that is hidden."""
    match item:
        case UserMessageItem():
            parts = [part.text for part in item.content]
        case AssistantMessageItem():
            parts = [part.text for part in item.content]
        case _:
            parts = []
    return "\n".join(parts)


def words_in(text: str) -> Iterator[Word]:
    """The words of a text, in order, of its first `MAX_INDEXED_CHARS`."""
    for found in _WORD.finditer(text[:MAX_INDEXED_CHARS]):
        if word := _plain(found.group()):
            yield Word(word, found.start(), found.end())


def query_words(query: str) -> list[str]:
    """The different words that a query asks for, at most `MAX_QUERY_WORDS`; none if it has no letter or digit."""
    different: dict[str, None] = {}
    for each in words_in(query):
        different[each.word] = None
        if len(different) == MAX_QUERY_WORDS:
            break
    return list(different)


def excerpt(text: str, asked: Sequence[str], *, chars: int = 160) -> list[Part]:
    """About `chars` characters of a text around the first word that begins with one of `asked`, in pieces.

    Empty if there is none. Spaces and line breaks become single spaces, Markdown's marks are left out, cuts are marked
    by an ellipsis.
    """
    hits = [each for each in words_in(text) if each.word.startswith(tuple(asked))]
    if not hits:
        return []
    start = max(0, min(hits[0].start - chars // 3, len(text) - chars))
    end = min(len(text), max(start + chars, hits[0].end))
    start, end = _at_space(text, start, hits[0].start, end)
    parts: list[Part] = []
    place = start
    for hit in hits:
        if hit.end > end:
            break
        parts += [Part(text[place : hit.start], match=False), Part(text[hit.start : hit.end], match=True)]
        place = hit.end
    parts.append(Part(text[place:end], match=False))
    return _tidy(parts, cut_before=start > 0, cut_after=end < len(text))


def _at_space(text: str, start: int, hit: int, end: int) -> tuple[int, int]:
    """The same window without the halves of words at its ends."""
    if start > 0 and (space := text.find(" ", start, hit)) >= 0:
        start = space + 1
    if end < len(text) and (space := text.rfind(" ", hit, end)) >= 0:
        end = space
    return start, end


def _tidy(parts: Sequence[Part], *, cut_before: bool, cut_after: bool) -> list[Part]:
    texts = [_SPACE.sub(" ", part.text if part.match else _MARKS.sub("", part.text)) for part in parts]
    texts[0] = ("…" if cut_before else "") + texts[0].lstrip()
    texts[-1] = texts[-1].rstrip() + ("…" if cut_after else "")
    return [Part(text, part.match) for text, part in zip(texts, parts, strict=True) if text]


def _plain(word: str) -> str:
    if word.isascii():
        return word.lower()[:MAX_WORD_CHARS]
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    return "".join(sign for sign in folded if sign.isalnum())[:MAX_WORD_CHARS]

"""Tokenization for full-text search, the same on every database.

A word is a sequence of letters and digits without case and accents, so that `cafe` finds `Café`, and quotes, operators
and wildcards are never syntax. In scripts without spaces between words (Chinese, Japanese), each character is a word.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatkit.types import AssistantMessageItem, ThreadItem, UserMessageItem

MAX_WORD_CHARS = 60
"""Longer words are truncated, in texts and queries: InnoDB's index ignores words of more than 84 characters."""

MAX_INDEXED_CHARS = 50_000
"""How many characters of a text are indexed: a `tsvector` of PostgreSQL has at most 1 MiB and 16,383 positions."""

MAX_QUERY_WORDS = 16
"""The most different words of a query that are used."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Combining marks belong to the letter before them.
_WORD = re.compile(f"[{_CJK}]|(?:(?![{_CJK}])[^\\W_\u0300-\u036f])(?:(?![{_CJK}])[^\\W_]|[\u0300-\u036f])*")
_SPACE = re.compile(r"\s+")
# Excerpts are plain text.
_MARKDOWN = re.compile(r"\*\*|__|`+|(?:^|(?<=\n))#{1,6} ")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, found at `text[start:end]`."""

    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an excerpt; `match` if it is a word that matches the query."""

    text: str
    match: bool


def text_of(item: ThreadItem) -> str:
    """The text of an item that is indexed: that of user and assistant messages; empty for other items."""
    match item:
        case UserMessageItem():
            parts = [part.text for part in item.content]
        case AssistantMessageItem():
            parts = [part.text for part in item.content]
        case _:
            parts = []
    return "\n".join(parts)


def words_in(text: str) -> Iterator[Word]:
    """The words in the first `MAX_INDEXED_CHARS` characters of a text, in order."""
    for found in _WORD.finditer(text[:MAX_INDEXED_CHARS]):
        if word := _normalize(found.group()):
            yield Word(word, found.start(), found.end())


def query_words(query: str) -> list[str]:
    """The different words of a query, at most `MAX_QUERY_WORDS`; none if it has no letter or digit."""
    different: dict[str, None] = {}
    for each in words_in(query):
        different[each.word] = None
        if len(different) == MAX_QUERY_WORDS:
            break
    return list(different)


def excerpt(text: str, prefixes: Sequence[str], *, chars: int = 160) -> list[Part]:
    """About `chars` characters of a text around the first word that begins with one of `prefixes`.

    Empty if there is none. White space becomes single spaces, Markdown syntax is removed, and an ellipsis marks a cut.
    """
    hits = [each for each in words_in(text) if each.word.startswith(tuple(prefixes))]
    if not hits:
        return []
    start = max(0, min(hits[0].start - chars // 3, len(text) - chars))
    end = min(len(text), max(start + chars, hits[0].end))
    start, end = _to_word_boundaries(text, start, hits[0].start, end)
    parts: list[Part] = []
    position = start
    for hit in hits:
        if hit.end > end:
            break
        parts += [Part(text[position : hit.start], match=False), Part(text[hit.start : hit.end], match=True)]
        position = hit.end
    parts.append(Part(text[position:end], match=False))
    return _clean(parts, cut_before=start > 0, cut_after=end < len(text))


def _to_word_boundaries(text: str, start: int, hit: int, end: int) -> tuple[int, int]:
    """The same window without partial words at its ends."""
    if start > 0 and (space := text.find(" ", start, hit)) >= 0:
        start = space + 1
    if end < len(text) and (space := text.rfind(" ", hit, end)) >= 0:
        end = space
    return start, end


def _clean(parts: Sequence[Part], *, cut_before: bool, cut_after: bool) -> list[Part]:
    texts = [_SPACE.sub(" ", part.text if part.match else _MARKDOWN.sub("", part.text)) for part in parts]
    texts[0] = ("…" if cut_before else "") + texts[0].lstrip()
    texts[-1] = texts[-1].rstrip() + ("…" if cut_after else "")
    return [Part(text, part.match) for text, part in zip(texts, parts, strict=True) if text]


def _normalize(word: str) -> str:
    if word.isascii():
        return word.lower()[:MAX_WORD_CHARS]
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    return "".join(char for char in folded if char.isalnum())[:MAX_WORD_CHARS]

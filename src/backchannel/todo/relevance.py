"""Ranks todos by their relevance for a search.

Case and accents are ignored. A word matches a whole word, the beginning of a word, or (from three letters) any part of
a word. A word that matches no todo is treated as a typo and compared with the words of all todos. A todo is found if
it matches more than half of the search words; if there is none, the todos that match the most words are found.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

MAX_WORDS = 12
"""Further words of a search are ignored."""
MAX_CORRECTIONS = 10
"""The most corrections that are considered for a typo."""

_WORD = re.compile(r"[^\W_]+")
_GAP = re.compile(r"[\W_]")
_ASCII_GAPS = str.maketrans(dict.fromkeys(filter(_GAP.match, map(chr, range(128))), " "))
_FILLERS = frozenset(
    {"a", "an", "and", "any", "at", "for", "i", "in", "is", "it", "my", "of", "on", "or"}
    | {"task", "tasks", "that", "the", "this", "to", "todo", "todos", "with"}
)

_WHOLE, _BEGINNING, _PART, _TYPO = 1.0, 0.9, 0.7, 0.6
_IN_DESCRIPTION = 0.6
_SAME_TITLE, _PHRASE = 2.0, 0.5


class Candidate(NamedTuple):
    """A todo to be ranked."""

    id: str
    title: str
    description: str


class _Folded(NamedTuple):
    title: str
    title_words: str
    description: str
    description_words: str


def rank(query: str, candidates: Sequence[Candidate]) -> list[str]:
    """The ids of the matching candidates, most relevant first; equally relevant ones keep their order.

    A query without letters and digits, such as `%` or an emoji, is matched literally.
    """
    phrase = _fold(query)
    folded = [_folded(candidate) for candidate in candidates]
    words = _query_words(phrase)
    totals = [0.0] * len(folded)
    matched = [0] * len(folded)
    vocabulary: list[str] = []
    for word in words:
        weights = _weights(word, folded)
        if not any(weights):
            vocabulary = vocabulary or _vocabulary(folded)
            weights = _typo_weights(word, vocabulary, folded)
        for index, weight in enumerate(weights):
            if weight:
                totals[index] += weight
                matched[index] += 1
    best = max(matched, default=0)
    needed = len(words) // 2 + 1 if best > len(words) / 2 else max(best, 1)
    scores: list[tuple[float, int]] = []
    for index, todo in enumerate(folded):
        bonus = _bonus(phrase, todo)
        if matched[index] >= needed or (bonus and not words):
            scores.append((-totals[index] - bonus, index))
    return [candidates[index].id for _, index in sorted(scores)]


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(filter(_is_not_an_accent, decomposed)) if not decomposed.isascii() else decomposed


def _is_not_an_accent(character: str) -> bool:
    # Only accents of Latin, Greek and Cyrillic letters; in other scripts, combining marks are letters.
    return not "\u0300" <= character <= "\u036f"


def _folded(candidate: Candidate) -> _Folded:
    title, description = _fold(candidate.title), _fold(candidate.description)
    return _Folded(title, _spaced(title), description, _spaced(description))


def _spaced(folded: str) -> str:
    # With spaces around each word, a substring search finds whole words and word beginnings.
    return f" {folded.translate(_ASCII_GAPS) if folded.isascii() else _GAP.sub(' ', folded)} "


def _query_words(phrase: str) -> list[str]:
    words = list(dict.fromkeys(_WORD.findall(phrase)))
    return ([word for word in words if word not in _FILLERS] or words)[:MAX_WORDS]


def _weights(word: str, folded: Sequence[_Folded]) -> list[float]:
    return [
        max(_weight(word, todo.title_words), _IN_DESCRIPTION * _weight(word, todo.description_words))
        for todo in folded
    ]


def _weight(word: str, words: str) -> float:
    if word not in words:
        return 0.0
    if f" {word} " in words:
        return _WHOLE
    # A single letter is too short for a prefix, but a Chinese character is a word.
    if (len(word) >= 2 or not word.isascii()) and f" {word}" in words:
        return _BEGINNING
    return _PART if len(word) >= 3 or not word.isascii() else 0.0


def _vocabulary(folded: Sequence[_Folded]) -> list[str]:
    words: set[str] = set()
    for todo in folded:
        words.update(todo.title_words.split(), todo.description_words.split())
    return [*words]


def _typo_weights(word: str, vocabulary: Sequence[str], folded: Sequence[_Folded]) -> list[float]:
    weights = [0.0] * len(folded)
    for correction, weight in _corrections(word, vocabulary):
        spaced = f" {correction} "
        for index, todo in enumerate(folded):
            if spaced in todo.title_words:
                weights[index] = max(weights[index], weight)
            elif spaced in todo.description_words:
                weights[index] = max(weights[index], weight * _IN_DESCRIPTION)
    return weights


def _corrections(word: str, vocabulary: Sequence[str]) -> list[tuple[str, float]]:
    """Words of the todos that `word` may be a typo of, with their weights."""
    if len(word) < 3:
        return []
    edits = 1 if len(word) <= 5 else 2
    found = process.extract(word, vocabulary, scorer=OSA.distance, score_cutoff=edits, limit=MAX_CORRECTIONS)
    return [(known, _TYPO / distance) for known, distance, _ in found if _is_likely(word, known)]


def _is_likely(word: str, known: str) -> bool:
    # "cat" is not a typo of "car", but "mlk" and "mikl" are typos of "milk".
    return len(word) > 3 or len(known) > 3 or sorted(word) == sorted(known)


def _bonus(phrase: str, todo: _Folded) -> float:
    if phrase == todo.title:
        return _SAME_TITLE
    if phrase in todo.title:
        return _PHRASE
    return _PHRASE * _IN_DESCRIPTION if phrase in todo.description else 0.0

"""Parses which todos a phrase refers to, such as `the second one`, `both` or `oat milk`."""

import re
from datetime import datetime

from backchannel.todo.offline.filters import read_filters
from backchannel.todo.offline.intents import Target
from backchannel.todo.offline.normalization import is_quoted, put_back, trim

_ORDINAL_WORDS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "last": -1, "final": -1, "top": 1, "bottom": -1, "latest": -1, "newest": -1,
}  # fmt: skip
_NUMBER_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_NOUN = r"(?:to-?\s?dos?|tasks?|items?|reminders?|ones?|entry|entries|things?)"
_PLACE = rf"(?:{'|'.join(_ORDINAL_WORDS)}|\d{{1,3}}(?:st|nd|rd|th))"
_ONE_PLACE = rf"(?:(?:#|no\.?\s?|nr\.?\s?|number\s?)?\d{{1,3}}|{_PLACE})"
_PLACES = re.compile(
    rf"(?:the\s+)?(?:{_NOUN}\s+)?(?P<places>{_ONE_PLACE}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+"
    rf"|\s*&\s*|\s+(?=#))(?:the\s+)?"
    rf"(?:{_NOUN}\s+)?{_ONE_PLACE})*)(?:\s+{_NOUN})?",
    re.IGNORECASE,
)
_NUMBER_WORD = re.compile(rf"(?:number|no\.?|#|{_NOUN})\s+(?P<word>{'|'.join(_NUMBER_WORDS)})", re.IGNORECASE)
_RUN = re.compile(
    rf"(?:the\s+)?(?P<end>first|last|top|bottom)\s+(?P<count>\d{{1,2}}"
    rf"|{'|'.join(_NUMBER_WORDS)})(?:\s+{_NOUN})?",
    re.IGNORECASE,
)
_IT = re.compile(
    r"(?:it|that|this|(?:that|this|the same|the new|the) (?:one|to-?\s?do|task|item|reminder"
    r"|entry)|the former|same)",
    re.IGNORECASE,
)
_THEM = re.compile(
    rf"(?:them|these|those|both|they|(?:these|those) {_NOUN}|both of (?:them|these|those)|both {_NOUN}"
    rf"|all (?:(?:of|the|\d{{1,4}}|\d{{1,4}} of)\s+)?(?:them|these|those)(?: {_NOUN})?|them all"
    rf"|all (?:three|four|five))",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"(?:everything|(?:absolutely )?all|every(?: single)?(?= )|(?:my|the) (?:whole|entire|complete|full))\b",
    re.IGNORECASE,
)
_FILLER = re.compile(
    rf"\b(?:of|my|the|from|on|in|off|out|that|which|who|are|is|were|have|has|been|be|due|to|a|an"
    rf"|i|we|list|ones?|{_NOUN}"
    r"|single|whole|entire|complete|full|already|currently|with|for|and|stuff|every|all"
    r"|everything|any|now)\b",
    re.IGNORECASE,
)
_PLURAL = re.compile(r"\b(?:to-?\s?dos|tasks|items|reminders|ones|entries|things|list)\b", re.IGNORECASE)
_EXCEPT = re.compile(r"[\s,]+(?:except(?: for)?|but not|apart from|other than|excluding)\s+", re.IGNORECASE)
_HEAD = re.compile(
    r"^(?:the|my|our|a|an)\s+(?=\S)|^(?:(?:to-?\s?do|task|item|reminder|one)\s+)?(?:called|named"
    r"|titled|about|with the title|for)\s+"
    r"|^(?:to-?\s?do|task|item|reminder|todo)\s*[:]?\s+(?=\S)",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s+(?:(?:from|on|off|in)\s+(?:my|the)\s+(?:(?:to-?\s?do|task)\s+)?list|please|(?:to-?\s?do"
    r"|task|item|reminder|one|entry)|instead)$",
    re.IGNORECASE,
)


def read_target(phrase: str, quoted: tuple[str, ...], now: datetime) -> Target:
    """The target that a phrase refers to. `quoted` has the quoted parts removed from it.

    An empty phrase has the kind `none`; any phrase without a special form is treated as words of a title.
    """
    phrase = trim(_TAIL.sub("", trim(phrase)) if not is_quoted(phrase) else phrase)
    said = put_back(phrase, quoted)
    if not phrase:
        return Target(kind="none")
    if is_quoted(phrase):
        return Target(kind="title", text=said, exact=True)
    kept, *spared = _EXCEPT.split(phrase, maxsplit=1)
    excluded = put_back(trim(spared[0]), quoted) if spared else ""
    target = _special(trim(kept), now)
    if target is not None:
        return Target(
            kind=target.kind, text=said, places=target.places, count=target.count, filters=target.filters,
            excluded=excluded,
        )  # fmt: skip
    kept = trim(kept)
    return Target(kind="title", text=_title_words(kept, quoted), exact=_names_quoted(kept), excluded=excluded)


def _special(phrase: str, now: datetime) -> Target | None:
    if _IT.fullmatch(phrase):
        return Target(kind="it")
    if _THEM.fullmatch(phrase):
        return Target(kind="them", count=2 if phrase.lower().startswith("both") else _number_in(phrase))
    if match := _RUN.fullmatch(phrase):
        count = _number(match.group("count"))
        from_start = match.group("end").lower() in {"first", "top"}
        places = tuple(range(1, count + 1)) if from_start else tuple(range(-count, 0))
        return Target(kind="ordinal", places=places)
    if match := _NUMBER_WORD.fullmatch(phrase):
        return Target(kind="ordinal", places=(_number(match.group("word")),))
    if match := _PLACES.fullmatch(phrase):
        return Target(kind="ordinal", places=_places(match.group("places")))
    return _filtered(phrase, now)


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBER_WORDS[word.lower()]


def _number_in(phrase: str) -> int | None:
    match = re.search(r"\b\d{1,4}\b", phrase)
    return int(match.group()) if match else None


def _places(text: str) -> tuple[int, ...]:
    found = re.findall(rf"\d{{1,3}}|{'|'.join(_ORDINAL_WORDS)}", text.lower())
    return tuple(dict.fromkeys(int(word) if word.isdigit() else _ORDINAL_WORDS[word] for word in found))


def _filtered(phrase: str, now: datetime) -> Target | None:
    filters, rest = read_filters(phrase, now)
    broad = _ALL.match(phrase) is not None or re.fullmatch(
        r"(?:my|the)\s+(?:to-?\s?do\s+|task\s+)?list|(?:my\s+|the\s+)?(?:to-?\s?dos|tasks|reminders)",
        phrase,
        re.IGNORECASE,
    )
    count = _number_in(rest)
    left = _FILLER.sub(" ", re.sub(r"\b\d{1,4}\b", " ", rest, count=1)).strip(" ,.!?'s")
    if left:
        return None
    plural = _PLURAL.search(phrase) is not None
    overdue = filters.days is not None and filters.days.overdue
    alone = (filters.status is not None or overdue) and not rest.strip()
    if broad or (filters.any and plural) or alone:
        return Target(kind="filter", count=count, filters=filters)
    return None


def _title_words(phrase: str, quoted: tuple[str, ...]) -> str:
    if match := re.search(r"[\ue000-\ue0ff]", phrase):
        without = _FILLER.sub(" ", phrase.replace(match.group(), " ")).replace("called", "").strip(" ,:")
        if not without:
            return put_back(match.group(), quoted)
    words = phrase
    while (shorter := _HEAD.sub("", words, count=1)) != words:
        words = shorter
    return put_back(words, quoted)


def _names_quoted(phrase: str) -> bool:
    bare = re.sub(r"\b(?:called|named|titled)\b", " ", _FILLER.sub(" ", phrase))
    return is_quoted(bare)

"""Parses sentences that ask for todos: `what's due this week?`, `find milk`, `show overdue tasks`."""

import re
from datetime import datetime

from backchannel.todo.offline.filters import read_filters
from backchannel.todo.offline.intents import Intent
from backchannel.todo.offline.normalization import put_back, trim
from backchannel.todo.offline.targets import read_target


def _p(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_NOUN = r"(?:to-?\s?dos?|tasks?|reminders?|items?|entry)"
_LIST_VERB = (
    r"(?:show|list|display|view|see|give me|print|read(?: me| out)?|get|tell me|know"
    r"|check|open|look at|review|what about|how about|bring up|pull up|go (?:over|through)|recap"
    r"|summari[sz]e)"
)
_LIST = _p(rf"{_LIST_VERB}\b\s*(?:me\s+)?(?:again\s+)?(?P<rest>.*)")
_ASKING = _p(
    r"(?:what(?:'s|s| is| are| was| were|'re)?|which|when|how many|how much|is there|are there"
    r"|do i have|have i|any|anything|am i|did i|so what|what do i|what have i|what did i|where "
    r"are)\b(?P<rest>.*)"
)
_ABOUT_LIST = re.compile(
    r"\b(?:to-?\s?dos?|tasks?|reminders?|list|due|overdue|late|behind|deadlines?|agenda|plate"
    r"|schedule[d]?|planned|plans?|coming up|upcoming|left|pending|open"
    r"|completed?|finished?|done|in progress|priority|urgent|important|remaining|outstanding|to "
    r"do|next|missed|should i do|do i have|have i got)\b",
    re.IGNORECASE,
)
_BARE_LIST = _p(
    rf"(?:(?:all\s+)?(?:my|the|our|of my)\s+)?(?:(?:all|current|open|pending|overdue|completed"
    rf"|urgent|important|high priority|due|upcoming)\s+)*(?:{_NOUN}|list|to-?\s?do list|task list"
    rf"|agenda|everything|all)|overdue|everything|agenda|pending|completed|open|in progress|inbox"
    rf"|status|upcoming"
)
_LIST_NOISE = re.compile(
    r"\b(?:what|what's|which|whats|how many|how much|when|where|who|is|are|was|were|there|do|does"
    r"|did|have|has|had|i|i've|i'm|we|am|me|my|mine|our|the|a|an|any|anything|all|of|on|in|at|for"
    r"|to|that|those|these|it|they|with|and|or|get|got|be|been|should|can|need|must|want|supposed"
    r"|still|yet|already|again|so|now|right|please|up|coming|upcoming"
    r"|due|date|dates|deadline|deadlines|agenda|plate|schedule|scheduled|planned|plans?|list"
    r"|lists|todo|todos|to-do|to-dos|task|tasks|reminders?|items?|ones?|things?|stuff"
    r"|everything|entire|whole|full|complete|current|currently|next|left|work|focus|remaining"
    r"|total|one|many|else|new|about|you|your|look|like|so far|only|just|every|not|every|being"
    r"|going|happening|today's|from|most"
    r"|(?:sorted |ordered )?by (?:priority|due date|date|title|name))\b|['’]s\b|[?.!,:;'-]",
    re.IGNORECASE,
)
_FIND = _p(
    r"(?:find|search(?: for| my (?:list|todos|tasks) for| in my (?:list|todos|tasks) for)?|look "
    r"for|look up|lookup|locate|query|filter(?: for| by)?|where(?:'s| is| are)|show me "
    r"(?:something|anything|everything) (?:about|with|on)"
    r"|(?:is there|do i have|are there|have i got) (?:a |an |any |some )?(?:thing |anything "
    r"|todos? |tasks? |items? )?(?:about|with|for|like|called|named|containing|mentioning"
    r"|matching))\b\s*(?P<rest>.*)"
)
_FIND_NOISE = re.compile(
    r"^(?:(?:me|the|a|an|my|any|all|anything|something|everything|every|for|todos?|to-?dos?"
    r"|tasks?|items?|reminders?|ones?|that|which|with|about|related to|relating to|containing"
    r"|contains?|mentioning|mentions?|matching|called|named|titled|on|by|due|are|is|have|has|in"
    r"|of|entries|entry|word|keyword|the word|those|list)\b\s*)+"
    r"|\s+(?:todos?|to-?dos?|tasks?|items?|reminders?|ones?|on my list|in my list|in my todos|in "
    r"my tasks|from my list|entry)$|\s+(?:that (?:are|is)|which (?:are|is)|due|that|which|and"
    r"|with)$",
    re.IGNORECASE,
)
_ONE_FACT = _p(
    r"(?:when(?:'s| is| was| are) (?P<a>.+?) (?:due|planned|scheduled)|when do i (?:have|need) "
    r"to (?P<b>.+)|when(?:'s| is) the (?:due date|deadline) (?:of|for) (?P<c>.+)"
    r"|what(?:'s| is) the (?:status|priority|due date|deadline|description|state) (?:of|for) "
    r"(?P<d>.+)|is (?P<e>.+?) (?:done|completed?|finished|due|overdue|urgent|on my list|on the "
    r"list|still open|open)(?: yet)?"
    r"|(?:did|have) i (?:already )?(?:done|did|do|finish|finished|completed?|add|added) (?P<f>.+)"
    r"|(?:do i have|is there) (?P<g>.+?) (?:on|in) my (?:list|todos|tasks))"
)
_MY_LIST = _p(rf"(?:my|all|the|any|only)\s+(?P<rest>.*\b(?:{_NOUN}|ones|list)\b.*)")


def about_list(clause: str) -> bool:
    """Whether the clause has a word that asks about todos."""
    return _ABOUT_LIST.search(clause) is not None


def is_question(clause: str) -> bool:
    """Whether the clause begins with a question word."""
    return _ASKING.match(clause) is not None


def begins_asking(clause: str) -> bool:
    """Whether the clause begins with a word that asks for todos, as the second half of a sentence would."""
    return any(pattern.match(clause) for pattern in (_ASKING, _LIST, _FIND))


def meaning_left(text: str) -> str:
    """The text without the function words of a question about todos."""
    return " ".join(_LIST_NOISE.sub(" ", text).split())


def read_find(clause: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    if match := _ONE_FACT.fullmatch(clause):
        words = next(group for group in match.groups() if group)
        if re.fullmatch(
            r"(?:it|that|this|(?:any|some)thing.*|everything|all.*|next|there|i)", words, re.IGNORECASE
        ):
            return None
        return Intent(kind="find", query=_query(words, quoted))
    match = _FIND.fullmatch(clause)
    if match is None:
        return None
    if re.match(r"where\b", clause, re.IGNORECASE) and not re.search(
        r"\b(?:my|todos?|tasks?|the .* (?:one|item))\b", clause, re.IGNORECASE
    ):
        return None
    return _found(match.group("rest"), quoted, now)


def _found(rest: str, quoted: tuple[str, ...], now: datetime) -> Intent:
    filters, words = read_filters(rest, now)
    query = _query(words, quoted)
    return Intent(kind="find", query=query, filters=filters)


def _query(words: str, quoted: tuple[str, ...]) -> str:
    words = trim(words)
    while (shorter := trim(_FIND_NOISE.sub("", words))) != words:
        words = shorter
    return put_back(words, quoted)


def read_list(clause: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    asked = None
    if _BARE_LIST.fullmatch(clause):
        rest = clause
    elif asked := _ASKING.fullmatch(clause):
        rest = asked.group("rest")
        if not (
            _ABOUT_LIST.search(clause)
            or re.search(r"\b(?:did i|have i|do i (?:have|need))\b", clause, re.IGNORECASE)
        ):
            return None
    elif match := _LIST.fullmatch(clause) or _MY_LIST.fullmatch(clause):
        rest = match.group("rest")
    elif re.search(r"\b(?:todos|tasks|to-dos|reminders)\b", clause, re.IGNORECASE) or re.match(
        r"(?:due|overdue)\b", clause, re.IGNORECASE
    ):
        rest = clause
    else:
        return None
    filters, words = read_filters(clause if asked else rest, now)
    counting = (
        re.match(r"(?:how many|how much|what(?:'s| is) the (?:number|count))\b", clause, re.IGNORECASE)
        is not None
    )
    left = " ".join(
        _LIST_NOISE.sub(" ", re.sub(rf"^{_LIST_VERB}\b", " ", words, flags=re.IGNORECASE)).split()
    )
    if (
        left
        and asked
        and not re.search(r"\b(?:due|todos?|tasks?|list|overdue|deadline)\b", clause, re.IGNORECASE)
    ):
        return None
    if (
        left
        and not quoted
        and re.match(
            r"(?:tell me|get|check|open|know|give me|print|read|see|review|recap|summari|go)\b",
            clause,
            re.IGNORECASE,
        )
        and not _ABOUT_LIST.search(clause)
    ):
        return None
    pointed = read_target(rest, quoted, now)
    if pointed.contextual:
        return Intent(kind="find", query=pointed.text, target=pointed)
    if left:
        return Intent(kind="find", query=put_back(left, quoted), filters=filters, counting=counting)
    return Intent(kind="list", filters=filters, counting=counting)

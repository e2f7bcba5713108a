"""Parses one clause as one intent: add, list, find, delete, help, or a change."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Literal

from backchannel.todo.offline.dates import find_date
from backchannel.todo.offline.filters import read_filters
from backchannel.todo.offline.intents import Filters, Intent
from backchannel.todo.offline.normalization import put_back
from backchannel.todo.offline.queries import (
    about_list,
    begins_asking,
    is_question,
    meaning_left,
    read_find,
    read_list,
)
from backchannel.todo.offline.small_talk import small_talk, without_courtesy
from backchannel.todo.offline.targets import read_target
from backchannel.todo.offline.titles import BARE_TASK_VERBS, read_items
from backchannel.todo.offline.updates import read_statement, read_update, read_values

type Place = Literal["start", "after", "after_add"]
"""Where a clause stands: at the start, after a command, or after an `add`, where many words are titles."""


def _p(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_NOUN = r"(?:to-?\s?dos?|tasks?|reminders?|items?|entry)"
_LISTED = r"(?:(?:my|the|our)\s+)?(?:(?:to-?\s?do|task|shopping|grocery)\s+)?list"
_ADD = _p(r"(?:add|create|append|insert|jot down|note down|write down)\b\s*:?\s*(?P<rest>.*)")
_ADD_NOUN = _p(
    rf"(?:(?:make|set(?: up)?|put|give|start|i need|i want|enter|log|have)\s+)?(?:me\s+)?(?:(?:a"
    rf"|an|another|one more)\s+)?"
    rf"(?P<new>new\s+)?(?P<noun>{_NOUN})\b(?P<rest>.*)"
)
_REMIND = _p(
    r"(?:remind me(?: again)?|remember|do not forget|don't forget|dont forget|don't let me forget"
    r"|make sure (?:that )?i"
    r"|i (?:really |still |also )?(?:need|have|ought|got) to|i(?:'ve| have) got to|i gotta|i must"
    r"|i should|put down)"
    r"\s+(?:to\s+|about\s+|that\s+)?(?P<rest>.+)"
)
_PUT = _p(rf"put\s+(?P<rest>.+?)\s+(?:on|in|onto|into|to)\s+{_LISTED}(?P<more>.*)")
_SCHEDULE = _p(r"schedule\s+(?P<rest>.+)")
_ADD_HEAD = _p(
    rf"(?:to|on|in|into|onto)\s+{_LISTED}\s*:?\s*"
    rf"|(?P<single>(?:a|an|another|one|the|this)\s+(?:new\s+)?|new\s+)?(?:\d+\s+|some\s+|these\s+"
    rf"|the following\s+|following\s+)?(?:new\s+)?{_NOUN}\b"
    r"(?:\s+(?:called|named|titled|for|to|that says|saying|about|with the title|with title)\b)?\s*:?\s*|:\s*"
)
_ATTRIBUTED = _p(
    rf"^(?P<article>(?:(?:a|an|another|one|the"
    rf"|this)\s+)?(?:new\s+)?)(?P<attribute>(?:very\s+)?(?:urgent|important|critical"
    rf"|\w+[- ]priority))"
    rf"\s+(?P<noun>{_NOUN})\b(?P<after>.+)$"
)
_ADD_TAIL = _p(
    rf"\s+(?:to|on|in|into|onto)\s+{_LISTED}(?=\s*(?:$|[,.!;]|\b(?:for|by|on|due|at|with|tomorrow"
    rf"|today|next)\b))"
)
_AS_TODO = re.compile(rf"\s+as\s+(?:a\s+)?(?:new\s+)?{_NOUN}\b", re.IGNORECASE)
_DELETE = _p(
    r"(?:delete|remove|erase|get rid of|trash|discard|clear(?: out)?|cancel|scrap|throw (?:away"
    r"|out)|purge|wipe|empty|drop|del|rm)\b\s*(?P<x>.*)"
)
_TAKE_OFF = _p(rf"take\s+(?P<x>.+?)\s+off(?:\s+{_LISTED})?")
_NEGATED = _p(
    r"(?:(?:i|we)\s+)?(?:please\s+)?(?:don't|do not|dont|never|won't|no need to|needn't|(?:don't"
    r"|do not|dont) (?:want|need)(?: you)? to|didn't)"
    r"\s+(?:want(?: you)? to\s+|need(?: you)? to\s+|ever\s+|have to\s+|need\s+|want\s+)?(?P<what>.+)"
)
_REFUSING = _p(
    r"(?:[\w']+[\s,]+){0,5}(?:don't|do not|dont|never|should(?: not|n't)|must(?: not|n't)|cannot|can't|not to|not)\s"
    r".*\b(?:delete|remove|erase|clear|cancel|complete|finish|mark|add|create|change|move|rename|postpone)\b"
)
_HELP = _p(
    r"(?:help|help me|help please|i need (?:some )?help.*|can you help(?: me)?(?: with (?:my "
    r")?(?:todos|tasks|list))?|\?+|commands|instructions|manual|options|menu|features"
    r"|capabilities|usage|examples?"
    r"|(?:and )?what (?:else )?(?:can|could|do|would) (?:you|i|this|it) (?:do|say|ask|type"
    r"|help(?: me)?(?: with)?|offer|support|understand)\b.*"
    r"|what (?:are|is) (?:you|this)(?: for)?|who are you.*|what's this|how (?:do|does|can|should"
    r"|would|to)\b.*|how .* works?|(?:show|list|tell|give|describe|explain)\s+(?:me\s+)?(?:your"
    r"|the|some|what you can do|how)\b.*(?:capabilities|features|commands|help|do|works?"
    r"|examples)"
    r"|what (?:commands|features|tools|things|kinds? of .*)\b.*|are you (?:a |an |there|human"
    r"|real|ai|an ai|chatgpt|gpt).*|your (?:capabilities|features|commands|name)|what(?:'s| is) "
    r"your name"
    r"|(?:explain|describe) (?:yourself|what you do)|introduce yourself|tell me about yourself"
    r"|get started|getting started|tutorial)"
)
_ABILITY = _p(
    r"(?:can|could|do|are) you (?:also |able to )?(?:add|create|delete|remove|edit|change"
    r"|complete|find|search|list|show|handle|manage|set|understand|support|have)\s+"
    r"(?:todos|tasks|items|reminders|things|due dates|dates|priorities|deadlines)\??"
)


def read_clause(text: str, quoted: tuple[str, ...], now: datetime, place: Place = "start") -> Intent | None:
    """The intent of one clause, or `None` if no rule matches. `quoted` has the quoted parts removed from it."""
    raw = text.strip()
    talk = small_talk(raw)
    if talk and place == "start":
        return Intent(kind=talk, text=raw)
    bare = without_courtesy(raw)
    clause = bare.rstrip(" .!?,") if "!!!" not in bare else bare.rstrip(" .?,")
    asked = "?" in bare[-2:]
    intent = (
        _negated(clause)
        or _help(clause, raw, asked=asked)
        or _add(clause, quoted, now)
        or (None if asked and is_question(clause) else read_update(clause, quoted, now))
        or _delete(clause, quoted, now)
        or read_find(clause, quoted, now)
        or read_list(clause, quoted, now)
    )
    if intent is None and not (place == "after_add" and not _names_context(clause)):
        intent = None if asked else read_statement(clause, quoted, now, terse=place == "start")
    if intent is None and place != "after_add" and clause:
        changes = read_values(clause, now)
        intent = (
            Intent(kind="values", changes=changes)
            if changes and not asked
            else _bare_range(clause, now, asked=asked)
        )
    if intent is None and place == "start":
        intent = _task(clause, quoted, now) or _dated_add(clause, quoted, now) or _refusal(clause)
    if intent is not None and place != "start" and intent.kind == "list" and not begins_asking(clause):
        return None
    if intent is None or (place == "after_add" and _reads_as_title(clause, intent)):
        return None
    return replace(intent, text=put_back(raw, quoted, quotes=True))


def _names_context(clause: str) -> bool:
    return (
        re.match(
            r"(?:it|that|this|they|them|both|the (?:first|second|third|last) one)\b", clause, re.IGNORECASE
        )
        is not None
    )


def _reads_as_title(clause: str, intent: Intent) -> bool:
    """Whether words after an `add` are one more title, as in `add clean desk and finish report`."""
    match intent.kind:
        case "find":
            return re.match(r"(?:search|show)\b", clause, re.IGNORECASE) is None
        case "list":
            return not about_list(clause)
        case "help":
            return re.match(r"(?:what|how|help$|who)", clause, re.IGNORECASE) is None
        case "complete" | "update":
            if intent.target is not None and (intent.target.contextual or intent.target.exact):
                return False
            firm = re.match(
                r"(?:mark|rename|move|set|reopen|make|postpone|change|reschedule)\b", clause, re.IGNORECASE
            )
            return firm is None or not (intent.changes.any)
        case "delete":
            return re.match(r"(?:delete|remove)\b", clause, re.IGNORECASE) is None
        case _:
            return False


def _negated(clause: str) -> Intent | None:
    match = _NEGATED.fullmatch(clause)
    if match is None or re.match(r"(?:forget|let me forget)\b", match.group("what"), re.IGNORECASE):
        return None
    if re.match(
        r"(?:know|understand|see|remember|think|like|care|get it)\b", match.group("what"), re.IGNORECASE
    ):
        return None
    return Intent(kind="negated")


def _help(clause: str, raw: str, *, asked: bool) -> Intent | None:
    bare = raw.rstrip(" .!?")
    if (
        _HELP.fullmatch(clause)
        or (_HELP.fullmatch(bare) and not clause)
        or ("?" in raw and not bare and not clause)
    ):
        return Intent(kind="help")
    if _HELP.fullmatch(bare) and re.match(r"(?:help|can you help)", bare, re.IGNORECASE):
        return Intent(kind="help")
    if asked and _ABILITY.fullmatch(bare):
        return Intent(kind="help")
    return None


def _add(clause: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    single = False
    if match := _ADD.fullmatch(clause):
        rest = match.group("rest")
        if re.match(
            r"(?:a\s+|the\s+)?(?:notes?|description|due[- ]?date|deadline|priority"
            r"|details?)\b.*\b(?:to|of|for|on)\b",
            rest,
            re.IGNORECASE,
        ) and read_update(clause, quoted, now):
            return None
    elif match := _PUT.fullmatch(clause):
        rest = match.group("rest") + match.group("more")
    elif match := _REMIND.fullmatch(clause) or _SCHEDULE.fullmatch(clause):
        rest, single = match.group("rest"), True
    elif (match := _ADD_NOUN.fullmatch(clause)) and _is_new(match):
        rest, single = (
            re.sub(r"^\s*(?:called|named|titled|for|to|that says|saying|about)\b", "", match.group("rest")),
            True,
        )
        rest = rest.strip(" :-,")
    else:
        return None
    rest = _ATTRIBUTED.sub(r"\g<article>\g<noun>\g<after>, \g<attribute>", rest, count=1)
    while (head := _ADD_HEAD.match(rest)) and head.end():
        single = single or head.group("single") is not None
        rest = rest[head.end() :]
    rest = _AS_TODO.sub("", _ADD_TAIL.sub("", rest, count=1))
    return Intent(kind="add", items=read_items(rest, quoted, now, single=single))


def _is_new(match: re.Match[str]) -> bool:
    """Whether `todo …` adds one: `new todo: x`, `set a reminder to x`, `todo: x`, but not `tasks due today`."""
    text, rest = match.group(), match.group("rest")
    if match.start("noun") == 0:
        return bool(re.match(r"\s*[:-]\s*\S", rest)) and not match.group("noun").lower().endswith("s")
    return (
        match.group("new") is not None
        or re.match(r"(?:make|set|put|give|start|i need|i want|enter|log)\b", text, re.IGNORECASE) is not None
    )


def _delete(clause: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    match = _DELETE.fullmatch(clause) or _TAKE_OFF.fullmatch(clause)
    return Intent(kind="delete", target=read_target(match.group("x"), quoted, now)) if match else None


def _bare_range(clause: str, now: datetime, *, asked: bool) -> Intent | None:
    filters, rest = read_filters(clause, now)
    if filters.any and not meaning_left(rest):
        return Intent(
            kind="list" if asked or filters == Filters(days=filters.days) else "values", filters=filters
        )
    return None


def _dated_add(clause: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    """An add that begins with its day: `tomorrow I need to buy milk`."""
    found = find_date(clause, now)
    if found is None or found.start > 0:
        return None
    rest = without_courtesy(clause[found.end :].strip(" ,:"))
    intent = _add(rest, quoted, now) or _task(rest, quoted, now)
    if intent is None:
        return None
    return replace(intent, items=tuple(replace(item, when=item.when or found.when) for item in intent.items))


def _refusal(clause: str) -> Intent | None:
    """A negated request: `you should not delete milk`."""
    return Intent(kind="negated") if _REFUSING.match(clause) else None


def _task(clause: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    words = clause.split()
    verb = words[0].lower() if words else ""
    if verb in BARE_TASK_VERBS and len(words) > 1 and words[1].lower() not in {"me", "us", "about", "it"}:
        return Intent(kind="add", items=read_items(clause, quoted, now))
    return None

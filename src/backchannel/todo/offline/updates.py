"""Parses sentences that change a todo: rename, move, make urgent, describe, start, reopen."""

import re
from collections.abc import Callable
from datetime import datetime

from backchannel.todo.offline.changes import read_changes, read_status, take_changes
from backchannel.todo.offline.intents import Changes, Intent, Target
from backchannel.todo.offline.normalization import QUOTED, is_quoted, put_back, trim
from backchannel.todo.offline.targets import read_target
from backchannel.todo.offline.titles import capitalised

type _Reader = Callable[[re.Match[str], tuple[str, ...], datetime], Intent | None]


def _p(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_VALUE_JOINT = _p(r"\s+(?:to|as|for|on|until|till|by|due|be)\s+|\s*(?:->|=|:)\s*")
_DATE_NAME = r"(?:due[- ]?dates?|deadlines?|dates?|due)"


def _update(target: Target, changes: Changes) -> Intent:
    kind = "complete" if changes == Changes(status="completed") else "update"
    return Intent(kind=kind, target=target, changes=changes)


def _value(text: str, quoted: tuple[str, ...]) -> str:
    text = text.strip(" ,")
    return put_back(text if is_quoted(text) else text.rstrip("."), quoted)


def _rename(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return _update(
        read_target(match.group("x"), quoted, now), Changes(title=_new_title(match.group("new"), quoted))
    )


def _new_title(text: str, quoted: tuple[str, ...]) -> str:
    title = _value(text.strip(), quoted)
    return title if re.search(QUOTED, text) else capitalised(title)


def _describe(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return _update(
        read_target(match.group("x"), quoted, now), Changes(description=_value(match.group("new"), quoted))
    )


def _clear(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    target = read_target(match.group("x") or "it", quoted, now)
    field = match.group("field").lower()
    if field.startswith("prio"):
        return _update(target, Changes(priority=0))
    if field.startswith(("desc", "note", "detail")):
        return _update(target, Changes(description=""))
    return _update(target, Changes(clear_due_date=True))


def _field(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    value = match.group("value")
    target = read_target(match.groupdict().get("x") or "it", quoted, now)
    name = match.group("field").lower()
    if name in {"title", "name"}:
        return _update(target, Changes(title=_new_title(value, quoted)))
    if name.startswith(("desc", "note", "detail")):
        return _update(target, Changes(description=_value(value, quoted)))
    prefix = "priority " if name.startswith("prio") else ""
    changes = read_changes(prefix + value if prefix and value.strip().lstrip("-").isdigit() else value, now)
    return _update(target, changes) if changes else None


def _step(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    groups = match.groupdict()
    up = groups["way"].lower() in {"raise", "increase", "bump", "bump up", "up"}
    target = read_target(groups.get("x") or "it", quoted, now)
    if groups.get("value"):
        changes = read_changes(groups["value"], now)
        return _update(target, changes) if changes else None
    return _update(target, Changes(priority_step=1 if up else -1))


def _to(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    """`change X to V`: split at the first `to` after which all words are values, as a title may contain `to`."""
    rest = match.group("rest")
    for joint in _VALUE_JOINT.finditer(rest):
        x, value = rest[: joint.start()], rest[joint.start() :]
        changes = read_changes(value, now) or read_changes(rest[joint.end() :], now)
        if changes and trim(x):
            return _update(
                read_target(re.sub(r"\s+(?:back|forward|out|off|up)$", "", x.strip()), quoted, now), changes
            )
    return None


def _tail(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    """`make it friday`, `make milk high priority`: the values follow the todo without `to`."""
    verb, rest = match.group("verb").lower(), match.group("rest")
    words = rest.split()
    for count in range(1, len(words)):
        x, value = " ".join(words[:count]), " ".join(words[count:])
        changes = read_changes(value, now)
        if changes is None:
            continue
        target = read_target(x, quoted, now)
        dated = changes.when is not None and not re.match(r"due\b", value, re.IGNORECASE)
        if verb in {"make", "put", "have"} and target.kind == "title" and not target.exact and dated:
            return None
        return _update(target, changes)
    return None


def _open_question(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return Intent(kind="update", target=read_target(match.group("x"), quoted, now))


def _start(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return _update(read_target(match.group("x"), quoted, now), Changes(status="in_progress"))


def _pend(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return _update(read_target(match.group("x"), quoted, now), Changes(status="pending"))


def _mark(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    status = read_status(match.group("status"))
    return _update(read_target(match.group("x"), quoted, now), Changes(status=status)) if status else None


def _finish(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return _update(read_target(match.group("x"), quoted, now), Changes(status="completed"))


def _prioritise(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    return _update(read_target(match.group("x"), quoted, now), Changes(priority=4))


def _is(match: re.Match[str], quoted: tuple[str, ...], now: datetime) -> Intent | None:
    changes = read_changes(match.group("value"), now)
    return _update(read_target(match.group("x"), quoted, now), changes) if changes else None


_STATUS_WORDS = (
    r"(?:as )?(?:all )?(?:not (?:yet )?(?:done|completed?|finished|started)|undone|incomplete"
    r"|unfinished|uncompleted|open|pending"
    r"|to do|in[- ]progress|started|ongoing|done|completed?|finished|ticked off|checked off)"
)
_VERB_FIRST: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (_p(r"(?:rename|retitle|reword)\s+(?P<x>.+?)\s+(?:to|as|into|->)\s+(?P<new>.+)"), _rename),
    (_p(r"(?:replace|swap)\s+(?P<x>.+?)\s+(?:with|by|for)\s+(?P<new>.+)"), _rename),
    (_p(r"(?:call|name)\s+(?P<x>it|that|this|that one|the \w+ one)\s+(?P<new>.+?)(?:\s+instead)?"), _rename),
    (_p(r"(?:add|set|change|update|edit|write|attach)\s+(?:(?:a|the|this)\s+)?(?:description"
        r"|notes?|details?)\s+(?:of|for|to|on)\s+(?P<x>.+?)\s*(?:\s(?:to|as|saying|that says)\s|:"
        r"|=)\s*(?P<new>.+)"), _describe),
    (_p(rf"(?:add|attach)\s+(?:(?:a|the|this)\s+)?(?:description|notes?"
        rf"|details?)\s+(?P<new>{QUOTED})\s+to\s+(?P<x>.+)"), _describe),
    (_p(r"describe\s+(?P<x>.+?)\s+as\s+(?P<new>.+)"), _describe),
    (_p(rf"(?:remove|clear|delete|drop|unset|cancel)\s+(?:the\s+)?(?P<field>{_DATE_NAME}|priority"
        rf"|description|notes?|details)(?:\s+(?:of|from|for|on)\s+(?P<x>.+))?"), _clear),
    (_p(rf"(?:remove|clear|delete|drop|unset)\s+(?P<x>.+?)'s\s+(?P<field>{_DATE_NAME}|priority"
        rf"|description|notes?|details)"), _clear),
    (_p(rf"(?:set|change|update|edit|make|put|move|adjust)\s+(?:the\s+|its\s+)?(?P<field>title"
        rf"|name|{_DATE_NAME}|priority|prio|status|state|description|notes?|details)(?:\s+(?:of"
        rf"|for|on)\s+(?P<x>.+?))?\s*(?:\s(?:to|as|at|be)\s|=|:)\s*(?P<value>.+)"), _field),
    (_p(rf"(?:set|change|update|edit|make|put|move|adjust)\s+(?P<x>.+?)(?:'s)?\s+(?P<field>title"
        rf"|name|{_DATE_NAME}|priority|prio|status|state|description|notes?|details)\s*(?:\s(?:to"
        rf"|as|at|be)\s|=|:)\s*(?P<value>.+)"), _field),
    (_p(rf"(?:add|set|give|assign)\s+(?:a\s+)?(?P<field>{_DATE_NAME}"
        rf"|priority)(?:\s+of)?\s+(?P<value>.+?)\s+(?:to|on|for)\s+(?P<x>.+)"), _field),
    (_p(r"(?P<way>raise|increase|bump(?: up)?|up|lower|decrease|reduce"
        r"|drop)\s+(?:the\s+)?(?:priority|prio)(?:\s+(?:of|for"
        r"|on)\s+(?P<x>.+?))?(?:\s+(?:to\s+(?P<value>.+)))?"), _step),
    (_p(r"(?:reopen|re-open|uncomplete|uncheck|unmark|untick|unfinish|undo|resume)\s+(?P<x>.+)"), _pend),
    (_p(r"(?:pause|put on hold|stop(?: working on)?)\s+(?P<x>.+)"), _pend),
    (_p(r"(?:(?:start|begin|commence)(?:\s+(?:working on|work on|with|on))?|i(?:'m| am| have"
        r"|'ve)?\s+(?:just\s+)?(?:started|working on))\s+(?P<x>.+)"), _start),
    (_p(rf"(?:mark|set|make|flag|tag|put"
        rf"|check)\s+(?P<x>.+?)\s+(?:back\s+)?(?:to\s+)?(?P<status>{_STATUS_WORDS})"), _mark),
    (_p(rf"mark\s+(?:as\s+)?(?P<status>{_STATUS_WORDS})\s*:?\s+(?P<x>.+)"), _mark),
    (_p(r"(?:complete|finish|check off|tick off|tick|cross off|cross out|strike(?: off| out)?"
        r"|close|done with|done:|finished:?|completed:?)\s+(?P<x>.+)"), _finish),
    (_p(r"(?:check|tick|cross|strike)\s+(?P<x>.+?)\s+off(?:\s+(?:my|the)\s+list)?"), _finish),
    (_p(r"(?:i|we)(?:'ve| have|'m| am)?\s+(?:just\s+|already\s+)?(?:finished|completed|done with"
        r"|done|did)\s+(?:with\s+)?(?P<x>.+)"), _finish),
    (_p(r"(?:prioriti[sz]e)\s+(?P<x>.+)"), _prioritise),
    (_p(r"(?:snooze|postpone|delay|defer|change|move|set|update|reschedule|push|shift|bring|bump"
        r"|put|make|edit|give|turn)\s+(?P<rest>.+)"), _to),
    (_p(r"(?P<verb>make|set|change|mark|flag|move|postpone|reschedule|push|give|put|have"
        r"|update)\s+(?P<rest>.+)"), _tail),
    (_p(r"(?:change|turn)\s+(?P<x>.+?)\s+(?:to|into)\s+(?P<new>.+)"), _rename),
    (_p(r"(?:change|update|edit|modify|reschedule|postpone|delay)\s+(?P<x>.+)"), _open_question),
)  # fmt: skip
_SUBJECT_FIRST: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (_p(r"(?P<x>.+?)\s+(?:should|must|needs to|ought to) be (?:called|named|renamed(?: "
        r"to)?)\s+(?P<new>.+)"), _rename),
    (_p(r"(?P<x>.+?)\s+(?:has|needs)\s+(?P<value>no (?:due date|deadline|priority).*|(?:a )?\w+ "
        r"priority)"), _is),
    (_p(r"(?P<x>.+?)(?:\s+(?:is|are|was|were|has been)|'s|\s+(?:should|must|needs to) "
        r"be)\s+(?:now\s+|already\s+|actually\s+|really\s+)?(?P<value>.+)"), _is),
    (_p(r"(?P<x>.+?)\s+(?P<value>due .+)"), _is),
    (_p(r"(?P<x>(?!(?:all|what|i|we|get|not|are|is)\b).+?)\s+(?:is\s+)?(?P<status>done|completed"
        r"|finished)"), _mark),
)  # fmt: skip
_QUESTION = re.compile(
    r"^(?:what|when|who|where|which|why|how|is|are|was|do|does|did|has|have|show|list|find|search"
    r"|tell|there|if)\b|\?$",
    re.IGNORECASE,
)


def read_update(text: str, quoted: tuple[str, ...], now: datetime) -> Intent | None:
    """The change that a sentence beginning with a verb asks for (`move milk to friday`), or `None`."""
    return _first(_VERB_FIRST, text, quoted, now)


def read_statement(text: str, quoted: tuple[str, ...], now: datetime, *, terse: bool = True) -> Intent | None:
    """The change that a sentence beginning with the todo states (`milk is done`), or `None`.

    `terse` also accepts `milk done`, which is ambiguous within a sentence.
    """
    if _QUESTION.search(text):
        return None
    return _first(_SUBJECT_FIRST if terse else _SUBJECT_FIRST[:-1], text, quoted, now)


def read_values(text: str, now: datetime) -> Changes | None:
    """The changes of a sentence that names no todo (`high priority`, `friday instead`), or `None`."""
    changes, _ = take_changes(text, now)
    return read_changes(text, now) if changes.any else None


def _first(
    table: tuple[tuple[re.Pattern[str], _Reader], ...], text: str, quoted: tuple[str, ...], now: datetime
) -> Intent | None:
    for pattern, read in table:
        match = pattern.fullmatch(text)
        if match and (intent := read(match, quoted, now)) is not None:
            return intent
    return None

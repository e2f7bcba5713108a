"""Resolves the target of an intent to todos, or to a question for the user."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from backchannel.todo.offline import replies
from backchannel.todo.offline.conversation import Shown
from backchannel.todo.offline.dates import find_date
from backchannel.todo.offline.intents import Intent, Target
from backchannel.todo.offline.normalization import cut, trim
from backchannel.todo.offline.plans import Call, Plan, Work, fetch_all
from backchannel.todo.offline.todos import Todo, fits, matching

_PARTS = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*", re.IGNORECASE)


@dataclass(slots=True)
class Resolved:
    """The resolved todos, and replies for words that matched none or too many."""

    todos: list[Todo] = field(default_factory=list[Todo])
    problems: list[str] = field(default_factory=list[str])


def resolve(work: Work, intent: Intent) -> Plan[Resolved]:
    """Resolve the target of an intent."""
    target = intent.target or Target(kind="none")
    match target.kind:
        case "none":
            return Resolved(problems=[f"What should I {_verb(intent)}? Say its title, or “show my list”."])
        case "it":
            return (yield from _it(work, target))
        case "them":
            return (yield from _them(work, intent, target))
        case "ordinal":
            return (yield from _ordinal(work, target))
        case "filter":
            todos = yield from fetch_all(work)
            meant = [
                todo for todo in todos if fits(todo, target.filters, work.now) and _eligible(todo, intent)
            ]
            return Resolved(_without_excluded(meant, target))
        case "title":
            return (yield from _titled(work, intent, target))


def _verb(intent: Intent) -> str:
    return {"delete": "delete", "complete": "complete"}.get(intent.kind, "change")


def _eligible(todo: Todo, intent: Intent) -> bool:
    """Whether a broad phrase such as `everything` includes the todo: completed todos are not completed again."""
    return not (
        intent.kind in {"complete", "update"} and todo.completed and intent.changes.status != "pending"
    )


def _without_excluded(todos: list[Todo], target: Target) -> list[Todo]:
    if not target.excluded:
        return todos
    excluded = {todo.id for part in _PARTS.split(target.excluded) if part for todo in matching(part, todos)}
    return [todo for todo in todos if todo.id not in excluded]


def _known(work: Work, shown: list[Shown]) -> Plan[list[Todo]]:
    """The todos that were shown; those known only by title are looked up."""
    if all(item.todo is not None for item in shown):
        return [item.todo for item in shown if item.todo is not None]
    free = list((yield from fetch_all(work)))
    found: list[Todo] = []
    for item in shown:
        todo = item.todo or next(iter(matching(item.title, free, exact=True)), None)
        if todo is not None:
            found.append(todo)
            free = [other for other in free if other.id != todo.id]
    return found


def _it(work: Work, target: Target) -> Plan[Resolved]:
    shown = work.focus()
    todos = yield from _known(work, shown)
    if len(todos) == 1:
        return Resolved(todos)
    if todos:
        return Resolved(problems=[replies.which_one(target.text, todos, work.now)])
    if shown:
        return Resolved(problems=[f"{replies.title(shown[0].title)} is not on your list any more."])
    return Resolved(problems=["I don't know which todo you mean. Say its title, or “show my list”."])


def _them(work: Work, intent: Intent, target: Target) -> Plan[Resolved]:
    shown = work.focus()
    if target.count is not None and len(shown) != target.count:
        shown = work.last_list()
    todos = yield from _known(work, shown)
    if target.text.lower().startswith("both") and len(todos) != 2:
        return Resolved(
            problems=["I don't know which two todos you mean. Say their titles, or “show my list”."]
        )
    if todos:
        return Resolved(_without_excluded(todos, target))
    return Resolved(problems=["I don't know which todos you mean. Say their titles, or “show my list”."])


def _ordinal(work: Work, target: Target) -> Plan[Resolved]:
    shown = work.last_list()
    if not shown:
        everything = yield from fetch_all(work)
        shown = [Shown(todo.title, todo) for todo in everything if not todo.completed]
    chosen: list[Shown] = []
    for place in target.places:
        index = place - 1 if place > 0 else len(shown) + place
        if 0 <= index < len(shown) and place != 0:
            chosen.append(shown[index])
    if len(chosen) < len(target.places):
        size = f"the last list has {replies.counted(len(shown))}" if shown else "your list is empty"
        return Resolved(
            problems=[f"I cannot tell which one “{target.text}” is: {size}. Say “show my list” to see it."]
        )
    todos = yield from _known(work, chosen)
    if len(todos) < len(chosen):
        return Resolved(todos, [f"“{target.text}” is not on your list any more."])
    return Resolved(_without_excluded(todos, target))


def _titled(work: Work, intent: Intent, target: Target) -> Plan[Resolved]:
    todos = yield from fetch_all(work)
    if target.excluded:
        loose = [todo for todo in todos if matching(target.text, [todo])]
        return _one(work, intent, target.text, _without_excluded(loose, target))
    found = matching(target.text, todos, exact=target.exact)
    if found:
        return _one(work, intent, target.text, found)
    parts = [] if target.exact else [part for part in _PARTS.split(target.text) if part.strip()]
    if len(parts) > 1 and any(matching(part, todos) for part in parts):
        result = Resolved()
        for part in parts:
            one = _one(work, intent, part, matching(part, todos))
            result.todos += [todo for todo in one.todos if todo not in result.todos]
            result.problems += one.problems
        return result
    if dated := _dated(target.text, todos, work.now):
        return _one(work, intent, target.text, dated)
    if work.more and "search_todos" in work.tools:
        (step,) = yield [Call("search_todos", {"query": target.text, "limit": 20})]
        found = matching(target.text, step.todos)
        if found:
            return _one(work, intent, target.text, found)
    return Resolved(problems=[replies.not_found(target.text, _worth_naming(todos), work.now)])


def _dated(text: str, todos: list[Todo], now: datetime) -> list[Todo]:
    """The todos that match `dentist on friday` without its day; only those due on the day, if there are any."""
    date = find_date(text, now)
    words = trim(cut(text, date.start, date.end)) if date else ""
    found = matching(words, todos) if words else []
    return [todo for todo in found if date and todo.due_day == date.when.day] or found


def _worth_naming(todos: list[Todo]) -> list[Todo]:
    return [todo for todo in todos if not todo.completed] or todos


def _one(work: Work, intent: Intent, words: str, found: list[Todo]) -> Resolved:
    if len(found) > 1 and intent.kind in {"complete", "update"}:
        reopening = intent.changes.status in {"pending", "in_progress"} and intent.kind == "update"
        preferred = [
            todo
            for todo in found
            if (todo.status != "pending") == reopening and (reopening or not todo.completed)
        ]
        found = preferred or found
    if len(found) == 1:
        return Resolved(found)
    if not found:
        return Resolved(problems=[f"I found no todo that fits “{words}”."])
    return Resolved(problems=[replies.which_one(words, found, work.now)])

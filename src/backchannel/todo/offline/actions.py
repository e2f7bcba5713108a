"""Plans that carry out the intents of a message with the todo tools."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time
from typing import Any

from backchannel.todo.offline import replies
from backchannel.todo.offline.conversation import Step
from backchannel.todo.offline.dates import shifted
from backchannel.todo.offline.intents import Changes, Filters, Intent, NewTodo
from backchannel.todo.offline.plans import Call, Plan, Work, failure, fetch_all
from backchannel.todo.offline.resolution import Resolved, resolve
from backchannel.todo.offline.todos import Todo, fits, matching

NEEDED = {
    "add": ("create_todo",),
    "list": ("list_todos", "search_todos"),
    "find": ("search_todos", "list_todos"),
    "update": ("update_todo",),
    "complete": ("complete_todo", "update_todo"),
    "delete": ("delete_todo", "delete_todos"),
}
"""The tools that can serve each kind of intent; one of them is enough."""

_ASKS_BEYOND = 5
_SHOWN_AT_ONCE = 50


def carry_out(work: Work, intents: Sequence[Intent]) -> Plan[str]:
    """The plan for a whole message: each intent in order, then one reply."""
    for intent in intents:
        needed = NEEDED.get(intent.kind)
        if needed is not None and not work.tools.intersection(needed):
            work.parts.append(f"I cannot do that from here (“{intent.text}”). {replies.STAND_IN}.")
            continue
        match intent.kind:
            case "add":
                yield from _add(work, intent)
            case "list":
                yield from _list(work, intent)
            case "find":
                yield from _find(work, intent)
            case "update":
                yield from _update(work, intent)
            case "complete":
                yield from _complete(work, intent)
            case "delete":
                yield from _delete(work, intent)
            case "help":
                yield from _help(work)
            case _:
                work.parts.append(say(intent))
    return "\n\n".join(dict.fromkeys(work.parts))


def say(intent: Intent) -> str:
    """The answer to an intent that needs no tool."""
    fixed = {
        "greeting": replies.GREETING,
        "thanks": replies.THANKS,
        "bye": replies.BYE,
        "cancel": replies.CANCELLED,
        "yes": replies.NOTHING_TO_CONFIRM,
        "empty": replies.EMPTY,
        "too_long": replies.TOO_LONG,
        "help": replies.help_text(),
        "undo": "I cannot undo that by myself, but you can tell me what to change, such as “reopen milk”.",
    }
    if intent.kind in fixed:
        return fixed[intent.kind]
    if intent.kind == "foreign":
        return replies.foreign(intent.text)
    if intent.kind == "unread":
        return f"I did not understand “{intent.text}”."
    if intent.kind == "how":
        return replies.what_with(intent.text)
    if intent.kind == "negated":
        return replies.negated(intent.text)
    return replies.cannot_answer()


def _report(work: Work, verb: str, steps: Sequence[Step], *, deleted: bool = False) -> None:
    done = [todo for step in steps if failure(step) is None for todo in step.todos]
    failed = dict.fromkeys(message for step in steps if (message := failure(step)) is not None)
    if done:
        work.changed(done, deleted=deleted)
        work.parts.append(replies.done_words(verb, done, work.now) + ("." if len(done) == 1 else ""))
    elif not failed:
        work.parts.append("Done.")
    work.parts.extend(replies.tool_failed(message) for message in failed)


def _new_arguments(item: NewTodo) -> dict[str, Any]:
    arguments: dict[str, Any] = {"title": item.title}
    if item.description:
        arguments["description"] = item.description
    if item.priority is not None:
        arguments["priority"] = item.priority
    if item.when is not None:
        arguments["due_date"] = item.when.iso()
    return arguments


def _add(work: Work, intent: Intent) -> Plan[None]:
    if not intent.items:
        work.parts.append("What should I add? For example “buy milk tomorrow at 5pm”.")
        return
    steps = yield [Call("create_todo", _new_arguments(item)) for item in intent.items]
    _report(work, "Added", steps)


def _filter_arguments(filters: Filters) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if filters.status is not None and filters.status != "open":
        arguments["status"] = filters.status
    if len(filters.priorities) == 1:
        arguments["priority"] = filters.priorities[0]
    if filters.days is not None:
        if filters.days.first is not None:
            arguments["due_after"] = filters.days.first.isoformat()
        if filters.days.last is not None:
            arguments["due_before"] = filters.days.last.isoformat()
    return arguments


def _list(work: Work, intent: Intent) -> Plan[None]:
    filters = intent.filters
    arguments = _filter_arguments(filters)
    searching = "list_todos" not in work.tools or (filters.days is not None and "search_todos" in work.tools)
    if not searching:
        arguments.pop("due_after", None)
        arguments.pop("due_before", None)
    sifting = "status" not in arguments or filters.any
    (step,) = yield [
        Call("search_todos" if searching else "list_todos", {**arguments, "limit": 100 if sifting else 50})
    ]
    if (message := failure(step)) is not None:
        work.parts.append(replies.tool_failed(message))
        return
    fitting = [todo for todo in step.todos if fits(todo, filters, work.now)]
    done = [todo for todo in fitting if todo.completed]
    if filters.status is None:
        fitting = [todo for todo in fitting if not todo.completed]
    _show_list(work, intent, fitting, hidden=len(done) if filters.status is None else 0)


def _show_list(work: Work, intent: Intent, todos: list[Todo], *, hidden: int) -> None:
    phrase = described(intent.filters)
    status = intent.filters.status
    adjective = phrase[0] or ("" if status else "open")
    words = replies.counted(len(todos), adjective) + phrase[1]
    note = ""
    if hidden and not intent.filters.any:
        note = f"\n\n{replies.counted(hidden, 'completed')} not shown; say “show completed todos”."
    if not todos:
        nothing = f"You have no {adjective + ' ' if adjective else ''}todos{phrase[1]}."
        hint = "" if intent.filters.any else " Try “add buy milk tomorrow”."
        work.parts.append(nothing + (note or hint))
        return
    shown = todos[:_SHOWN_AT_ONCE]
    work.show(shown)
    if intent.counting:
        work.parts.append(f"You have {words}:\n\n{replies.todo_list(shown, work.now)}")
        return
    more = f"\n\n…and {len(todos) - len(shown)} more." if len(todos) > len(shown) else ""
    work.parts.append(f"You have {words}:\n\n{replies.todo_list(shown, work.now)}{more}{note}")


def described(filters: Filters) -> tuple[str, str]:
    """The filters in words: the words before `todos`, and those after it."""
    before: list[str] = []
    after = ""
    if filters.days is not None and filters.days.overdue:
        before.append("overdue")
    elif filters.days is not None:
        after = f" due {filters.days.label}"
    if filters.undated:
        after += " without due date"
    if filters.status is not None:
        before.append(filters.status.replace("_", " "))
    if filters.priorities:
        before.append(
            "high priority" if len(filters.priorities) > 1 else f"priority {min(filters.priorities)}"
        )
    if filters.finished is not None:
        after += f" from {filters.finished.label}"
    return " ".join(before), after


def _find(work: Work, intent: Intent) -> Plan[None]:
    if intent.target is not None:
        pointed = yield from resolve(work, intent)
        work.parts.extend(
            [*pointed.problems, *(replies.todo_words(todo, work.now) for todo in pointed.todos)]
        )
        return
    if not intent.query and not intent.filters.any:
        work.parts.append("What should I find? For example “find milk”.")
        return
    if "search_todos" in work.tools:
        arguments = {"query": intent.query} if intent.query else {}
        (step,) = yield [
            Call("search_todos", {**arguments, **_filter_arguments(intent.filters), "limit": 50})
        ]
        if (message := failure(step)) is not None:
            work.parts.append(replies.tool_failed(message))
            return
        found = step.todos
    else:
        found = matching(intent.query, (yield from fetch_all(work)))
    found = [todo for todo in found if fits(todo, intent.filters, work.now)]
    if found:
        work.show(found)
        work.parts.append(f"I found {replies.counted(len(found))}:\n\n{replies.todo_list(found, work.now)}")
        return
    before, after = described(intent.filters)
    words = intent.query or f"{before} todos{after}".strip()
    everything: list[Todo] = []
    if "list_todos" in work.tools:
        everything = yield from fetch_all(work)
    work.parts.append(replies.not_found(words, [todo for todo in everything if not todo.completed], work.now))


def _new_due(todo: Todo, changes: Changes, now: datetime) -> str | None:
    if changes.when is not None:
        when = changes.when
        if not when.day_said and todo.due_day is not None:
            when = replace(when, day=todo.due_day)
        if when.clock is None and isinstance(todo.due, datetime):
            # "Make it friday" moves the day; five o'clock stays five o'clock.
            when = replace(when, clock=todo.due.time())
        return when.iso()
    if changes.shift is None:
        return None
    count, unit = changes.shift
    timed = isinstance(todo.due, datetime)
    start = todo.due if isinstance(todo.due, datetime) else datetime.combine(todo.due or now.date(), time())
    if unit.startswith(("h", "mi")) and not timed:
        start, timed = now.replace(second=0, microsecond=0), True
    try:
        moved = shifted(start, count, unit)
    except OverflowError:
        return None
    return moved.isoformat(timespec="seconds") if timed else moved.date().isoformat()


def _update_arguments(todo: Todo, changes: Changes, now: datetime) -> dict[str, Any]:
    arguments: dict[str, Any] = {"todo_id": todo.id}
    if changes.title is not None:
        arguments["title"] = changes.title
    if changes.description is not None:
        arguments["description"] = changes.description
    if changes.priority is not None:
        arguments["priority"] = changes.priority
    elif changes.priority_step:
        arguments["priority"] = min(5, max(0, todo.priority + changes.priority_step))
    if (due := _new_due(todo, changes, now)) is not None:
        arguments["due_date"] = due
    if changes.status is not None:
        arguments["status"] = "pending" if changes.status == "open" else changes.status
    if changes.clear_due_date:
        arguments["clear_due_date"] = True
    return arguments


def _update(work: Work, intent: Intent) -> Plan[None]:
    found = yield from resolve(work, intent)
    work.parts.extend(found.problems)
    if not found.todos:
        _nothing(work, intent, found)
        return
    if not intent.changes.any:
        work.touched = found.todos
        names = " and ".join(replies.title(todo.title) for todo in found.todos)
        work.parts.append(
            f"What should change about {names}? For example “make it urgent” or “move it to friday”."
        )
        return
    steps = yield [
        Call("update_todo", _update_arguments(todo, intent.changes, work.now)) for todo in found.todos
    ]
    reopened = intent.changes == Changes(status="pending")
    _report(work, "Reopened" if reopened else "Updated", steps)


def _complete(work: Work, intent: Intent) -> Plan[None]:
    found = yield from resolve(work, intent)
    work.parts.extend(found.problems)
    done = [todo for todo in found.todos if todo.completed]
    if done:
        work.touched = done
        work.parts.append(" and ".join(replies.title(todo.title) for todo in done) + " was already done.")
    todos = [todo for todo in found.todos if not todo.completed]
    if not todos:
        if not done:
            _nothing(work, intent, found)
        return
    if _must_ask(work, intent, todos):
        return
    if "complete_todo" in work.tools:
        steps = yield [Call("complete_todo", {"todo_id": todo.id}) for todo in todos]
    else:
        steps = yield [Call("update_todo", {"todo_id": todo.id, "status": "completed"}) for todo in todos]
    _report(work, "Completed", steps)


def _delete(work: Work, intent: Intent) -> Plan[None]:
    found = yield from resolve(work, intent)
    work.parts.extend(found.problems)
    if not found.todos:
        _nothing(work, intent, found)
        return
    if "delete_todos" in work.tools and _is_broad(intent, found.todos):
        yield from _delete_many(work, found.todos)
        return
    if _must_ask(work, intent, found.todos):
        return
    steps = yield [Call("delete_todo", {"todo_id": todo.id}) for todo in found.todos]
    _report(work, "Deleted", steps, deleted=True)


def _delete_many(work: Work, todos: list[Todo]) -> Plan[None]:
    """Delete todos with the tool that has the person approve."""
    (step,) = yield [Call("delete_todos", {"todo_ids": [todo.id for todo in todos]})]
    if step.data:
        _report(work, "Deleted", [step], deleted=True)
    else:
        # Not JSON: the person declined.
        work.parts.append("Okay, I deleted nothing.")


def _nothing(work: Work, intent: Intent, found: Resolved) -> None:
    if found.problems or intent.target is None:
        return
    before, after = described(intent.target.filters)
    work.parts.append(
        f"You have no {before + ' ' if before else ''}todos{after}, so there was nothing to do."
    )


def _is_broad(intent: Intent, todos: list[Todo]) -> bool:
    """Whether the user names no todos, and means all, or more than a few."""
    target = intent.target
    if target is None or target.kind not in {"filter", "them"}:
        return False
    return (target.kind == "filter" and not target.filters.any) or len(todos) > _ASKS_BEYOND


def _must_ask(work: Work, intent: Intent, todos: list[Todo]) -> bool:
    """Ask to confirm a broad change, unless the user has given the number of todos. Returns whether it asked."""
    target = intent.target
    if target is None or target.count == len(todos) or not _is_broad(intent, todos):
        return False
    if len(todos) == 1:
        sentence = f"{intent.kind} '{todos[0].title}'"
        work.parts.append(replies.confirm(sentence, f"{intent.kind} {replies.title(todos[0].title)}"))
        return True
    if target.kind == "them":
        words = f"all {len(todos)} of them"
    else:
        before, after = described(target.filters)
        words = f"all {len(todos)} {before + ' ' if before else ''}todos{after}"
    if target.excluded:
        words += f" except {target.excluded}"
    work.parts.append(replies.confirm(f"{intent.kind} {words}", f"{intent.kind} {words}"))
    return True


def _help(work: Work) -> Plan[None]:
    if "describe_capabilities" in work.tools:
        (step,) = yield [Call("describe_capabilities")]
        work.parts.append(replies.capabilities(step.data))
    else:
        work.parts.append(replies.help_text())

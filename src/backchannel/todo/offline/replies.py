"""The texts of the replies, in short Markdown.

Bold text is always the title of a todo and nothing else, because later turns parse titles from it.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, cast

from backchannel.todo.offline.languages import LINES
from backchannel.todo.offline.todos import Todo

_PRIORITIES = {
    1: "lowest priority",
    2: "low priority",
    3: "medium priority",
    4: "high priority",
    5: "highest priority",
}
_SPECIAL = re.compile(r"([\\`*_\[\]<>~|])")

ABILITIES = (
    ("Add todos", ("add buy oat milk tomorrow at 5pm, high priority", "add milk, eggs and bread")),
    ("Show them", ("what's due this week?", "show high priority todos")),
    ("Find them", ("find milk", "when is the dentist due?")),
    ("Change them", ("move milk to next monday", "rename milk to oat milk", "make it urgent")),
    ("Finish or delete them", ("mark milk done", "delete the second one")),
)
STAND_IN = "I'm the rule-based stand-in that works without an API key"
GREETING = "Hello! I look after your todos. Try “add buy milk tomorrow at 5pm” or “what's due this week?”"
THANKS = "You're welcome!"
BYE = "Goodbye! Your todos will be here."
CANCELLED = "Okay, I left everything as it was."
NOTHING_TO_CONFIRM = "Okay! What would you like to do? For example “add buy milk” or “show my list”."
EMPTY = "I can only read words. Try “add buy milk tomorrow” or “show my list”."
TOO_LONG = (
    "That is a long text, and as a rule-based stand-in I only understand short requests. "
    "Try one sentence such as “add buy milk tomorrow”."
)
TOO_MANY_STEPS = "I stopped here because this took too many steps. Please ask for one thing at a time."


def title(text: str) -> str:
    """A title in bold, with Markdown characters escaped."""
    return f"**{_SPECIAL.sub(r'\\\1', ' '.join(text.split()))}**"


def day_words(day: date, today: date) -> str:
    """A day relative to today: `tomorrow`, `Friday`, `Friday, 4 December`, with the year if it is another."""
    distance = (day - today).days
    if distance in {-1, 0, 1}:
        return ("yesterday", "today", "tomorrow")[distance + 1]
    if 1 < distance < 7:
        return day.strftime("%A")
    words = f"{day.strftime('%A') + ', ' if 0 < distance < 14 else ''}{day.day} {day.strftime('%B')}"
    return words if day.year == today.year else f"{words} {day.year}"


def due_words(due: date | datetime, now: datetime) -> str:
    """When something is due, in words: `tomorrow at 17:00`."""
    if isinstance(due, datetime):
        return f"{day_words(due.date(), now.date())} at {due:%H:%M}"
    return day_words(due, now.date())


def todo_words(todo: Todo, now: datetime) -> str:
    """One todo: `**Buy milk** — tomorrow at 17:00 · high priority`."""
    facts: list[str] = []
    if todo.due is not None:
        facts.append(due_words(todo.due, now) + (" (overdue)" if todo.overdue(now) else ""))
    if todo.priority in _PRIORITIES:
        facts.append(_PRIORITIES[todo.priority])
    if todo.status != "pending":
        facts.append({"completed": "done", "in_progress": "in progress"}.get(todo.status, todo.status))
    if todo.description:
        note = " ".join(todo.description.split())
        facts.append(_SPECIAL.sub(r"\\\1", note if len(note) <= 80 else note[:79] + "…"))
    return title(todo.title) + (" — " + " · ".join(facts) if facts else "")


def todo_list(todos: Sequence[Todo], now: datetime) -> str:
    """The todos as a numbered list."""
    return "\n".join(f"{number}. {todo_words(todo, now)}" for number, todo in enumerate(todos, start=1))


def counted(count: int, adjective: str = "") -> str:
    """`1 todo`, `3 overdue todos`."""
    return f"{count} {adjective + ' ' if adjective else ''}todo{'' if count == 1 else 's'}"


def done_words(verb: str, todos: Sequence[Todo], now: datetime) -> str:
    """The result of a change: one line for one todo, a numbered list for several."""
    if len(todos) == 1:
        words = title(todos[0].title) if verb in {"Deleted", "Completed"} else todo_words(todos[0], now)
        return f"{verb} {words}"
    return f"{verb} {counted(len(todos))}:\n\n{todo_list(todos, now)}"


def which_one(words: str, todos: Sequence[Todo], now: datetime) -> str:
    """A question which of several todos is meant."""
    listed = todo_list(todos, now)
    return f"Which todo do you mean by “{words}”?\n\n{listed}\n\nSay its number, such as “the second”."


def not_found(words: str, todos: Sequence[Todo], now: datetime) -> str:
    """A reply that nothing matches, with the existing todos."""
    if not todos:
        return f"I found no todo that fits “{words}”. Your list is empty."
    shown = todos[:10]
    more = f"\n\n…and {len(todos) - 10} more." if len(todos) > 10 else ""
    return f"I found no todo that fits “{words}”. There is:\n\n{todo_list(shown, now)}{more}"


def confirm(sentence: str, words: str) -> str:
    """A request for confirmation, which the user gives by repeating `sentence` or by yes."""
    return f"{words[:1].upper() + words[1:]}? Say “{sentence}” to confirm."


def abilities() -> str:
    """What the todo assistant can do, with examples."""
    lines = [
        f"- {name}: " + ", ".join(f"“{example}”" for example in examples) for name, examples in ABILITIES
    ]
    return "\n".join(lines)


def help_text() -> str:
    """The answer to `what can you do?` if no tool describes the capabilities."""
    return f"{STAND_IN}. I can:\n\n{abilities()}"


def cannot_answer() -> str:
    """The answer to a message that no rule matches."""
    return (
        f"{STAND_IN}, so I cannot answer that. I can add, show, find, change, complete and delete todos: "
        "try “add buy milk tomorrow at 5pm”, “what's due this week?” or “mark milk done”."
    )


def what_with(words: str) -> str:
    """The answer to a message that names a todo but no action."""
    words = _plain(words)
    return f"What should I do with “{words}”? For example “mark {words} done” or “delete {words}”."


def foreign(language: str) -> str:
    """The answer to a sentence in another language."""
    line = LINES.get(language, "")
    english = f"I'm sorry, without an API key I only understand English, and this looks like {language}."
    return f"{line + '\n\n' if line else ''}{english} Try “add buy milk tomorrow” or “show my list”."


def negated(text: str) -> str:
    """The answer to a negated request."""
    return f"Okay, I understood that as a “no” (“{_plain(text)}”) and changed nothing."


def _plain(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:99] + "…"


def capabilities(data: dict[str, Any]) -> str:
    """The output of `describe_capabilities` as an answer with examples."""
    listed = data.get("capabilities")
    lines: list[str] = []
    for entry in cast(list[object], listed) if isinstance(listed, list) else []:
        if not isinstance(entry, dict):
            continue
        fields = cast(dict[str, Any], entry)
        examples = fields.get("examples")
        quoted = (
            [f"“{example}”" for example in cast(list[object], examples)] if isinstance(examples, list) else []
        )
        lines.append(f"- {fields.get('title', 'Something')}" + (": " + ", ".join(quoted) if quoted else ""))
    if not lines:
        return help_text()
    return f"{STAND_IN}. Here is what I can do:\n\n" + "\n".join(lines)


def tool_failed(message: str) -> str:
    """The reply for a tool's error."""
    return f"That did not work: {message.strip()}"

"""Parses a model's input into turns: the user's message, the tool calls after it, and the replies.

The model has no state between calls: the whole conversation is parsed from the input of each call.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from backchannel.todo.offline.todos import Todo, read_todo, read_todos

_HIDDEN = re.compile(r"<HiddenContext>|^Hidden context for the agent", re.IGNORECASE)
_HIDDEN_BLOCK = re.compile(
    r"^Hidden context for the agent[^\n]*\n\s*<HiddenContext>.*?</HiddenContext>\s*",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
"""Model inputs may have it in one message with what the person says next."""
_QUOTING = re.compile(r"^The user is referring to this in particular:\s*", re.IGNORECASE)
_TAGGED = re.compile(r"^<(?:Attachment|Image|File|Tag|TASK|WORKFLOW)\b", re.IGNORECASE)
_NUMBERED = re.compile(r"^\s*\d+\.\s+\*\*(?P<title>(?:\\.|[^*\\\n])+)\*\*", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?P<title>(?:\\.|[^*\\\n])+)\*\*")
_MARKUP = re.compile(r"([\\`*_\[\]<>~|])")
_ESCAPED = re.compile(r"\\([\\`*_\[\]<>~|#])")
_SPOKEN = re.compile(r"^(?P<who>Person|Assistant): ", re.MULTILINE)
TRANSCRIPT = "Conversation so far:\n"
NOW_SAYS = "\nThe person now says:\n"


@dataclass(slots=True)
class Step:
    """One tool call and its output; `None` until there is one."""

    name: str
    arguments: dict[str, Any]
    call_id: str
    output: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The output as a JSON object; empty if it is not one."""
        try:
            value = json.loads(self.output or "")
        except ValueError:
            return {}
        return cast(dict[str, Any], value) if isinstance(value, dict) else {}

    @property
    def todos(self) -> list[Todo]:
        """The todos in the output, in its order."""
        data = self.data
        single = read_todo(data.get("todo")) or read_todo(data.get("deleted"))
        return [single] if single else read_todos(data.get("todos")) or read_todos(data.get("deleted"))


@dataclass(slots=True)
class Turn:
    """A user message, and everything after it until the next one."""

    sentence: str
    steps: list[Step] = field(default_factory=list[Step])
    replies: list[str] = field(default_factory=list[str])

    @property
    def reply(self) -> str:
        """The assistant's replies, one per paragraph."""
        return "\n\n".join(self.replies)


@dataclass(frozen=True, slots=True)
class Shown:
    """A todo that was shown to the user: its title, and its last known state if a tool returned it."""

    title: str
    todo: Todo | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a conversation, the last of which is to be answered now. There is always one."""

    turns: list[Turn]

    @property
    def now(self) -> Turn:
        """The current turn, which is to be answered."""
        return self.turns[-1]

    @property
    def before(self) -> list[Turn]:
        """The turns before the current one, oldest first."""
        return self.turns[:-1]

    @property
    def last_reply(self) -> str:
        """The assistant's last reply before this turn; empty if there is none."""
        return self.turns[-2].reply if len(self.turns) > 1 else ""

    def known(self) -> dict[str, Todo]:
        """The last state of every todo that a tool returned before this turn, by id.

        Outputs of this turn are not included: a plan is replayed with the state at its start.
        """
        return {todo.id: todo for turn in self.before for step in turn.steps for todo in step.todos}

    def focus(self) -> list[Shown]:
        """The todos shown by the latest turn that showed any, in order."""
        known = self.known()
        for turn in reversed(self.before):
            if shown := _shown(turn, known):
                return shown
        return []

    def just_shown(self) -> list[Shown]:
        """The todos shown by the previous turn; empty if it showed none."""
        return _shown(self.before[-1], self.known()) if self.before else []

    def last_list(self) -> list[Shown]:
        """The latest numbered list that was shown, else the latest todos that were shown."""
        known = self.known()
        for turn in reversed(self.before):
            titles = _titles(_NUMBERED, turn.reply)
            if titles and (shown := _matched(titles, turn, known)):
                return shown
            if not _BOLD.search(turn.reply):
                for step in reversed(turn.steps):
                    if isinstance(step.data.get("todos"), list) and step.todos:
                        return [Shown(todo.title, known[todo.id]) for todo in step.todos]
        return self.focus()


def read_conversation(items: str | Sequence[object]) -> Conversation:
    """The conversation that a model's input holds. Items of unknown shape are left out."""
    if isinstance(items, str):
        return Conversation(_transcript(items))
    turns = [Turn("")]
    steps: dict[str, Step] = {}
    for item in items:
        if not isinstance(item, Mapping):
            continue
        _take_item(cast(Mapping[str, Any], item), turns, steps)
    if len(turns) > 1 and not (turns[0].steps or turns[0].replies):
        turns = turns[1:]
    return Conversation([*turns[:-1], *_with_transcript(turns[-1])])


def _take_item(item: Mapping[str, Any], turns: list[Turn], steps: dict[str, Step]) -> None:
    kind, role = item.get("type"), item.get("role")
    if kind == "function_call":
        step = Step(
            str(item.get("name") or ""), _arguments(item.get("arguments")), str(item.get("call_id") or "")
        )
        steps[step.call_id] = step
        turns[-1].steps.append(step)
    elif kind == "function_call_output":
        step = steps.get(str(item.get("call_id") or ""))
        if step is not None:
            step.output = _text(item.get("output"))
    elif role == "user":
        _take_sentence(item.get("content"), turns)
    elif role == "assistant":
        text = _text(item.get("content"))
        if text.strip():
            turns[-1].replies.append(text)


def _take_sentence(content: object, turns: list[Turn]) -> None:
    said = _text(content).strip()
    text = _HIDDEN_BLOCK.sub("", said).strip()
    if (said and not text) or _HIDDEN.search(text) or _TAGGED.match(text):
        return
    if quoting := _QUOTING.match(text):
        # Quoted words come after their sentence; "it" refers to them.
        turns.insert(len(turns) - 1, Turn("", replies=[_as_shown(text[quoting.end() :])]))
        return
    turns.append(Turn(text))


def _as_shown(quoted: str) -> str:
    if _BOLD.search(quoted):
        return quoted
    lines = (re.sub(r"^\s*\d+\.\s+", "", line).split(" — ")[0].strip() for line in quoted.splitlines())
    return "\n".join(f"**{_MARKUP.sub(r'\\\1', line)}**" for line in lines if line)


def _arguments(value: object) -> dict[str, Any]:
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return cast(dict[str, Any], read) if isinstance(read, dict) else {}


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable) or isinstance(content, Mapping):
        return ""
    parts: list[str] = []
    for part in cast(Iterable[object], content):
        if isinstance(part, Mapping):
            fields = cast(Mapping[str, Any], part)
            if fields.get("type") in {"input_text", "output_text", "text"} and isinstance(
                fields.get("text"), str
            ):
                parts.append(fields["text"])
    return "\n".join(parts)


def _with_transcript(turn: Turn) -> list[Turn]:
    turns = _transcript(turn.sentence)
    turns[-1].steps, turns[-1].replies = turn.steps, turn.replies
    return turns


def _transcript(text: str) -> list[Turn]:
    """The turns of a transcript made by `transcript`; one turn for any other text."""
    before, separator, sentence = text.partition(NOW_SAYS)
    if not text.startswith(TRANSCRIPT) or not separator:
        return [Turn(text.strip())]
    turns: list[Turn] = []
    parts = _SPOKEN.split(before[len(TRANSCRIPT) :])
    for who, said in zip(parts[1::2], parts[2::2], strict=False):
        if who == "Person":
            turns.append(Turn(said.strip()))
        elif turns:
            turns[-1].replies.append(said.strip())
        else:
            turns.append(Turn("", replies=[said.strip()]))
    return [*turns, Turn(sentence.strip())]


def transcript(turns: Sequence[Turn], sentence: str) -> str:
    """A text of some turns and the current sentence, for an agent that gets no other context."""
    lines = [TRANSCRIPT.strip()]
    for turn in turns:
        if turn.sentence:
            lines.append(f"Person: {' '.join(turn.sentence.split())}")
        if turn.reply:
            lines.append(f"Assistant: {turn.reply}")
    return "\n".join(lines) + f"\n{NOW_SAYS}{sentence}"


def _titles(pattern: re.Pattern[str], text: str) -> list[str]:
    return [_ESCAPED.sub(r"\1", match.group("title")) for match in pattern.finditer(text)]


def _shown(turn: Turn, known: dict[str, Todo]) -> list[Shown]:
    titles = _titles(_NUMBERED, turn.reply) or list(dict.fromkeys(_titles(_BOLD, turn.reply)))
    if titles and (shown := _matched(titles, turn, known)):
        return shown
    todos: dict[str, Todo] = {}
    for step in turn.steps:
        for todo in step.todos:
            todos[todo.id] = known[todo.id]
    if titles or not todos or turn.reply:
        return [Shown(todo.title, todo) for todo in _last_reported(turn, known)]
    return [Shown(todo.title, todo) for todo in todos.values()]


def _last_reported(turn: Turn, known: dict[str, Todo]) -> list[Todo]:
    touched = [step for step in turn.steps if "todo" in step.data or "deleted" in step.data]
    source = touched or [step for step in turn.steps if step.todos][-1:]
    return list({todo.id: known[todo.id] for step in source for todo in step.todos}.values())


def _matched(titles: list[str], turn: Turn, known: dict[str, Todo]) -> list[Shown]:
    """The shown titles with their todos. Titles without one are left out, unless no tool has returned any todo."""
    local = [todo for step in turn.steps for todo in step.todos]
    free = list({todo.id: todo for todo in [*local, *known.values()]}.values())
    reported = bool(free)
    shown: list[Shown] = []
    for title in titles:
        todo = next((todo for todo in free if todo.title == title), None)
        if todo is not None:
            free.remove(todo)
            shown.append(Shown(title, known[todo.id]))
        elif not reported:
            shown.append(Shown(title, None))
    return shown

"""Resolves a message in the context of the previous turns.

Answers to a question of the assistant ("the second", "yes") and additions ("friday instead") depend on the
previous turn; they become the same intents as complete sentences.
"""

import re
from dataclasses import replace
from datetime import datetime

from backchannel.todo.offline.conversation import Conversation, Turn
from backchannel.todo.offline.intents import ACTIONS, Changes, Intent, Target
from backchannel.todo.offline.normalization import plain, set_aside
from backchannel.todo.offline.sentences import read_sentence
from backchannel.todo.offline.small_talk import without_courtesy
from backchannel.todo.offline.targets import read_target
from backchannel.todo.offline.titles import read_items
from backchannel.todo.offline.todos import Todo, matching

_CONFIRM = re.compile(r"\? Say “(?P<sentence>.+?)” to confirm\.", re.DOTALL)
_WHICH = re.compile(
    r"^(?:Which todo do you mean by|I found no todo that fits) “(?P<words>.+?)”[?.]", re.MULTILINE
)
_WHAT = re.compile(r"^What should I (?P<verb>add|delete|complete|find|change)\?", re.MULTILINE)
_CHOICE = re.compile(
    r"^(?:i mean(?:t)?|i'd like|take|pick|choose|the one (?:with|about|called|named)|it's|that's"
    r"|it is|i want|number)\s+",
    re.IGNORECASE,
)
_MORE = re.compile(r"^(?:and|also|plus)\s+(?:also\s+)?(?P<rest>.+)", re.IGNORECASE | re.DOTALL)


def interpret(conversation: Conversation, now: datetime) -> list[Intent]:
    """The intents of the current message; at least one."""
    sentence = conversation.now.sentence
    reply = conversation.last_reply
    intents = read_sentence(sentence, now)
    kind = intents[0].kind
    if (match := _CONFIRM.search(reply)) and kind == "yes":
        return [replace(intent, confirmed=True) for intent in read_sentence(match.group("sentence"), now)]
    if kind == "yes" and (turn := _unapproved(conversation)) is not None:
        # Written in place of an approval, which a sentence cannot give: the person is asked once more.
        return read_sentence(turn.sentence, now)
    if match := _WHICH.search(reply):
        chosen = _choice(conversation, match.group("words"), intents, now)
        if chosen is not None:
            return [chosen]
    if (match := _WHAT.search(reply)) and _is_answer(intents):
        return read_sentence(f"{match.group('verb')} {sentence}", now)
    if kind == "values" and len(intents) == 1:
        return [_values(conversation, intents[0], now)]
    if kind == "unknown" and (added := _more_to_add(conversation, sentence, now)):
        return [added]
    if kind == "unknown" and _bare_target(sentence, now):
        return [Intent(kind="how", text=sentence.strip(" .!?"))]
    return [_values(conversation, intent, now) if intent.kind == "values" else intent for intent in intents]


def _unapproved(conversation: Conversation) -> Turn | None:
    """The previous turn, if it ended with a call that the person had to approve and did not."""
    last = conversation.before[-1] if conversation.before else None
    step = last.steps[-1] if last is not None and last.steps else None
    return last if step is not None and step.name == "delete_todos" and not step.data else None


def _is_answer(intents: list[Intent]) -> bool:
    return intents[0].kind in {"unknown", "values"} or (
        intents[0].kind == "add" and not intents[0].text.lower().startswith("add")
    )


def _choice(conversation: Conversation, words: str, intents: list[Intent], now: datetime) -> Intent | None:
    """The pending intent with the todos that the answer selects; `None` if it selects none."""
    if intents[0].kind not in {"unknown", "values", "add", "list", "find"} or _is_command(intents):
        return None
    pending = _pending(conversation.before, words, now)
    if pending is None:
        return None
    protected, quoted = set_aside(plain(conversation.now.sentence))
    said = _CHOICE.sub("", without_courtesy(protected).strip(" .!?"))
    target = read_target(said, quoted, now)
    if target.kind == "filter" and not target.filters.any:
        target = Target(kind="them", text=target.text, count=target.count)
    if target.kind == "title":
        shown = conversation.focus()
        stand_ins = [Todo(id=str(place), title=item.title) for place, item in enumerate(shown, start=1)]
        found = matching(target.text, stand_ins)
        if not found:
            return None
        if len(found) == 1:
            target = Target(kind="ordinal", text=target.text, places=(int(found[0].id),))
    return replace(pending, target=target)


def _is_command(intents: list[Intent]) -> bool:
    """Whether the sentence is a complete request, and not an answer to a question."""
    text = intents[0].text.lower()
    return (
        intents[0].kind in ACTIONS
        and re.match(r"(?:add|create|remind|show|list|find|search|what)\b", text) is not None
    )


def _pending(turns: list[Turn], words: str, now: datetime) -> Intent | None:
    """The intent behind a question, from the turn that raised it; answers in between are skipped."""
    for turn in reversed(turns):
        for intent in read_sentence(turn.sentence, now):
            target = intent.target
            if intent.kind in ACTIONS and target is not None:
                said = target.text.lower()
                if said == words.lower() or words.lower() in said or not _WHICH.search(turn.reply):
                    return intent
        if not _WHICH.search(turn.reply):
            return None
    return _last_action(turns, now)


def _last_action(turns: list[Turn], now: datetime) -> Intent | None:
    for turn in reversed(turns):
        for intent in read_sentence(turn.sentence, now):
            if intent.kind in {"update", "complete", "delete"}:
                return intent
    return None


def _values(conversation: Conversation, intent: Intent, now: datetime) -> Intent:
    """`friday instead` changes the todo in focus; if none was just shown, `friday` lists what is due then."""
    insisting = re.match(r"(?:actually|no\b|rather|instead|sorry)|.*\binstead\b", intent.text, re.IGNORECASE)
    about_one = len(conversation.just_shown()) == 1 or (insisting and conversation.focus())
    if about_one and intent.changes == Changes(status="completed"):
        return replace(intent, kind="complete", target=Target(kind="it", text="it"))
    if about_one and intent.changes.any:
        return replace(intent, kind="update", target=Target(kind="it", text="it"))
    asked = read_sentence(f"show todos {intent.text}", now)
    return asked[0] if asked[0].kind == "list" else replace(intent, kind="unknown")


def _bare_target(sentence: str, now: datetime) -> bool:
    """Whether the sentence only refers to todos, such as `the second one`."""
    protected, quoted = set_aside(plain(sentence))
    return read_target(without_courtesy(protected), quoted, now).contextual


def _more_to_add(conversation: Conversation, sentence: str, now: datetime) -> Intent | None:
    """Another add after an add, such as `and eggs`."""
    match = _MORE.match(sentence.strip())
    if match is None or not conversation.before:
        return None
    if not any(intent.kind == "add" for intent in read_sentence(conversation.before[-1].sentence, now)):
        return None
    protected, quoted = set_aside(plain(match.group("rest")))
    return Intent(kind="add", text=sentence, items=read_items(without_courtesy(protected), quoted, now))

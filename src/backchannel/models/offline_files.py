"""What the offline model does with attachments: it lists them, and reads out those that are text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from agents.items import TResponseInputItem

MAX_SHOWN_CHARS = 4_000
"""How much of a text is read out."""

# As `files.model_parts` and `chat.agent.converter` write them.
_ATTACHMENT = re.compile(
    r'<Attachment name="(?P<name>[^"]*)" type="(?P<type>[^"]*)"(?: />|>(?P<text>.*)</Attachment>)\Z',
    re.DOTALL,
)
_LIST = re.compile(
    r"(?:please\s+)?(?:list|show|what|which)\b.*\b(?:attachments?|files?|attached)\b[^.?!]*[.?!]*",
    re.IGNORECASE,
)
_READ = re.compile(
    r"(?:please\s+)?(?:read|open|show|print|quote|what does|what is in|what's in)\b\s*(?P<what>.*?)"
    r"(?:\s+(?:say|contain|aloud|out|to me))*\s*[.?!]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Attached:
    """An attachment in the model's input.

    Attributes:
        text: Its text, or a sentence about why it has none; `None` for a picture or a document.
        newest: Whether it is part of the newest message.
    """

    name: str
    mime_type: str
    text: str | None
    newest: bool


def without_attachments(
    items: str | Sequence[TResponseInputItem],
) -> tuple[str | Sequence[TResponseInputItem], list[Attached], str]:
    """The input without attachments, the attachments, and the text of the newest message."""
    if isinstance(items, str):
        return items, [], items.strip()
    found: list[tuple[int, Attached]] = []
    rest: list[TResponseInputItem] = []
    newest, sentence = -1, ""
    for place, item in enumerate(items):
        fields = cast("dict[str, Any]", item)
        content = fields.get("content")
        if fields.get("role") != "user" or not isinstance(content, list):
            rest.append(item)
            if fields.get("role") == "user":
                newest, sentence = place, str(content or "")
            continue
        others: list[Any] = []
        for part in cast("list[dict[str, Any]]", content):
            match = _ATTACHMENT.match(str(part.get("text", "")))
            if match is not None:
                text = None if match["text"] is None else match["text"].strip("\n")
                found.append((place, Attached(match["name"], match["type"], text, newest=False)))
            elif part.get("type") not in {"input_image", "input_file"}:
                others.append(part)
        newest, sentence = place, "\n".join(str(part.get("text", "")) for part in others)
        rest.append(cast("TResponseInputItem", {**fields, "content": others}))
    attached = [
        Attached(each.name, each.mime_type, each.text, newest=place == newest) for place, each in found
    ]
    return rest, attached, sentence.strip()


def about_attachments(attached: Sequence[Attached], sentence: str) -> str | None:
    """The answer to a message about attachments; `None` if it is about something else."""
    new = [each for each in attached if each.newest]
    if not attached:
        return None
    if not sentence and new:
        return _listing(new)
    if (match := _READ.fullmatch(sentence)) and (which := _named(match["what"], attached)) is not None:
        return _reading(which)
    if _LIST.fullmatch(sentence):
        return _listing(attached)
    return None


def _named(what: str, attached: Sequence[Attached]) -> Attached | None:
    wanted = what.strip().strip("`\"'").lower()
    for each in reversed(attached):
        if wanted == each.name.lower() or (wanted and each.name.lower() in wanted):
            return each
    if re.fullmatch(r"(?:it|this|that|the (?:file|attachment|document|text)|this file|my file)", wanted):
        return attached[-1]
    return None


def _listing(attached: Sequence[Attached]) -> str:
    lines = [f"- `{each.name}` ({each.mime_type})" for each in attached]
    readable = next((each.name for each in attached if each.text is not None), None)
    hint = f"\n\nTo hear what one says: `read {readable}`." if readable is not None else ""
    return "Attached:\n\n" + "\n".join(lines) + hint


def _reading(attached: Attached) -> str:
    if attached.text is None:
        return f"`{attached.name}` is not text, and I cannot see pictures or documents."
    text = attached.text
    more = (
        f"\n\n… and {len(text) - MAX_SHOWN_CHARS:,} characters more." if len(text) > MAX_SHOWN_CHARS else ""
    )
    # A fence that is longer than any in the text.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"`{attached.name}`:\n\n{fence}\n{text[:MAX_SHOWN_CHARS]}\n{fence}{more}"

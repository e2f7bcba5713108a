"""Separates thoughts from the text of models that mark them with tags, such as `<think>…</think>`."""

from typing import Literal

_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<thoughts>": "</thoughts>",
    "<reasoning>": "</reasoning>",
    "<reason>": "</reason>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<seed:think>": "</seed:think>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
"""Opening and closing tags in lower case. Templates of Qwen, DeepSeek, Magistral, Kimi, Seed and Open WebUI's list."""

_CLOSING_ONLY = "</think>"
"""Some chat templates (DeepSeek R1, QwQ) put the opening tag into the prompt, so that the text begins within the
thought. It counts if no opening tag occurs before it, and if it is not quoted."""
_OPENING = "<think"
_QUOTATION = set("`'\"“„«")

_LONGEST = max(map(len, [*_TAGS, *_TAGS.values()]))

type Piece = tuple[Literal["text", "thought", "text_was_thought"], str]
"""A kind and its text. `text_was_thought` has no text: all text so far was a thought."""


class ThoughtTags:
    """Splits the deltas of one message. Tags are recognised at the beginning of the text only: an answer may speak
    about them."""

    def __init__(self) -> None:
        self._state: Literal["start", "thought", "text"] = "start"
        self._held = ""
        self._closing = ""
        self._may_close = True
        self._after_thought = False
        self._last = ""

    def passes(self, delta: str) -> bool:
        """Whether `delta` is text as it is, and can be no part of a tag."""
        if self._state != "text" or self._held:
            return False
        if self._may_close:
            if "<" in delta or "<" in self._last:
                return False
            self._last = delta[-1:] or self._last
        return True

    def feed(self, delta: str) -> list[Piece]:
        """The pieces that are complete with `delta`. What may be the beginning of a tag is held back."""
        if self.passes(delta):
            return [("text", delta)]
        text, self._held = self._held + delta, ""
        pieces: list[Piece] = []
        while text:
            match self._state:
                case "start":
                    text = self._at_start(text, pieces)
                case "thought":
                    text = self._in_thought(text, pieces)
                case "text":
                    text = self._in_text(text, pieces)
        return [piece for piece in pieces if piece[1] or piece[0] == "text_was_thought"]

    def end(self) -> list[Piece]:
        """What is left when the message ends."""
        held, self._held = self._held, ""
        if not held:
            return []
        kind: Literal["text", "thought"] = "thought" if self._state == "thought" else "text"
        return [(kind, held)]

    def _at_start(self, text: str, pieces: list[Piece]) -> str:
        begin = text.removeprefix("\ufeff").lstrip()
        lower = begin[:_LONGEST].lower()
        for tag, closing in _TAGS.items():
            if lower.startswith(tag):
                self._state, self._closing, self._may_close = "thought", closing, False
                return begin[len(tag) :]
            if tag.startswith(lower):
                self._held = text
                return ""
        self._state = "text"
        return begin if self._after_thought else text.removeprefix("\ufeff")

    def _in_thought(self, text: str, pieces: list[Piece]) -> str:
        place = text.lower().find(self._closing)
        if place >= 0:
            pieces.append(("thought", text[:place]))
            # A second thought may follow.
            self._state, self._after_thought = "start", True
            return text[place + len(self._closing) :]
        safe = _without_beginning_of(self._closing, text)
        pieces.append(("thought", text[:safe]))
        self._held = text[safe:]
        return ""

    def _in_text(self, text: str, pieces: list[Piece]) -> str:
        if not self._may_close:
            pieces.append(("text", text))
            return ""
        before = self._last
        place = text.lower().find(_CLOSING_ONLY)
        opening = (before + text).lower().find(_OPENING)
        if opening >= 0 and (place < 0 or opening < len(before) + place):
            self._may_close = False
            return text
        if place >= 0:
            self._may_close = False
            if (before + text[:place])[-1:] in _QUOTATION:
                return text
            pieces.append(("text", text[:place]))
            pieces.append(("text_was_thought", ""))
            self._state, self._after_thought = "start", True
            return text[place + len(_CLOSING_ONLY) :]
        safe = _without_beginning_of(_CLOSING_ONLY, text)
        pieces.append(("text", text[:safe]))
        self._last = (before + text[:safe])[1 - len(_OPENING) :]
        self._held = text[safe:]
        return ""


def _without_beginning_of(tag: str, text: str) -> int:
    """The length of `text` without what may be the beginning of `tag` at its end."""
    lower = text[-len(tag) :].lower()
    for length in range(min(len(tag) - 1, len(lower)), 0, -1):
        if lower.endswith(tag[:length]):
            return len(text) - length
    return len(text)


def split_thoughts(text: str) -> tuple[str, str]:
    """The thoughts and the visible text of a complete message."""
    tags = ThoughtTags()
    thoughts, visible = "", ""
    for kind, piece in [*tags.feed(text), *tags.end()]:
        if kind == "text_was_thought":
            thoughts, visible = visible, ""
        elif kind == "thought":
            thoughts += piece
        else:
            visible += piece
    return thoughts, visible

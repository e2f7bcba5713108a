"""A request of the Chat Completions API, as checks read it. Nothing in it needs to be well-formed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from backchannel.testing.endpoints.rules import Json

NAME = re.compile(r"[a-zA-Z0-9_-]+")
MAX_STRING = 10_485_760
KINDS: tuple[tuple[type[Any], str], ...] = (
    (dict, "an object"),
    (list, "an array"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
)


@dataclass(slots=True)
class Chat:
    """The body of a request, with its messages and tool calls.

    Attributes:
        body: The whole body.
        messages: The messages; what is not an object is left out.
    """

    body: Json
    messages: list[Json] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = objects(self.body.get("messages"))

    @property
    def model(self) -> str:
        """The model's name in lower case."""
        return str(self.body.get("model") or "").lower()

    def calls(self) -> Iterator[tuple[int, int, Json]]:
        """The index of the message, the index of the call in it, and the call."""
        for index, message in enumerate(self.messages):
            for number, call in enumerate(calls_of(message)):
                yield index, number, call

    def parts(self) -> Iterator[tuple[int, int, Json]]:
        """The index of the message, the index of the part in it, and the part, for contents that are lists."""
        for index, message in enumerate(self.messages):
            for number, part in enumerate(objects(message.get("content"))):
                yield index, number, part

    def texts(self) -> Iterator[tuple[int, int, str]]:
        """The index of the message, the index of the text in it, and the text."""
        for index, message in enumerate(self.messages):
            content = message.get("content")
            if isinstance(content, str):
                yield index, 0, content
            for number, part in enumerate(objects(content)):
                if part.get("type") == "text" and isinstance(part.get("text"), str):
                    yield index, number, part["text"]

    def turn_start(self) -> int:
        """The index after the last message of the user."""
        users = [index for index, message in enumerate(self.messages) if message.get("role") == "user"]
        return users[-1] + 1 if users else 0


def objects(value: object) -> list[Json]:
    """The objects in a list; nothing if it is no list."""
    if not isinstance(value, list):
        return []
    return [cast("Json", each) for each in cast("list[Any]", value) if isinstance(each, dict)]


def calls_of(message: Json) -> list[Json]:
    """The tool calls of an assistant message."""
    return objects(message.get("tool_calls")) if message.get("role") == "assistant" else []


def function_of(call: Json) -> Json:
    """The `function` of a call or a tool."""
    function = call.get("function")
    return cast("Json", function) if isinstance(function, dict) else {}


def inner(value: object, *names: str) -> object:
    """What stands in nested objects under these names; None where one is missing or no object."""
    for name in names:
        value = cast("Json", value).get(name) if isinstance(value, dict) else None
    return value


def kind_of(value: object) -> str:
    """What OpenAI's messages call a value that is not a text."""
    return next((name for kind, name in KINDS if isinstance(value, kind)), "null")


def is_empty(content: object) -> bool:
    """Whether a content is missing, null, "" or []."""
    return content is None or content in ("", [])

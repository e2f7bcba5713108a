"""Limits of what one request may carry, beyond the types of the protocol."""

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from chatkit.types import (
    ChatKitReq,
    ThreadsAddClientToolOutputReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsCustomActionReq,
    ThreadsSyncCustomActionReq,
    UserMessageInput,
    UserMessageTextContent,
)

from backchannel.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The most that one request may carry.

    Attributes:
        message_chars: Characters of a message, with its quoted text.
        content_parts: Parts of a message's content, with tags.
        tags: Tags of a message.
        attachments: Attachments of a message.
        metadata_chars: Characters of a request's or a thread's metadata as JSON.
        json_depth: Levels of objects and lists in values of any form: metadata, the payload of an action, the output of
            a client tool.
    """

    message_chars: int = 32_000
    content_parts: int = 100
    tags: int = 50
    attachments: int = 20
    metadata_chars: int = 16_000
    json_depth: int = 64

    def check(self, request: ChatKitReq) -> None:
        """Check a request.

        Raises:
            InvalidInputError: It carries too much; the message says of what.
        """
        self.check_metadata(request.metadata)
        match request:
            case ThreadsCreateReq() | ThreadsAddUserMessageReq():
                self._check_message(request.params.input)
            case ThreadsCustomActionReq() | ThreadsSyncCustomActionReq():
                self._check_depth("The payload of the action", request.params.action.payload)
            case ThreadsAddClientToolOutputReq():
                self._check_depth("The output of the client tool", request.params.result)
            case _:
                pass

    def check_metadata(self, metadata: dict[str, Any]) -> None:
        """Check the metadata of a request or a thread.

        Raises:
            InvalidInputError: It is too long, or nested too deeply.
        """
        if not metadata:
            return
        self._check_depth("metadata", metadata)
        if len(json.dumps(metadata)) > self.metadata_chars:
            raise InvalidInputError(f"metadata may have at most {self.metadata_chars} characters as JSON.")

    def _check_message(self, message: UserMessageInput) -> None:
        parts, tags = len(message.content), sum(part.type == "input_tag" for part in message.content)
        for what, count, most in (
            ("content parts", parts, self.content_parts),
            ("tags", tags, self.tags),
            ("attachments", len(message.attachments), self.attachments),
        ):
            if count > most:
                raise InvalidInputError(f"A message may have at most {most} {what}; this one has {count}.")
        length = sum(len(part.text) for part in message.content) + len(message.quoted_text or "")
        if length > self.message_chars:
            raise InvalidInputError(
                f"The message has {length} characters; at most {self.message_chars} are allowed. Shorten it."
            )
        texts = (part for part in message.content if isinstance(part, UserMessageTextContent))
        others = len(message.content) - sum(
            isinstance(part, UserMessageTextContent) for part in message.content
        )
        if not others and not message.attachments and not any(is_visible(part.text) for part in texts):
            raise InvalidInputError("The message is empty. Write something or attach a file.")
        for part in message.content:
            if part.type == "input_tag":
                self.check_metadata(part.data)

    def _check_depth(self, what: str, value: Any) -> None:
        level: list[Any] = [value]
        for _ in range(self.json_depth + 1):
            level = [inner for each in level for inner in _children(each)]
            if not level:
                return
        raise InvalidInputError(f"{what} may have at most {self.json_depth} levels.")


def is_visible(text: str) -> bool:
    """Whether a text has visible characters: not only spaces, control characters and zero-width characters."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()

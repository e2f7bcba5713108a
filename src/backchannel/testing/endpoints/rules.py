"""What a rule is: a check, and the words with which each API refuses what the check finds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

type Json = dict[str, Any]
type Profile = Literal[
    "openai-responses",
    "openai-chat",
    "azure",
    "gemini",
    "anthropic",
    "mistral",
    "vllm",
    "deepseek",
    "llama.cpp",
    "strictest",
]
type Api = Literal["chat", "responses"]
type Found = dict[str, object]
"""The values of one finding, by the names under which messages use them."""

APIS: Mapping[Profile, tuple[Api, ...]] = {
    "openai-responses": ("responses",),
    "openai-chat": ("chat",),
    "azure": ("responses", "chat"),
    "gemini": ("chat",),
    "anthropic": ("chat",),
    "mistral": ("chat",),
    "vllm": ("chat",),
    "deepseek": ("chat",),
    "llama.cpp": ("chat",),
    "strictest": ("responses", "chat"),
}
"""The APIs of each profile. Azure serves both with the words of OpenAI."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How one API refuses a request.

    Attributes:
        message: The message, in which `{names}` stand for values of the finding.
        source: Where the refusal is documented or reported: an address, or `repository#number`.
        param: The `param` of the error body, with `{names}` too.
        code: The `code` of the error body.
        type: The `type` of the error body, if it is not the usual one of the API.
        status: The HTTP status.
    """

    message: str
    source: str
    param: str | None = None
    code: str | int | None = None
    type: str | None = None
    status: int = 400


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that requests must meet.

    Attributes:
        id: The rule's name.
        api: The API to whose requests it applies.
        check: Yields one finding for each place at which a request does not meet it.
        wordings: How each profile refuses. Profiles that are not in it do not have the rule.
        note: Where sources disagree, or what the rule leaves out.
    """

    id: str
    api: Api
    check: Callable[[Any], Iterator[Found]]
    wordings: Mapping[str, Wording]
    note: str = ""

    def wording(self, profile: Profile) -> Wording | None:
        """How a profile refuses; None if it does not have the rule. The strictest has every rule."""
        if profile == "strictest":
            return next(iter(self.wordings.values()))
        return self.wordings.get(profile)


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason for which an API would refuse a request.

    Attributes:
        rule: The rule's name.
        message: The message of the API's error body.
        source: Where the refusal is documented or reported.
        status: The HTTP status of the answer.
        param: The `param` of the error body.
        code: The `code` of the error body.
        type: The `type` of the error body; None for the usual one.
    """

    rule: str
    message: str
    source: str
    status: int = 400
    param: str | None = None
    code: str | int | None = None
    type: str | None = None


def violation(rule: str, wording: Wording, found: Found) -> Violation:
    """A finding in the words of an API."""
    return Violation(
        rule=rule,
        message=wording.message.format_map(found),
        source=wording.source,
        status=wording.status,
        param=wording.param and wording.param.format_map(found),
        code=wording.code,
        type=wording.type,
    )

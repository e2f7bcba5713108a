"""What an oddity is, and the list in which all are registered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

from backchannel.testing.endpoints.chat_view import inner, objects
from backchannel.testing.endpoints.requests import ReceivedRequest
from backchannel.testing.endpoints.rules import Api
from backchannel.testing.endpoints.wire import ChatStream, Part, Pause, Reply, ResponsesStream

APIS: tuple[Api, ...] = ("chat", "responses")
WORDS = [f"word{number} " for number in range(400)]
"""The text of a burst: 400 words, each a delta."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the making of an odd answer can use.

    Attributes:
        request: The request that is answered.
        chat: Makes chunks of Chat Completions.
        responses: Makes events of the Responses API.
        pause: A place at which the answer waits until the test lets it go on.
    """

    request: ReceivedRequest
    chat: ChatStream
    responses: ResponsesStream
    pause: Pause

    @property
    def tool(self) -> str:
        """The tool that is called: the first function of the request, or `lookup`."""
        for tool in objects(self.request.body.get("tools")):
            name = tool.get("name") or inner(tool, "function", "name")
            if isinstance(name, str):
                return name
        return "lookup"


type Build = Callable[[Context], Reply | Sequence[Part]]


@dataclass(frozen=True, slots=True)
class Oddity:
    """One way in which endpoints answer that clients do not expect.

    Attributes:
        name: The name.
        description: What the answer is like.
        source: Where it is reported or documented: an address, or `repository#number`.
        builds: How the answer is made, by API; the APIs that it does not exist in are left out.
    """

    name: str
    description: str
    source: str
    builds: Mapping[str, Build] = field(repr=False)

    @property
    def apis(self) -> list[Api]:
        """The APIs in which it exists."""
        return [api for api in APIS if api in self.builds]

    def reply(self, context: Context) -> Reply:
        """The odd answer to a request of one of its APIs."""
        made = self.builds[context.request.api](context)
        return made if isinstance(made, Reply) else Reply(made)


_CATALOGUE: dict[str, Oddity] = {}
CATALOGUE: Mapping[str, Oddity] = MappingProxyType(_CATALOGUE)
"""All oddities that were registered, by name."""


def odd(source: str, *apis: Api, name: str = "", description: str = "") -> Callable[[Build], Build]:
    """Register how an oddity is made for some APIs; without any, for both.

    The name is that of the function without `chat_` and `responses_`; the description is the first line of its
    docstring. The first function of a name gives the description and the source.
    """

    def register(build: Build) -> Build:
        function = cast("str", getattr(build, "__name__", ""))
        own = name or function.removeprefix("chat_").removeprefix("responses_")
        known = _CATALOGUE.get(own)
        said = description or (build.__doc__ or "").strip().partition("\n")[0]
        builds = {**(known.builds if known else {}), **dict.fromkeys(apis or ("chat", "responses"), build)}
        _CATALOGUE[own] = (
            Oddity(own, known.description, known.source, builds)
            if known
            else Oddity(own, said, source, builds)
        )
        return build

    return register

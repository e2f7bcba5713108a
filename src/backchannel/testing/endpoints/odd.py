"""An endpoint that answers oddly."""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from typing import override

from backchannel.models.response_events import Call
from backchannel.testing.endpoints import odd_calls, odd_errors, odd_responses, odd_streams, odd_texts
from backchannel.testing.endpoints.answers import answer
from backchannel.testing.endpoints.oddity import CATALOGUE, Context, Oddity
from backchannel.testing.endpoints.requests import ReceivedRequest
from backchannel.testing.endpoints.rules import Api, Profile, Violation
from backchannel.testing.endpoints.server import Endpoint
from backchannel.testing.endpoints.strict import OK, Step, StrictEndpoint
from backchannel.testing.endpoints.unstream import unstreamed
from backchannel.testing.endpoints.wire import ChatStream, Pause, Reply, ResponsesStream, json_reply
from backchannel.testing.model import Say

CATALOGUES = (odd_calls, odd_errors, odd_responses, odd_streams, odd_texts)
"""The modules that register oddities."""

ODDITIES: Mapping[str, Oddity] = CATALOGUE
"""All oddities by name."""


class OddEndpoint(Endpoint):
    """An endpoint that answers each request with the next entry of a script of oddities and ordinary answers.

    A request that asks for no stream gets the same content as one JSON object; oddities that are in the stream itself,
    such as missing events, are not odd then. An oddity that does not exist in the API of a request is answered with
    status 501 and an explanation.

    Args:
        *script: The answers in order: names of `ODDITIES`, `"ok"`, or steps as of a `StrictEndpoint`.
        then: The answer to every request after the script.
        unstreamed: The answer to every request that asks for no stream, such as one for a title beside the answer
            itself. Such requests use up no entry then; by default they do.
        strict: Refuse requests that this API would refuse; they do not use up an entry of the script. A
            `StrictEndpoint` brings its rules, and not its script.

    Attributes:
        requests: The requests received so far.
        go: Set it to let the answers go on that wait for the test: `slow_headers`, `slow_first_byte`, `silence`.
    """

    def __init__(
        self,
        *script: str | Step,
        then: str | Step = "ok",
        unstreamed: str | Step | None = None,
        strict: Profile | StrictEndpoint | None = None,
    ) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self._script = [_checked(entry) for entry in script]
        self._then = _checked(then)
        self._unstreamed = None if unstreamed is None else _checked(unstreamed)
        self._checks = StrictEndpoint(strict) if isinstance(strict, str) else strict

    @property
    def refused(self) -> list[list[Violation]]:
        """For each refused request the rules that it broke, in order; empty without `strict`."""
        return [] if self._checks is None else self._checks.refused

    def add(self, *script: str | Step) -> None:
        """Append entries to the script."""
        self._script += [_checked(entry) for entry in script]

    @override
    def reply(self, request: ReceivedRequest) -> Reply:
        refused = self._checks and self._checks.check(request)
        if refused:
            return refused
        if self._unstreamed is not None and not request.stream:
            entry = self._unstreamed
        else:
            entry = self._script.pop(0) if self._script else self._then
        if isinstance(entry, str):
            return self._odd(ODDITIES[entry], request)
        if isinstance(entry, Reply):
            return entry
        profile = "openai-chat" if self._checks is None else self._checks.profile
        return answer([entry] if isinstance(entry, Say | Call) else entry, request, profile)

    def _odd(self, oddity: Oddity, request: ReceivedRequest) -> Reply:
        if request.api not in oddity.apis:
            message = f"The oddity {oddity.name!r} does not exist in this API; it does in: {', '.join(oddity.apis)}."
            return json_reply({"error": {"message": message, "type": "no_such_oddity"}}, 501)
        context = Context(request, ChatStream(request.model), ResponsesStream(request.model), Pause(self.go))
        made = oddity.reply(context)
        return made if request.stream else unstreamed(made, request.api)

    @override
    def malformed(self, api: Api) -> Reply:
        return (self._checks or StrictEndpoint("openai-chat")).malformed(api)


def _checked(entry: str | Step) -> str | Step | Sequence[Say | Call]:
    if entry == "ok":
        return OK
    if isinstance(entry, str) and entry not in ODDITIES:
        near = difflib.get_close_matches(entry, ODDITIES, n=3) or list(ODDITIES)
        raise ValueError(f"no oddity {entry!r}; there are: {', '.join(near)}")
    return entry

"""An endpoint that refuses what a real API would refuse."""

from collections.abc import Collection, Sequence
from typing import override

from backchannel.models.response_events import Call
from backchannel.testing.endpoints.answers import answer
from backchannel.testing.endpoints.chat_content_rules import JSON_HINT
from backchannel.testing.endpoints.checker import violations
from backchannel.testing.endpoints.refusals import refusal
from backchannel.testing.endpoints.requests import ReceivedRequest
from backchannel.testing.endpoints.rules import APIS, Api, Profile, Violation
from backchannel.testing.endpoints.server import Endpoint
from backchannel.testing.endpoints.tokens import too_many_tokens
from backchannel.testing.endpoints.wire import Reply, json_reply
from backchannel.testing.model import Say

type Step = Say | Call | Reply | Sequence[Say | Call]


OK = Say("ok")


class StrictEndpoint(Endpoint):
    """An endpoint that plays a script, and refuses requests with the status and the error body of a real API.

    A refused request does not use up a step of the script.

    Args:
        profile: The API whose rules apply; `"strictest"` has the rules of all.
        *steps: The answers in order. A step with several parts is one answer. A `Reply` is sent as it is.
        then: The answer to every request after the last step.
        unstreamed: The answer to every request that asks for no stream, such as one for a title beside the answer
            itself. Such requests use up no step then; by default they do.
        ignore: The names of rules that are not checked, such as `"call_id_format"`.
        context_tokens: For how many tokens the model has room, counted as `tokens_of` does; unlimited by default.

    Attributes:
        requests: The requests received so far, the refused ones too.
        refused: For each refused request the rules that it broke, in order.
    """

    def __init__(
        self,
        profile: Profile,
        *steps: Step,
        then: Step = OK,
        unstreamed: Step | None = None,
        ignore: Collection[str] = (),
        context_tokens: int | None = None,
    ) -> None:
        if profile not in APIS:
            raise ValueError(f"no profile {profile!r}; there are: {', '.join(APIS)}")
        super().__init__()
        self.profile: Profile = profile
        self.refused: list[list[Violation]] = []
        self._steps = list(steps)
        self._then = then
        self._unstreamed = unstreamed
        self._ignore = frozenset(ignore)
        self._context_tokens = context_tokens

    def add(self, *steps: Step) -> None:
        """Append steps to the script."""
        self._steps.extend(steps)

    @override
    def reply(self, request: ReceivedRequest) -> Reply:
        refused = self.check(request)
        if refused is not None:
            return refused
        if self._unstreamed is not None and not request.stream:
            step = self._unstreamed
        else:
            step = self._steps.pop(0) if self._steps else self._then
        if isinstance(step, Reply):
            return step
        return answer([step] if isinstance(step, Say | Call) else step, request, self.profile)

    def check(self, request: ReceivedRequest) -> Reply | None:
        """The refusal of a request; None if the API would take it."""
        if request.api not in APIS[self.profile]:
            return json_reply({"detail": "Not Found"}, 404)
        found = violations(self.profile, request.body, ignore=self._ignore)
        if self._context_tokens is not None:
            too_large = too_many_tokens(self.profile, request.body, self._context_tokens)
            found += [too_large] if too_large else []
        if not found:
            return None
        self.refused.append(found)
        return refusal(self.profile, found[0], request.body, self._context_tokens)

    @override
    def malformed(self, api: Api) -> Reply:
        found = Violation("not_json", JSON_HINT, "openai/openai-go#245", code=400)
        self.refused.append([found])
        return refusal(self.profile, found, {})

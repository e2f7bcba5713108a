"""Oddities (`backchannel.testing.endpoints.ODDITIES`) among the answers of the model server."""

import asyncio
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import cast

from backchannel.testing.endpoints import ODDITIES, ReceivedRequest, Reply, violations
from backchannel.testing.endpoints.oddity import Context
from backchannel.testing.endpoints.rules import Api
from backchannel.testing.endpoints.wire import ChatStream, Pause, ResponsesStream
from faults.model_server import MODEL, ModelCall

EXCLUDED = {"slow_headers", "slow_first_byte", "silence"}
"""They wait for a test."""
TOOL = {"type": "function", "name": "lookup", "function": {"name": "lookup"}}
"""What an oddity calls."""
OWN_NAMES = {"call_id_format", "call_id_too_long", "call_id_characters", "id_too_long"}
"""Rules for ids. Within a turn an endpoint gets back the ids that it made itself, whatever they are."""


@dataclass
class OddAnswers:
    """Chooses by the seed and the label of a message whether a call for it is answered oddly, and with what.

    After a crash the same call is answered in the same way; after an odd call of a tool, the ordinary way.

    Args:
        every: One message in so many is answered oddly; 0 for none.
        seed: Of the choice.

    Attributes:
        given: The name of the last odd answer, by the label of the message.
        counts: How often each was given.
        refused: What a strict endpoint would have refused.
    """

    every: int
    seed: int
    given: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def chosen(self, label: str) -> bool:
        """Whether a message is answered oddly."""
        return self.every > 0 and self._number(label) % self.every == 0

    def reply(self, call: ModelCall) -> Reply | None:
        """The odd answer to a call; `None` for an ordinary one."""
        broken = {each.rule for each in violations("strictest", _body(call))} - OWN_NAMES
        if self.every and broken:
            self.refused.append(f"call {call.number} for {call.label}: {sorted(broken)}")
        if not self.chosen(call.label) or not self._is_due(call):
            return None
        api = cast("Api", call.api)
        names = [name for name in ODDITIES if api in ODDITIES[name].apis and name not in EXCLUDED]
        name = names[self._number(call.label) // self.every // 2 % len(names)]
        call.oddity = self.given[call.label] = name
        self.counts[name] = self.counts.get(name, 0) + 1
        request = ReceivedRequest(api, {**_body(call), "tools": [TOOL]}, {}, call.number)
        pause = Pause(asyncio.Event())
        return ODDITIES[name].reply(Context(request, ChatStream(MODEL), ResponsesStream(MODEL), pause))

    def _is_due(self, call: ModelCall) -> bool:
        """Whether it is the first call for a message; for half of the messages that call a tool, the one after that."""
        last = call.body["input"][-1]
        after_step = "_step" in str(last.get("call_id"))
        is_late = (
            any(f"{call.label}: call " in text for text in call.texts[-2:])
            and self._number(call.label) % 2 == 1
        )
        return after_step if is_late else last.get("role") == "user"

    def _number(self, label: str) -> int:
        return int.from_bytes(blake2b(f"{self.seed} {label}".encode(), digest_size=6).digest())


def _body(call: ModelCall) -> dict[str, object]:
    """What was sent."""
    return {name: value for name, value in call.body.items() if name != "input" or call.api == "responses"}

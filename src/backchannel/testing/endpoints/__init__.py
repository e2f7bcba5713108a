"""Endpoints of model providers for tests: one refuses what real APIs refuse, one answers as they do at their oddest."""

from backchannel.models.response_events import Call
from backchannel.testing.endpoints.checker import RULES, violations, violations_of_input
from backchannel.testing.endpoints.odd import ODDITIES, OddEndpoint
from backchannel.testing.endpoints.oddity import Oddity
from backchannel.testing.endpoints.requests import ReceivedRequest
from backchannel.testing.endpoints.rules import Profile, Rule, Violation, Wording
from backchannel.testing.endpoints.strict import StrictEndpoint
from backchannel.testing.endpoints.tokens import tokens_of
from backchannel.testing.endpoints.wire import Drop, Pause, Reply
from backchannel.testing.model import Say

__all__ = [
    "ODDITIES",
    "RULES",
    "Call",
    "Drop",
    "OddEndpoint",
    "Oddity",
    "Pause",
    "Profile",
    "ReceivedRequest",
    "Reply",
    "Rule",
    "Say",
    "StrictEndpoint",
    "Violation",
    "Wording",
    "tokens_of",
    "violations",
    "violations_of_input",
]

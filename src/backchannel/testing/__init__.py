"""Tools for testing agents and servers: a scripted model and a ChatKit client."""

from backchannel.client import ChatKitClient, ServerError, Stream, parse_events, user_message
from backchannel.testing.model import Call, Fail, Say, ScriptedModel

__all__ = [
    "Call",
    "ChatKitClient",
    "Fail",
    "Say",
    "ScriptedModel",
    "ServerError",
    "Stream",
    "parse_events",
    "user_message",
]

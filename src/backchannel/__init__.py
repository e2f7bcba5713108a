"""Backchannel turns an OpenAI Agents SDK agent into a production chat backend for ChatKit.

What people import stands here; it is loaded when it is first used, so that the command line starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backchannel.app import Backchannel
    from backchannel.application import Application
    from backchannel.authenticators.base import Authenticated, Authenticator
    from backchannel.authenticators.host import HostAuthenticator
    from backchannel.chat.agent.converter import HistoryConverter
    from backchannel.context import Identity, RequestContext
    from backchannel.hooks import Hooks
    from backchannel.hosting.fastapi import create_app
    from backchannel.models.offline import OfflineModel
    from backchannel.models.response_events import Call
    from backchannel.settings import Settings
    from backchannel.tools import approval_question, idempotency_key, idempotent
    from backchannel.wiring import build

_HOMES = {
    "Backchannel": "backchannel.app",
    "Application": "backchannel.application",
    "Authenticated": "backchannel.authenticators.base",
    "Authenticator": "backchannel.authenticators.base",
    "HostAuthenticator": "backchannel.authenticators.host",
    "HistoryConverter": "backchannel.chat.agent.converter",
    "Hooks": "backchannel.hooks",
    "Call": "backchannel.models.response_events",
    "Identity": "backchannel.context",
    "OfflineModel": "backchannel.models.offline",
    "RequestContext": "backchannel.context",
    "Settings": "backchannel.settings",
    "build": "backchannel.wiring",
    "approval_question": "backchannel.tools",
    "create_app": "backchannel.hosting.fastapi",
    "idempotency_key": "backchannel.tools",
    "idempotent": "backchannel.tools",
}

__all__ = [
    "Application",
    "Authenticated",
    "Authenticator",
    "Backchannel",
    "Call",
    "HistoryConverter",
    "Hooks",
    "HostAuthenticator",
    "Identity",
    "OfflineModel",
    "RequestContext",
    "Settings",
    "approval_question",
    "build",
    "create_app",
    "idempotency_key",
    "idempotent",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'backchannel' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

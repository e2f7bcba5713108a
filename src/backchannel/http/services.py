"""What the endpoints work with: `app.Backchannel`, as far as they need to know it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from chatkit.server import ChatKitServer
from starlette.requests import Request

from backchannel.authenticators.base import Authenticator
from backchannel.context import RequestContext
from backchannel.event_logs.base import EventLog
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.runs.runs import Runs
from backchannel.settings import Settings


class ServerParts(Protocol):
    """What exists once the application is made."""

    @property
    def authenticators(self) -> Sequence[Authenticator]:
        """The chain that identifies callers."""
        ...

    @property
    def hooks(self) -> HookDispatcher:
        """The listeners."""
        ...

    @property
    def suggestions(self) -> Sequence[str]:
        """First messages that the chat page offers."""
        ...

    @property
    def context(self) -> Callable[[RequestContext, Request | None], Any] | None:
        """Makes the application's own context of a request."""
        ...

    @property
    def replace_context(self) -> bool:
        """Whether that replaces the `RequestContext` for the server and its store."""
        ...


class Services(Protocol):
    """A server, as its endpoints see it."""

    @property
    def is_running(self) -> bool:
        """Whether every part is open."""
        ...

    @property
    def parts(self) -> ServerParts:
        """The parts of a running server."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings."""
        ...

    @property
    def server(self) -> ChatKitServer[Any]:
        """Answers the ops of the protocol."""
        ...

    @property
    def runs(self) -> Runs:
        """Starts runs, and knows those of this process."""
        ...

    @property
    def events(self) -> EventLog:
        """The runs' event logs."""
        ...

    async def health(self) -> dict[str, Any]:
        """The state of each part; `status` is `ok` only if every part is."""
        ...

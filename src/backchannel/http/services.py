"""The interface of `app.Backchannel` that the endpoints use."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from chatkit.server import ChatKitServer
from starlette.requests import Request

from backchannel.authenticators.base import Authenticator
from backchannel.context import RequestContext
from backchannel.event_logs.base import EventLog
from backchannel.files.attachments import FileAttachments
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.http.rate_limits import RateLimits
from backchannel.http.repetitions import UnansweredRequests
from backchannel.runs.runs import Runs
from backchannel.settings import Settings
from backchannel.web.origins import WriteOrigins


class ServerParts(Protocol):
    """The components of a running server."""

    @property
    def authenticators(self) -> Sequence[Authenticator]:
        """The authenticators, in the order in which they are tried."""
        ...

    @property
    def origins(self) -> WriteOrigins:
        """Which pages may send requests that change something with a browser's credentials."""
        ...

    @property
    def hooks(self) -> HookDispatcher:
        """The dispatcher of hook events."""
        ...

    @property
    def rate_limits(self) -> RateLimits | None:
        """The limits on the rate of requests; `None` if there are none."""
        ...

    @property
    def suggestions(self) -> Sequence[str]:
        """Suggested first messages for the chat page."""
        ...

    @property
    def context(self) -> Callable[[RequestContext, Request | None], Any] | None:
        """Creates the application's own context for a request; `None` if it has none."""
        ...

    @property
    def access(self) -> Any:
        """The parts of logins, as `http.auth.access.Access`; `None` where the application identifies callers itself."""
        ...

    @property
    def attachments(self) -> FileAttachments | None:
        """The files that people attach to messages; `None` if the server takes none, or the application does itself."""
        ...

    @property
    def replace_context(self) -> bool:
        """Whether that context replaces the `RequestContext` for the server and its store."""
        ...


class Services(Protocol):
    """The server, as used by its endpoints."""

    @property
    def is_running(self) -> bool:
        """Whether every component is open."""
        ...

    @property
    def parts(self) -> ServerParts:
        """The components. Only available while the server is running."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings."""
        ...

    @property
    def server(self) -> ChatKitServer[Any]:
        """The ChatKit server that handles the protocol's operations."""
        ...

    @property
    def runs(self) -> Runs:
        """Starts, loads and cancels runs."""
        ...

    @property
    def unanswered(self) -> UnansweredRequests:
        """The requests whose response has not begun."""
        ...

    @property
    def events(self) -> EventLog:
        """The runs' event logs."""
        ...

    def check_running(self) -> None:
        """Check that requests can be answered.

        Raises:
            BackchannelError: They cannot; the message says why.
        """
        ...

    async def health(self) -> dict[str, Any]:
        """The state of each component; `status` is `ok` only if every component is available."""
        ...

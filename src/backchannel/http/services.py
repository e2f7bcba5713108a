"""What the endpoints work with. `app.Backchannel` provides it; tests can provide less."""

from typing import Any, Protocol

from chatkit.server import ChatKitServer

from backchannel.event_logs.base import EventLog
from backchannel.runs.runs import Runs
from backchannel.settings import Settings


class Services(Protocol):
    """The parts of a running server that endpoints use."""

    @property
    def settings(self) -> Settings:
        """What the environment says."""
        ...

    @property
    def server(self) -> ChatKitServer[Any]:
        """Answers the ops of the protocol."""
        ...

    @property
    def runs(self) -> Runs:
        """Starts and follows runs."""
        ...

    @property
    def events(self) -> EventLog:
        """What runs have said."""
        ...

    async def health(self) -> dict[str, Any]:
        """The state of each part; `status` is `ok` only if every part is."""
        ...

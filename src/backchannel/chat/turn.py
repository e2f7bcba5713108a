"""A turn that was accepted: what to send at once, and how to get the server's answer."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from chatkit.server import ChatKitServer
from chatkit.types import ThreadMetadata, ThreadStreamEvent, UserMessageItem

from backchannel.context import RequestContext

type Server = ChatKitServer[Any]
type Respond = Callable[[RequestContext], AsyncIterator[ThreadStreamEvent]]


@runtime_checkable
class Resumable(Protocol):
    """A server that can go on with an answer whose process died. Of any other server's answer what was said is kept,
    and it ends there."""

    def resume(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        began_after: str,
        context: Any,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Go on where the answer stopped, as `respond` would have.

        Args:
            began_after: The newest item of the thread when the answer began: those after it are its own. Items that
                had begun and were not kept are gone, here as well as for everybody who reads.
        """
        ...


@dataclass(slots=True)
class Turn:
    """A request that was accepted: what to send at once, and how to go on.

    Attributes:
        thread: The thread as it was loaded; `respond` may change it, and changed fields are saved.
        respond: Starts the server's answer.
        began_after: The newest item of the thread before the answer; empty if there is none.
        opening: Events sent before the stream options.
        options: Whether the stream's options are still to be sent.
    """

    thread: ThreadMetadata
    respond: Respond
    began_after: str
    opening: list[ThreadStreamEvent] = field(default_factory=list[ThreadStreamEvent])
    options: bool = True

"""A turn that was accepted: what to send at once, and how to get the server's answer."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from chatkit.server import ChatKitServer
from chatkit.types import (
    Attachment,
    AttachmentCreateParams,
    InferenceOptions,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
)

from backchannel.context import Identity, RequestContext

type Server = ChatKitServer[Any]
type Respond = Callable[[Any], AsyncIterator[ThreadStreamEvent]]
"""Starts the answer; gets the server's own context, `RequestContext.for_server`."""


@runtime_checkable
class Resumable(Protocol):
    """A server that can go on with an answer whose process died. An answer of any other server is ended: what had been
    shown of it is stored."""

    def resume(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        began_after: str,
        context: Any,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Go on where the answer stopped, as `respond` would have.

        Args:
            began_after: The newest item of the thread when the answer began: later items are the answer's. Items that
                had begun and were not stored are gone, in the store and for every reader.
        """
        ...


@runtime_checkable
class KnowsActions(Protocol):
    """A server that knows which widget actions it handles, so that any other is refused before anything happens."""

    def action_types(self, *, sync: bool) -> Collection[str]:
        """The types of the actions that have a handler.

        Args:
            sync: Of those that answer at once, else of those that stream events.
        """
        ...


@runtime_checkable
class ChecksOptions(Protocol):
    """A server that knows which models and tools a person may choose, so that any other is refused before anything
    happens."""

    def check_options(self, options: InferenceOptions) -> None:
        """Check the `inference_options` of a new message.

        Raises:
            InvalidInputError: The model or the tool cannot be chosen.
        """
        ...


@runtime_checkable
class ChecksThreads(Protocol):
    """A server that does not take a new message at any time."""

    async def check_thread(self, thread: ThreadMetadata, context: Any) -> None:
        """Check that a thread takes a new message. Nothing is stored yet.

        Raises:
            ConflictError: The person has to decide something first.
        """
        ...


@runtime_checkable
class KeepsFiles(Protocol):
    """An attachment store that has the files of messages itself, and decides which can be sent. Of any other store,
    attachments are sent as `Store.load_attachment` gives them."""

    async def announce(self, params: AttachmentCreateParams, context: RequestContext) -> Attachment:
        """An attachment whose file is still to be uploaded, with the descriptor of the upload.

        Raises:
            BackchannelError: Such a file is not taken.
        """
        ...

    async def prepare(self, attachment_ids: Sequence[str], identity: Identity) -> None:
        """Check the attachments of a message before it is accepted. May take long, and is in no transaction.

        Raises:
            BackchannelError: One of them cannot be sent.
        """
        ...

    async def send(
        self, attachment_ids: Sequence[str], thread_id: str, identity: Identity
    ) -> Sequence[Attachment]:
        """The attachments of a message of a thread, as the message has them; in the transaction that stores it.

        Raises:
            BackchannelError: One of them cannot be sent.
        """
        ...

    async def delete_by_thread(self, thread_id: str, identity: Identity) -> None:
        """Delete the files of a thread that is deleted."""
        ...


@dataclass(slots=True)
class Turn:
    """A request that was accepted.

    Attributes:
        thread: The thread as it was loaded; `respond` may change it, and changed fields are saved.
        respond: Starts the server's answer.
        began_after: The newest item of the thread before the answer; empty if there is none.
        opening: Events sent before the stream options.
        options: Whether the stream's options are still to be sent.
        awaits_input: Whether the answer, of which a part is stored, has asked the person for something.
    """

    thread: ThreadMetadata
    respond: Respond
    began_after: str
    opening: list[ThreadStreamEvent] = field(default_factory=list[ThreadStreamEvent])
    options: bool = True
    awaits_input: bool = False

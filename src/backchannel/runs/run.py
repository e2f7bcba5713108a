"""A run that this process executes: one answer, with a life of its own that no connection ends."""

import asyncio
from dataclasses import replace
from typing import Literal

from chatkit.types import StreamingReq

from backchannel.context import Identity, RequestContext
from backchannel.stores.run_states import RunStatus, check_transition
from backchannel.stores.run_store import RunRecord

type Departure = Literal["released", "fenced"]
"""Why this process stops executing a run that has not ended: it was released for others, or another process took it."""


class Run:
    """A run of this process, from its request or its take-over until it has ended or was released.

    Attributes:
        record: The stored run, as far as this process knows.
        request: The op that it answers.
        context: The caller and the request, with the run's id.
        can_stop: Whether the client can stop the answer, and may offer that.
        stop_as: How the run shall end, or depart, now that its task is cancelled; `None` if nothing asked for that.
        ending: Whether its end is being stored. From then on it cannot be stopped.
        admitted: The id of the run that answers the request, once that was accepted or queued; or its refusal.
    """

    def __init__(
        self, record: RunRecord, request: StreamingReq, context: RequestContext, *, can_stop: bool = True
    ) -> None:
        self.record = record
        self.request = request
        self.context = context
        self.can_stop = can_stop
        self.stop_as: RunStatus | Departure | None = None
        self.ending = False
        self.admitted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # The request may be gone before its refusal is known; an exception that is never read is no error here.
        self.admitted.add_done_callback(lambda admitted: admitted.cancelled() or admitted.exception())
        self.task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """`run_…`."""
        return self.record.id

    @property
    def fence(self) -> int:
        """The fence that this process was given for the run."""
        return self.record.fence

    @property
    def identity(self) -> Identity:
        """The owner of the run."""
        return self.context.identity

    def resolve_admission(self, result: str | BaseException | None = None) -> None:
        """Tell the waiting request which run answers it (this one, if none is named), or why none does. Only the first
        call counts."""
        if self.admitted.done():
            return
        if isinstance(result, BaseException):
            self.admitted.set_exception(result)
        else:
            self.admitted.set_result(result or self.id)

    def stop(self, how: RunStatus | Departure) -> None:
        """Cancel the run's task so that the run ends, or departs, in this way. Does nothing if it is ending or stopping
        already: its end must still be stored."""
        free = self.stop_as is None and not self.ending
        if self.task is not None and free and self.record.status == "running":
            self.stop_as = how
            self.task.cancel()

    def end(self, status: RunStatus) -> None:
        """Note that the run has ended with `status`.

        Raises:
            IllegalTransitionError: A run in its present status cannot.
        """
        check_transition(self.record.status, status)
        self.record = replace(self.record, status=status)

"""A run that this process makes: one answer, with a life of its own that no connection ends."""

import asyncio
from dataclasses import replace
from typing import Literal

from chatkit.types import StreamingReq

from backchannel.context import Identity, RequestContext
from backchannel.stores.run_states import RunStatus, check_step
from backchannel.stores.run_store import RunRecord

type Leaving = Literal["released", "fenced"]
"""Why this process makes a run no more, though it goes on: it was handed over, or another one has taken it."""


class Run:
    """A run of this process, from the moment it is asked for or taken over until it has ended or has left.

    Attributes:
        record: The run as it is kept, as far as this process knows.
        request: The op that it answers.
        context: Who asked, with the run's id.
        can_stop: Whether the client can stop the answer, and may offer that.
        stopping: How it shall end, or leave, when its task is cancelled, once somebody asked for that.
        ending: Whether its end is being recorded.
        settled: The id of the run that answers the request, once that was accepted or has to wait; or its refusal.
    """

    def __init__(
        self, record: RunRecord, request: StreamingReq, context: RequestContext, *, can_stop: bool = True
    ) -> None:
        self.record = record
        self.request = request
        self.context = context
        self.can_stop = can_stop
        self.stopping: RunStatus | Leaving | None = None
        self.ending = False
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # Nobody may be left to hear of a refusal; that is no error of the program.
        self.settled.add_done_callback(lambda settled: settled.cancelled() or settled.exception())
        self.task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """`run_…`."""
        return self.record.id

    @property
    def fence(self) -> int:
        """The number that this process was given for the run."""
        return self.record.fence

    @property
    def identity(self) -> Identity:
        """Whose run it is."""
        return self.context.identity

    def settle(self, answer: str | BaseException | None = None) -> None:
        """Tell whoever asked for the run how it began: which run answers (this one, if none is named), or why none
        does. Only the first call counts."""
        if self.settled.done():
            return
        if isinstance(answer, BaseException):
            self.settled.set_exception(answer)
        else:
            self.settled.set_result(answer or self.id)

    def stop(self, how: RunStatus | Leaving) -> None:
        """Cancel the run's task so that it ends, or leaves, like that. One that does already, or has ended, is left
        alone: its end must still be recorded."""
        free = self.stopping is None and not self.ending
        if self.task is not None and free and self.record.status == "running":
            self.stopping = how
            self.task.cancel()

    def end(self, status: RunStatus) -> None:
        """The run has come to `status`.

        Raises:
            IllegalTransitionError: It cannot.
        """
        check_step(self.record.status, status)
        self.record = replace(self.record, status=status)

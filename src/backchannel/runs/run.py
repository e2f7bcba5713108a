"""A run: one answer being made, with a life of its own that no connection ends."""

import asyncio
from datetime import datetime

from backchannel.context import Identity, RequestContext
from backchannel.stores.base import RunRecord, RunStatus
from backchannel.stores.times import utc_now


class Run:
    """A run of this process, from the moment it is asked for until it has ended.

    Attributes:
        id: `run_…`.
        operation: The ChatKit op that started it.
        context: The request it answers, with the run's id.
        thread_id: The thread it answers in; `None` until a new thread is made.
        status: `running` until it ends. A run that waits for its turn in a thread is running too.
        stopping: How it shall end when its task is cancelled, once somebody asked for that.
        kept: Whether the store knows of it.
        settled: Done when the request was accepted or has to wait (`None`), or was refused (the error).
    """

    def __init__(self, run_id: str, operation: str, context: RequestContext, thread_id: str | None) -> None:
        self.id = run_id
        self.operation = operation
        self.context = context
        self.thread_id = thread_id
        self.status: RunStatus = "running"
        self.error_code: str | None = None
        self.stopping: RunStatus | None = None
        self.kept = False
        self.created_at: datetime = utc_now()
        self.ended_at: datetime | None = None
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Nobody may be left to hear of a refusal; that is no error of the program.
        self.settled.add_done_callback(lambda settled: settled.cancelled() or settled.exception())
        self.task: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Identity:
        """Whose run it is."""
        return self.context.identity

    def settle(self, error: BaseException | None = None) -> None:
        """Tell whoever asked for the run how it began. Only the first call counts."""
        if self.settled.done():
            return
        if error is None:
            self.settled.set_result(None)
        else:
            self.settled.set_exception(error)

    def stop(self, status: RunStatus) -> None:
        """Cancel the run so that it ends with `status`. One that is stopping or has ended is left alone: its
        end must still be recorded."""
        if self.task is not None and self.stopping is None and self.status == "running":
            self.stopping = status
            self.task.cancel()

    def end(self, status: RunStatus, error_code: str | None = None) -> None:
        """The run has ended so. An end is final."""
        assert self.status == "running", f"run {self.id} ended twice: {self.status}, {status}"
        self.status = status
        self.error_code = error_code
        self.ended_at = utc_now()

    def record(self) -> RunRecord:
        """The run as it is kept."""
        return RunRecord(
            id=self.id,
            thread_id=self.thread_id or "",
            operation=self.operation,
            status=self.status,
            created_at=self.created_at,
            error_code=self.error_code,
            ended_at=self.ended_at,
        )

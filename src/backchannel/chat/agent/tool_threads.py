"""Threads for synchronous tools: neither the event loop's own threads, nor any that the end of the process waits for.

The event loop has a handful of threads, which it also needs for files and host names, and it waits for each of them at
the end. A few tools that never return would stop every other tool, and the shutdown.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from backchannel.errors import BackchannelError

log = structlog.get_logger(__name__)

DEFAULT_LIMIT = 40
"""How many tools run at the same time by default."""

ABANDONED_PER_THREAD = 10
"""The most threads that nothing waits for any more, as a multiple of the limit. A thread cannot be ended."""


class NoThreadError(BackchannelError):
    """Too many tools have not returned: no further one is started."""

    code = "tool_threads_exhausted"


@dataclass(eq=False, slots=True)
class _Job:
    """A function to call on a thread.

    Attributes:
        result: Done with the function's result; cancelled if nothing waits for that any more.
        started: Whether it has a thread.
        returned: Whether the function has returned.
    """

    work: Callable[[], Any]
    result: asyncio.Future[Any]
    started: bool = False
    returned: bool = False


class ToolThreads:
    """Calls functions on daemon threads, one each. Belongs to the event loop that uses it first.

    Args:
        limit: The most functions that run while something waits for their result; further ones are queued. A function
            whose caller was cancelled goes on and does not count.

    Attributes:
        abandoned: How many functions run whose caller was cancelled.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = 0
        self._waiting: deque[_Job] = deque()
        self.abandoned = 0

    def belongs_to_running_loop(self) -> bool:
        """Whether it can be used in the running event loop: a tool may have started one of its own on its thread."""
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        return self._loop is running

    def submit(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call a function on a thread, at once or when one is free. Cancelling the future does not end the function.

        The future raises whatever the function does, also `SystemExit`; or `NoThreadError` if too many functions have
        not returned.
        """
        job = _Job(work, asyncio.get_running_loop().create_future())
        if self.abandoned >= self._limit * ABANDONED_PER_THREAD:
            log.error(
                "tool_not_started", abandoned=self.abandoned, hint="tools do not return; restart the server"
            )
            job.result.set_exception(NoThreadError("Too many tools have not returned."))
            return job.result
        job.result.add_done_callback(lambda _: self._settled(job))
        if self._running < self._limit:
            self._start(job)
        else:
            self._waiting.append(job)
            log.warning("tool_waits_for_thread", running=self._running, waiting=len(self._waiting))
        return job.result

    def _start(self, job: _Job) -> None:
        job.started = True
        self._running += 1
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._call, args=(loop, job), name="backchannel-tool", daemon=True).start()

    def _call(self, loop: asyncio.AbstractEventLoop, job: _Job) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = job.work()
        except StopIteration as stop:
            # A future cannot raise it.
            error = RuntimeError("The function raised StopIteration.")
            error.__cause__ = stop
        except BaseException as raised:  # the caller gets it
            error = raised
        # The loop may have been closed meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._returned, job, result, error)

    def _returned(self, job: _Job, result: Any, error: BaseException | None) -> None:
        job.returned = True
        if job.result.done():
            self.abandoned -= 1
            log.info("tool_returned_late", abandoned=self.abandoned)
        elif error is not None:
            job.result.set_exception(error)
        else:
            job.result.set_result(result)

    def _settled(self, job: _Job) -> None:
        if not job.started:
            return
        self._running -= 1
        if not job.returned:
            self.abandoned += 1
        while self._waiting and self._running < self._limit:
            waiting = self._waiting.popleft()
            if not waiting.result.done():
                self._start(waiting)

"""One task per process tails the logs of all runs that are read in this process and written in another one."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context

import structlog

from backchannel.errors import UnavailableError
from backchannel.event_logs.run_log import RunLog
from backchannel.event_logs.storage import Page, Storage
from backchannel.retry import OUTAGE

log = structlog.get_logger(__name__)


class LogTailer:
    """Appends new events of the storage to the tailed logs. Does not poll while there are none.

    Args:
        on_unknown: Called with a log that the storage does not have any more.
    """

    def __init__(self, storage: Storage, *, on_unknown: Callable[[RunLog], None]) -> None:
        self._storage = storage
        self._on_unknown = on_unknown
        self._tailed: dict[str, RunLog] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def run_ids(self) -> frozenset[str]:
        """The runs whose logs are tailed."""
        return frozenset(self._tailed)

    def add(self, run_log: RunLog) -> None:
        """Tail a log. Its buffer must end where one of the storage's segments ends."""
        if self._tailed.get(run_log.run_id) is run_log:
            return
        self._tailed[run_log.run_id] = run_log
        self._changed.set()
        if self._task is None:
            # Without the request's context variables: this task logs about runs of all owners.
            self._task = asyncio.create_task(self._run(), name="event_log_tailer", context=Context())

    def remove(self, run_log: RunLog) -> None:
        """Stop tailing a log."""
        if self._tailed.get(run_log.run_id) is run_log:
            del self._tailed[run_log.run_id]

    async def aclose(self) -> None:
        """Stop tailing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failures = 0
        while True:
            if not self._tailed:
                await self._changed.wait()
            self._changed.clear()
            polled = dict(self._tailed)
            if not polled:
                continue
            try:
                pages = await self._storage.poll(
                    {run_id: run_log.buffer.last for run_id, run_log in polled.items()}, self._changed
                )
                self._apply(polled, pages)
            except Exception as error:
                # Readers keep waiting, as they do for a run without new events.
                failures += 1
                _log_failure(error, len(polled))
                await asyncio.sleep(OUTAGE.delay(failures))
            else:
                failures = 0

    def _apply(self, polled: Mapping[str, RunLog], pages: Mapping[str, Page | None]) -> None:
        for run_id, page in pages.items():
            run_log = polled[run_id]
            if self._tailed.get(run_id) is not run_log:
                continue
            if page is None:
                self.remove(run_log)
                self._on_unknown(run_log)
                continue
            for segment in page.segments:
                run_log.buffer.extend(segment)
            if page.last > run_log.buffer.last:
                run_log.buffer.jump(page.last)
            if page.ended:
                run_log.ended = True
                self.remove(run_log)
            run_log.wake()


def _log_failure(error: Exception, runs: int) -> None:
    if isinstance(error, UnavailableError):
        log.warning("event_log_unavailable", runs=runs, cause=type(error.__cause__ or error).__name__)
    else:
        log.error("event_log_tailing_failed", runs=runs, exc_info=error)

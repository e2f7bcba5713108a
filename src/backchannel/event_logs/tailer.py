"""One task per process tails the logs of all runs that are read here and written elsewhere."""

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
    """Adds to the tailed logs what the storage has of them. Asks for nothing while there are none.

    Args:
        unknown: Called with a log that the storage does not know any more.
    """

    def __init__(self, storage: Storage, *, unknown: Callable[[RunLog], None]) -> None:
        self._storage = storage
        self._unknown = unknown
        self._run_logs: dict[str, RunLog] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, run_log: RunLog) -> None:
        """Tail a log. Its buffer goes up to a number at which one of the storage's segments ends."""
        if self._run_logs.get(run_log.run_id) is run_log:
            return
        self._run_logs[run_log.run_id] = run_log
        self._changed.set()
        if self._task is None:
            # Without the request's variables: this task logs about runs of all owners.
            self._task = asyncio.create_task(self._run(), name="event_log_tailer", context=Context())

    def remove(self, run_log: RunLog) -> None:
        """Tail a log no longer."""
        if self._run_logs.get(run_log.run_id) is run_log:
            del self._run_logs[run_log.run_id]

    async def aclose(self) -> None:
        """Tail nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failures = 0
        while True:
            if not self._run_logs:
                await self._changed.wait()
            self._changed.clear()
            asked = dict(self._run_logs)
            if not asked:
                continue
            try:
                news = await self._storage.news(
                    {run_id: run_log.buffer.last for run_id, run_log in asked.items()}, self._changed
                )
                self._add_news(asked, news)
            except Exception as error:
                # Readers wait meanwhile, as they would for a run that is silent.
                failures += 1
                _log_failure(error, len(asked))
                await asyncio.sleep(OUTAGE.delay(failures))
            else:
                failures = 0

    def _add_news(self, asked: Mapping[str, RunLog], news: Mapping[str, Page | None]) -> None:
        for run_id, page in news.items():
            run_log = asked[run_id]
            if self._run_logs.get(run_id) is not run_log:
                continue
            if page is None:
                self.remove(run_log)
                self._unknown(run_log)
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

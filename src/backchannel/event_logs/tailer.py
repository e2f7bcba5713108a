"""One task per process follows all runs that are read here and written elsewhere."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context

import structlog

from backchannel.errors import UnavailableError
from backchannel.event_logs.run_log import Live
from backchannel.event_logs.storage import Page, Storage

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds until the storage is asked again that could not be reached: twice as long each time."""

log = structlog.get_logger(__name__)


class Following:
    """Adds what the storage has to say to the runs that are followed. Asks for nothing while none is.

    Args:
        unknown: Called with a run of which the storage knows nothing any more.
    """

    def __init__(self, storage: Storage, *, unknown: Callable[[Live], None]) -> None:
        self._storage = storage
        self._unknown = unknown
        self._lives: dict[str, Live] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, live: Live) -> None:
        """Follow a run. Its tape goes up to a number at which the storage's pieces end."""
        if self._lives.get(live.run_id) is live:
            return
        self._lives[live.run_id] = live
        self._changed.set()
        if self._task is None:
            # Without the request's variables: what this task logs is about everybody's runs.
            self._task = asyncio.create_task(self._run(), name="event_log_following", context=Context())

    def remove(self, live: Live) -> None:
        """Follow a run no longer."""
        if self._lives.get(live.run_id) is live:
            del self._lives[live.run_id]

    async def aclose(self) -> None:
        """Follow nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failures = 0
        while True:
            if not self._lives:
                await self._changed.wait()
            self._changed.clear()
            asked = dict(self._lives)
            if not asked:
                continue
            try:
                news = await self._storage.news(
                    {run_id: live.tape.last for run_id, live in asked.items()}, self._changed
                )
                self._tell(asked, news)
            except Exception as error:
                # Readers wait meanwhile, as they would for a run that says nothing.
                failures += 1
                self._report(error, len(asked))
                await asyncio.sleep(min(SHORTEST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE))
            else:
                failures = 0

    def _tell(self, asked: Mapping[str, Live], news: Mapping[str, Page | None]) -> None:
        for run_id, page in news.items():
            live = asked[run_id]
            if self._lives.get(run_id) is not live:
                continue
            if page is None:
                self.remove(live)
                self._unknown(live)
                continue
            for strip in page.strips:
                live.tape.extend(strip)
            if page.last > live.tape.last:
                live.tape.jump(page.last)
            if page.ended:
                live.ended = True
                self.remove(live)
            live.wake()

    def _report(self, error: Exception, runs: int) -> None:
        if isinstance(error, UnavailableError):
            log.warning("event_log_unavailable", runs=runs, cause=type(error.__cause__ or error).__name__)
        else:
            log.error("event_log_following_failed", runs=runs, exc_info=error)

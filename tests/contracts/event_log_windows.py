"""The moment between replay and live of logs that outlive their process: after a page was read from the storage."""

from collections.abc import Callable

from backchannel.event_logs.base import Batch
from backchannel.event_logs.durable import DurableEventLog
from backchannel.event_logs.storage import Page
from backchannel.testing.contracts.event_log import Window
from backchannel.testing.contracts.event_log_base import read_next


class PageWindow(Window):
    """Publishes when the storage has answered that there is nothing more, and the reader does not know it yet.

    Args:
        log: The reader's; with `cache_seconds=0`, so that it reads from the storage each time.
    """

    def __init__(self, log: DurableEventLog) -> None:
        super().__init__(log)
        self._publish: dict[str, Callable[[], None]] = {}
        self._page = log._storage.page
        log._storage.page = self._paged

    async def _paged(self, run_id: str, after: int) -> Page:
        page = await self._page(run_id, after)
        if not any(strip.last > after for strip in page.segments) and run_id in self._publish:
            self._publish.pop(run_id)()
            self.hits += 1
        return page

    async def read(self, run_id: str, after: int, publish: Callable[[], None]) -> Batch:
        self._publish[run_id] = publish
        return await read_next(self.log, run_id, after)

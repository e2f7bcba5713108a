"""One task per process writes to the storage what its runs have appended: all of it in one batch."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context

import structlog

from backchannel.errors import UnavailableError
from backchannel.event_logs.run_log import Flush, WritableRunLog
from backchannel.event_logs.storage import Storage
from backchannel.retry import OUTAGE

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.1
"""Within this time, text is on its way to the storage. Whole events are at once."""

TIMEOUT_SECONDS = 10.0
"""How long one write may take, and how long a caller waits for its events to be stored. After so long without success,
readers are shown what is not stored."""

OUTAGE_TIMEOUT_SECONDS = 1.0
"""How long a caller waits during an outage that readers know of already."""

ROWS = 500
"""The most segments that one write takes; more follow at once."""

MAX_FAILURES = 10
"""After so many failures in a row that are no outage of the storage, a run's events are given up."""


class Flusher:
    """Stores what runs append, in one write for all of them at a time.

    Args:
        fenced: Called with a log that another process writes now.
        ended: Called with a log whose end is stored.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        fenced: Callable[[WritableRunLog], None],
        ended: Callable[[WritableRunLog], None],
    ) -> None:
        self._storage = storage
        self._fenced = fenced
        self._ended = ended
        self._go = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._dirty: dict[WritableRunLog, None] = {}
        self._unsettled: dict[WritableRunLog, None] = {}

    def mark(self, run_log: WritableRunLog, *, urgent: bool) -> None:
        """A log has something to store."""
        if run_log.lost:
            return
        loop = asyncio.get_running_loop()
        if not run_log.dirty:
            run_log.dirty = True
            self._dirty[run_log] = None
            if run_log not in self._unsettled:
                run_log.since = loop.time()
                self._unsettled[run_log] = None
                if self._watch is None:
                    self._watch = loop.call_later(TIMEOUT_SECONDS, self._check)
            if self._task is None:
                # Without the request's variables: this task logs about runs of all owners.
                self._task = loop.create_task(self._run(), name="event_log_flusher", context=Context())
        if urgent:
            self._go.set()
        elif self._timer is None:
            self._timer = loop.call_later(FLUSH_SECONDS, self._go.set)

    async def settle(self, run_log: WritableRunLog, *, end: bool = False) -> None:
        """Wait until everything that was appended so far, and the end if `end`, is stored, for a bounded time.

        Raises:
            FencedError: Another writer has begun.
            UnavailableError: The storage cannot be reached. Writing is retried all the same.
        """
        if run_log.settled:
            return
        if run_log.lost:
            raise _unavailable()
        flush = Flush(run_log.buffer.last, end, asyncio.get_running_loop().create_future())
        run_log.flushes.append(flush)
        self.mark(run_log, urgent=True)
        try:
            async with asyncio.timeout(OUTAGE_TIMEOUT_SECONDS if run_log.shown_early else TIMEOUT_SECONDS):
                await flush.done
        except TimeoutError:
            raise _unavailable() from None
        finally:
            if flush in run_log.flushes:
                run_log.flushes.remove(flush)

    def forget(self, run_log: WritableRunLog, error: Exception) -> None:
        """Store nothing more of a log; callers that wait for that get the error."""
        run_log.writing = run_log.dirty = False
        run_log.batch = None
        self._dirty.pop(run_log, None)
        self._unsettled.pop(run_log, None)
        run_log.fail(error)

    async def aclose(self, seconds: float) -> None:
        """Try to store everything within some seconds, then stop."""
        if self._task is not None and self._unsettled:
            settling = [
                asyncio.create_task(self.settle(run_log, end=run_log.ending)) for run_log in self._unsettled
            ]
            _, late = await asyncio.wait(settling, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*settling, return_exceptions=True)
            if self._unsettled:
                log.error("events_not_stored", runs=len(self._unsettled))
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._go.wait()
            self._go.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if await self._write(self._collect()):
                if failures:
                    log.info("event_log_is_back", failures=failures)
                failures = 0
                continue
            failures += 1
            await asyncio.sleep(OUTAGE.delay(failures))
            self._go.set()

    def _collect(self) -> list[WritableRunLog]:
        run_logs: list[WritableRunLog] = []
        rows = 0
        while self._dirty and rows < ROWS:
            run_log = next(iter(self._dirty))
            del self._dirty[run_log]
            run_log.dirty = False
            if (batch := run_log.next_batch(ROWS - rows)) is None:
                self._unsettled.pop(run_log, None)
                continue
            run_logs.append(run_log)
            rows += len(batch.segments)
        if self._dirty:
            self._go.set()
        return run_logs

    async def _write(self, run_logs: list[WritableRunLog]) -> bool:
        """Whether the storage took something of every log, or refused it."""
        batches = [run_log.batch for run_log in run_logs if run_log.batch is not None]
        if not batches:
            return True
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                stored = await self._storage.append(batches)
        except (UnavailableError, TimeoutError) as error:
            log.warning("event_log_unavailable", runs=len(run_logs), cause=_cause(error))
            stored: Mapping[str, int | None] = {}
        except Exception:
            if len(run_logs) > 1:
                # One of them is the cause, and must not affect the others.
                return all([await self._write([run_log]) for run_log in run_logs])
            (run_log,) = run_logs
            run_log.failures += 1
            # A driver may fail once on a broken connection; what fails so often will fail always.
            if run_log.failures >= MAX_FAILURES and run_log.shown_early:
                log.exception("events_cannot_be_stored", run_id=run_log.run_id)
                self._give_up(run_log)
                return True
            log.warning("event_log_failed", run_id=run_log.run_id, exc_info=True)
            stored = {}
        # Each of them, also after one that was not stored.
        results = [self._note_stored(run_log, stored) for run_log in run_logs]
        return all(results)

    def _note_stored(self, run_log: WritableRunLog, stored: Mapping[str, int | None]) -> bool:
        batch = run_log.batch
        if not run_log.writing or batch is None:
            # It got another writer here during the write.
            return True
        if run_log.run_id not in stored:
            run_log.dirty = True
            self._dirty[run_log] = None
            return False
        upto = stored[run_log.run_id]
        if upto is None:
            self._fenced(run_log)
            return True
        run_log.mark_persisted(upto)
        if run_log.settled:
            self._unsettled.pop(run_log, None)
            if run_log.end_persisted:
                self._ended(run_log)
            return True
        run_log.since = asyncio.get_running_loop().time()
        if not run_log.dirty:
            # Not at once where the storage keeps losing what it had.
            self.mark(run_log, urgent=upto > batch.base)
        return True

    def _give_up(self, run_log: WritableRunLog) -> None:
        run_log.lost = True
        run_log.batch = None
        self._unsettled.pop(run_log, None)
        run_log.fail(_unavailable())
        run_log.show_unpersisted()

    def _check(self) -> None:
        """Show readers what has not been stored for too long."""
        loop = asyncio.get_running_loop()
        self._watch = None
        waited = [run_log for run_log in self._unsettled if not run_log.shown_early]
        for run_log in waited:
            if loop.time() - run_log.since >= TIMEOUT_SECONDS:
                run_log.show_unpersisted()
        later = [run_log.since for run_log in waited if not run_log.shown_early]
        if later or self._unsettled:
            at = min(later, default=loop.time()) + TIMEOUT_SECONDS
            self._watch = loop.call_at(at, self._check)


def _unavailable() -> UnavailableError:
    return UnavailableError("The answer cannot be stored at the moment.", retry_after=2)


def _cause(error: Exception) -> str:
    return type(error.__cause__ or error).__name__

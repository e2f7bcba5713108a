"""One task per process writes the appended events of all its runs to the storage, in batches."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import replace

import structlog

from backchannel.errors import TooLargeToStoreError, UnavailableError
from backchannel.event_logs.run_log import FlushRequest, WritableRunLog
from backchannel.event_logs.storage import Storage, WriteBatch
from backchannel.retry import OUTAGE

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.1
"""The longest time before text is written. Whole events are written at once."""

TIMEOUT_SECONDS = 10.0
"""How long one write may take, and how long a caller waits for its events to be persisted. After so long without a
successful write, readers see events that are not persisted."""

OUTAGE_TIMEOUT_SECONDS = 1.0
"""How long a caller waits while readers see events that are not persisted."""

MAX_SEGMENTS = 500
"""The most segments in one write; the rest follows at once."""

MAX_FAILURES = 10
"""After so many failed writes in a row while the storage is reachable, persisting a run's events is given up."""


class Flusher:
    """Persists appended events, those of all runs in one write.

    Args:
        on_fenced: Called with a log for which another process has begun to write.
        on_ended: Called with a log whose end is persisted.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        on_fenced: Callable[[WritableRunLog], None],
        on_ended: Callable[[WritableRunLog], None],
    ) -> None:
        self._storage = storage
        self._on_fenced = on_fenced
        self._on_ended = on_ended
        self._write_now = asyncio.Event()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._overdue_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._dirty: dict[WritableRunLog, None] = {}
        self._unpersisted: dict[WritableRunLog, None] = {}

    def mark_dirty(self, run_log: WritableRunLog, *, urgent: bool) -> None:
        """Include a log in the next write: at once if `urgent`, else within `FLUSH_SECONDS`."""
        if run_log.unstorable:
            return
        loop = asyncio.get_running_loop()
        if not run_log.dirty:
            run_log.dirty = True
            self._dirty[run_log] = None
            if run_log not in self._unpersisted:
                run_log.unpersisted_since = loop.time()
                self._unpersisted[run_log] = None
                if self._overdue_timer is None:
                    self._overdue_timer = loop.call_later(TIMEOUT_SECONDS, self._expose_overdue)
            if self._task is None:
                # Without the request's context variables: this task logs about runs of all owners.
                self._task = loop.create_task(self._run(), name="event_log_flusher", context=Context())
        if urgent:
            self._write_now.set()
        elif self._flush_timer is None:
            self._flush_timer = loop.call_later(FLUSH_SECONDS, self._write_now.set)

    async def flush(self, run_log: WritableRunLog, *, end: bool = False) -> None:
        """Wait, for a bounded time, until all appended events, and the end if `end`, are persisted.

        Raises:
            FencedError: Another writer has begun.
            UnavailableError: The storage cannot be reached. Writing is retried in the background.
        """
        if run_log.all_persisted:
            return
        if run_log.unstorable:
            raise _unavailable()
        request = FlushRequest(run_log.buffer.last, end, asyncio.get_running_loop().create_future())
        run_log.flush_requests.append(request)
        self.mark_dirty(run_log, urgent=True)
        timeout = OUTAGE_TIMEOUT_SECONDS if run_log.exposes_unpersisted else TIMEOUT_SECONDS
        try:
            async with asyncio.timeout(timeout):
                await request.done
        except TimeoutError:
            raise _unavailable() from None
        finally:
            if request in run_log.flush_requests:
                run_log.flush_requests.remove(request)

    def discard(self, run_log: WritableRunLog, error: Exception) -> None:
        """Stop persisting a log, and raise the error in callers that wait for that."""
        run_log.writing = run_log.dirty = False
        run_log.batch = None
        self._dirty.pop(run_log, None)
        self._unpersisted.pop(run_log, None)
        run_log.fail_flushes(error)

    async def aclose(self, seconds: float) -> None:
        """Persist what is left within some seconds, then stop."""
        if self._task is not None and self._unpersisted:
            flushes = [
                asyncio.create_task(self.flush(run_log, end=run_log.ending)) for run_log in self._unpersisted
            ]
            _, late = await asyncio.wait(flushes, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*flushes, return_exceptions=True)
            if self._unpersisted:
                log.error("events_not_stored", runs=len(self._unpersisted))
        for timer in (self._flush_timer, self._overdue_timer):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._write_now.wait()
            self._write_now.clear()
            if self._flush_timer is not None:
                self._flush_timer.cancel()
                self._flush_timer = None
            if await self._write(self._next_run_logs()):
                if failures:
                    log.info("event_log_is_back", failures=failures)
                failures = 0
                continue
            failures += 1
            await asyncio.sleep(OUTAGE.delay(failures))
            self._write_now.set()

    def _next_run_logs(self) -> list[WritableRunLog]:
        """The logs of the next write, each with its `batch`, at most `MAX_SEGMENTS` in all."""
        run_logs: list[WritableRunLog] = []
        segments = 0
        while self._dirty and segments < MAX_SEGMENTS:
            run_log = next(iter(self._dirty))
            del self._dirty[run_log]
            run_log.dirty = False
            if (batch := run_log.next_batch(MAX_SEGMENTS - segments)) is None:
                self._unpersisted.pop(run_log, None)
                continue
            run_logs.append(run_log)
            segments += len(batch.segments)
        if self._dirty:
            self._write_now.set()
        return run_logs

    async def _write(self, run_logs: list[WritableRunLog]) -> bool:
        """Write the logs' batches; returns whether the storage accepted or refused each of them."""
        batches = [run_log.batch for run_log in run_logs if run_log.batch is not None]
        if not batches:
            return True
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                persisted = await self._storage.append(batches)
        except (UnavailableError, TimeoutError) as error:
            log.warning("event_log_unavailable", runs=len(run_logs), cause=_cause(error))
            persisted: Mapping[str, int | None] = {}
        except Exception as error:
            if len(run_logs) > 1:
                # One of them is the cause, and must not affect the others.
                return all([await self._write([run_log]) for run_log in run_logs])
            (run_log,) = run_logs
            if (
                isinstance(error, TooLargeToStoreError)
                and run_log.batch is not None
                and run_log.batch.segments
            ):
                run_log.batch = _without_largest(run_log.batch, error)
                return await self._write(run_logs)
            run_log.failures += 1
            # A driver may fail on a broken connection a few times; after more failures the events are the cause.
            if run_log.failures >= MAX_FAILURES and run_log.exposes_unpersisted:
                log.exception("events_cannot_be_stored", run_id=run_log.run_id)
                self._give_up(run_log)
                return True
            log.warning("event_log_failed", run_id=run_log.run_id, exc_info=True)
            persisted = {}
        # A list, so that results after a failed one are applied too.
        results = [self._apply_result(run_log, persisted) for run_log in run_logs]
        return all(results)

    def _apply_result(self, run_log: WritableRunLog, persisted: Mapping[str, int | None]) -> bool:
        batch = run_log.batch
        if not run_log.writing or batch is None:
            # Discarded during the write.
            return True
        if run_log.run_id not in persisted:
            run_log.dirty = True
            self._dirty[run_log] = None
            return False
        upto = persisted[run_log.run_id]
        if upto is None:
            self._on_fenced(run_log)
            return True
        run_log.mark_persisted(upto)
        if run_log.all_persisted:
            self._unpersisted.pop(run_log, None)
            if run_log.end_persisted:
                self._on_ended(run_log)
            return True
        run_log.unpersisted_since = asyncio.get_running_loop().time()
        if not run_log.dirty:
            # Not at once if the storage made no progress: it may lose the same events each time.
            self.mark_dirty(run_log, urgent=upto > batch.base)
        return True

    def _give_up(self, run_log: WritableRunLog) -> None:
        run_log.unstorable = True
        run_log.batch = None
        self._unpersisted.pop(run_log, None)
        run_log.fail_flushes(_unavailable())
        run_log.expose_unpersisted()

    def _expose_overdue(self) -> None:
        """Let readers see events that have not been persisted for `TIMEOUT_SECONDS`."""
        loop = asyncio.get_running_loop()
        self._overdue_timer = None
        hidden = [run_log for run_log in self._unpersisted if not run_log.exposes_unpersisted]
        for run_log in hidden:
            if loop.time() - run_log.unpersisted_since >= TIMEOUT_SECONDS:
                run_log.expose_unpersisted()
        later = [run_log.unpersisted_since for run_log in hidden if not run_log.exposes_unpersisted]
        if later or self._unpersisted:
            at = min(later, default=loop.time()) + TIMEOUT_SECONDS
            self._overdue_timer = loop.call_at(at, self._expose_overdue)


def _without_largest(batch: WriteBatch, error: TooLargeToStoreError) -> WriteBatch:
    """The batch without its largest event, which the storage does not take. Readers in this process get it from memory;
    others find a gap."""
    largest = max(batch.segments, key=lambda segment: len(segment.head) + len(segment.text or ""))
    log.error(
        "event_too_large_to_store",
        run_id=batch.run_id,
        seq=largest.first,
        begins=largest.head[:100].decode(errors="replace"),
        size=error.size,
        limit=error.limit,
    )
    return replace(batch, segments=[segment for segment in batch.segments if segment is not largest])


def _unavailable() -> UnavailableError:
    return UnavailableError("The answer cannot be stored at the moment.", retry_after=2)


def _cause(error: Exception) -> str:
    return type(error.__cause__ or error).__name__

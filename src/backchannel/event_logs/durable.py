"""An event log that survives its process: a storage persists events in batches, a cache in memory serves readers."""

import asyncio
from contextvars import Context
from typing import override

import structlog

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import MAX_SEQ, Batch, Event, EventLog, FencedError
from backchannel.event_logs.event_buffer import EventBuffer
from backchannel.event_logs.flusher import Flusher
from backchannel.event_logs.run_log import RunLog, WritableRunLog
from backchannel.event_logs.storage import Page, Storage
from backchannel.event_logs.tailer import LogTailer

CACHE_SECONDS = 5.0
"""How long a run stays in memory after its end, or after its last reader if another process writes it."""

CLOSE_SECONDS = 5.0
"""How long closing tries to persist events."""

CLEANUP_SECONDS = 60.0
"""The pause between two deletions of expired logs."""

MAX_FENCED = 4096
"""The most runs taken over by other processes for which the writers here get `FencedError`; older ones are dropped."""

log = structlog.get_logger(__name__)


class DurableEventLog(EventLog):
    """An event log on a storage. Belongs to one event loop.

    If the process crashes, events that readers have seen may be lost in two cases only: text of the last 0.1 seconds,
    and events that were shown because the storage had failed for `flusher.TIMEOUT_SECONDS`.

    Args:
        storage: Where the events are persisted. Closed with the log.
        cache_seconds: See `CACHE_SECONDS`.
    """

    def __init__(self, storage: Storage, *, cache_seconds: float = CACHE_SECONDS) -> None:
        self._storage = storage
        self._cache_seconds = cache_seconds
        self._cached: dict[str, RunLog] = {}
        self._writable: dict[str, WritableRunLog] = {}
        self._fenced: dict[str, None] = {}
        self._flusher = Flusher(storage, on_fenced=self._on_fenced, on_ended=self._on_ended)
        self._tailer = LogTailer(storage, on_unknown=self._evict)
        self._cleanup: asyncio.Task[None] | None = None
        self._disconnecting = False
        self._closed = False

    @property
    def cached_runs(self) -> frozenset[str]:
        """The runs of which events are in this process's memory, written or read here."""
        return frozenset(self._cached.keys() | self._writable.keys())

    @property
    def tailed_runs(self) -> frozenset[str]:
        """The runs of other processes for whose events the storage is polled."""
        return self._tailer.run_ids

    @override
    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        self._ensure_open()
        continues = self._has_appended(run_id, fence)
        # Even if this process writes the run already: the earlier call may have been in a transaction that was
        # rolled back.
        position = await self._storage.begin(
            run_id, identity, fence=fence, after_crash=after_crash and not continues
        )
        current = self._writable.get(run_id)
        if current is not None and current.fence > fence:
            raise FencedError(run_id)
        if current is not None and self._has_appended(run_id, fence):
            return current.buffer.last
        if current is not None:
            self._stop_writing(current)
            self._evict(current)
        self._fenced.pop(run_id, None)
        if not position.ended:
            run_log = WritableRunLog(
                run_id, EventBuffer(position.start), identity=identity, fence=fence, persisted=position.start
            )
            self._writable[run_id] = run_log
            self._cache(run_log)
        return position.last

    @override
    def append(self, run_id: str, event: Event) -> None:
        run_log = self._writable.get(run_id)
        if run_log is None or run_log.ending:
            return
        run_log.append(event)
        if event.text is None:
            self._flusher.mark_dirty(run_log, urgent=True)
        elif not run_log.dirty:
            self._flusher.mark_dirty(run_log, urgent=False)

    @override
    async def flush(self, run_id: str) -> None:
        if run_id in self._fenced:
            raise FencedError(run_id)
        if (run_log := self._writable.get(run_id)) is not None:
            await self._flusher.flush(run_log)

    @override
    async def end(self, run_id: str) -> None:
        if run_id in self._fenced:
            del self._fenced[run_id]
            raise FencedError(run_id)
        run_log = self._writable.get(run_id)
        if run_log is None:
            return
        run_log.ending = True
        try:
            await self._flusher.flush(run_log, end=True)
        except UnavailableError:
            run_log.expose_unpersisted()
            if run_log.unstorable:
                self._on_ended(run_log)
            raise
        except FencedError:
            self._fenced.pop(run_id, None)
            raise

    @override
    async def release(self, run_id: str) -> bool:
        run_log = self._writable.get(run_id)
        if run_log is None:
            fenced = run_id in self._fenced
            self._fenced.pop(run_id, None)
            return not fenced
        try:
            await self._flusher.flush(run_log, end=run_log.ending)
        except (UnavailableError, FencedError):
            self._fenced.pop(run_id, None)
        if self._writable.get(run_id) is not run_log or run_log.ending:
            # Fenced, or ended. An end that is not persisted is still being retried.
            return run_log.end_persisted
        persisted = run_log.all_persisted
        self._stop_writing(run_log)
        if persisted:
            self._cache(RunLog(run_id, run_log.buffer))
        else:
            # Readers may have seen text that is lost: they continue with what is persisted.
            self._evict(run_log)
        return persisted

    @override
    def disconnect_readers(self) -> None:
        self._disconnecting = True
        self._wake_all()

    @override
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        self._ensure_open()
        loop = asyncio.get_running_loop()
        after, deadline = min(max(after, 0), MAX_SEQ), loop.time() + wait
        run_log = replayed = None
        while not self._closed:
            run_log = self._cached.get(run_id)
            if run_log is None or (after < run_log.buffer.start and run_log is not replayed):
                page = await self._replay(run_id, after, run_log)
                buffer = EventBuffer(after)
                for segment in page.segments:
                    buffer.extend(segment)
                frames = buffer.frames(after)
                if frames or page.ended:
                    return Batch(frames, page.ended)
                if self._cached.get(run_id) is not run_log:
                    # The writer changed meanwhile: the page may lack events from before the change.
                    continue
                if run_log is None:
                    run_log = RunLog(run_id, EventBuffer(page.last))
                    self._cache(run_log)
                replayed = run_log
            run_log.touch()
            frames = run_log.frames(after)
            if frames or run_log.ended:
                return Batch(frames, run_log.ended)
            if self._disconnecting:
                return Batch((), False, released=True)
            if not await self._wait_for_events(run_log, deadline - loop.time()):
                return Batch((), ended=False)
        return Batch(run_log.frames(after) if run_log is not None else (), ended=True)

    @override
    async def check(self) -> None:
        await self._storage.check()

    @override
    async def aclose(self) -> None:
        if self._closed:
            return
        await self._flusher.aclose(CLOSE_SECONDS)
        self._closed = True
        self._wake_all()
        await self._tailer.aclose()
        if self._cleanup is not None:
            self._cleanup.cancel()
            await asyncio.wait([self._cleanup])
        for run_log in self._cached.values():
            if run_log.eviction_timer is not None:
                run_log.eviction_timer.cancel()
        self._cached.clear()
        self._writable.clear()
        await self._storage.aclose()

    def _has_appended(self, run_id: str, fence: int) -> bool:
        """Whether this process writes a run with this fence and has appended events."""
        current = self._writable.get(run_id)
        return current is not None and current.fence == fence and current.buffer.last > current.buffer.start

    async def _replay(self, run_id: str, after: int, run_log: RunLog | None) -> Page:
        try:
            return await self._storage.page(run_id, after)
        except LookupError:
            if not isinstance(run_log, WritableRunLog):
                raise
            # The storage has lost the log. Events after `start` are in memory.
            return Page((), run_log.buffer.start, ended=False)

    async def _wait_for_events(self, run_log: RunLog, seconds: float) -> bool:
        if not isinstance(run_log, WritableRunLog):
            self._tailer.add(run_log)
        run_log.readers += 1
        try:
            return await run_log.wait(seconds)
        finally:
            run_log.readers -= 1
            run_log.touch()
            self._schedule_eviction(run_log)

    def _cache(self, run_log: RunLog) -> None:
        """Serve a run's readers from this log."""
        previous = self._cached.get(run_log.run_id)
        self._cached[run_log.run_id] = run_log
        if previous is not None:
            self._detach(previous)
        self._schedule_eviction(run_log)

    def _evict(self, run_log: RunLog) -> None:
        """Serve a run's readers from the storage."""
        if self._cached.get(run_log.run_id) is run_log:
            del self._cached[run_log.run_id]
        self._detach(run_log)

    def _detach(self, run_log: RunLog) -> None:
        self._tailer.remove(run_log)
        if run_log.eviction_timer is not None:
            run_log.eviction_timer.cancel()
            run_log.eviction_timer = None
        run_log.wake()

    def _schedule_eviction(self, run_log: RunLog) -> None:
        if (
            run_log.eviction_timer is None
            and self._cached.get(run_log.run_id) is run_log
            and run_log.run_id not in self._writable
        ):
            loop = asyncio.get_running_loop()
            run_log.eviction_timer = loop.call_later(self._cache_seconds, self._evict_if_idle, run_log)

    def _evict_if_idle(self, run_log: RunLog) -> None:
        run_log.eviction_timer = None
        if run_log.readers:
            # Scheduled again when the last one stops waiting.
            return
        if asyncio.get_running_loop().time() - run_log.last_read < self._cache_seconds:
            self._schedule_eviction(run_log)
        else:
            self._evict(run_log)

    def _on_ended(self, run_log: WritableRunLog) -> None:
        if self._writable.get(run_log.run_id) is run_log:
            del self._writable[run_log.run_id]
        self._schedule_eviction(run_log)

    def _on_fenced(self, run_log: WritableRunLog) -> None:
        log.warning("run_fenced", run_id=run_log.run_id, fence=run_log.fence)
        self._fenced[run_log.run_id] = None
        if len(self._fenced) > MAX_FENCED:
            del self._fenced[next(iter(self._fenced))]
        self._stop_writing(run_log)
        self._evict(run_log)

    def _stop_writing(self, run_log: WritableRunLog) -> None:
        del self._writable[run_log.run_id]
        self._flusher.discard(run_log, FencedError(run_log.run_id))

    def _wake_all(self) -> None:
        for run_log in list(self._cached.values()):
            run_log.wake()

    def _ensure_open(self) -> None:
        if self._closed:
            raise UnavailableError("The server is shutting down.", retry_after=2)
        if self._cleanup is None:
            # Without the request's context variables: the task outlives the request.
            self._cleanup = asyncio.create_task(
                self._delete_expired_periodically(), name="event_log_cleanup", context=Context()
            )

    async def _delete_expired_periodically(self) -> None:
        while True:
            await asyncio.sleep(CLEANUP_SECONDS)
            try:
                await self._storage.delete_expired()
            except Exception:
                log.warning("event_log_cleanup_failed", exc_info=True)

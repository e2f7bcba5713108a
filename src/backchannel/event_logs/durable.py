"""An event log that outlives its process: readers here are fed from memory, the storage is written in batches."""

import asyncio
from contextvars import Context
from typing import override

import structlog

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import Batch, Event, EventLog, FencedError
from backchannel.event_logs.event_buffer import EventBuffer
from backchannel.event_logs.flusher import Flusher
from backchannel.event_logs.run_log import RunLog, WritableRunLog
from backchannel.event_logs.storage import Page, Storage
from backchannel.event_logs.tailer import LogTailer

LINGER = 5.0
"""Seconds that a run stays in memory after its end, or after its last reader if it is written elsewhere."""

CLOSE_SECONDS = 5.0
"""How long closing tries to keep what is not kept yet."""

SWEEP_SECONDS = 60.0
"""How long after one sweep of what has expired the next one begins."""

MAX_FENCED = 4096
"""How many runs that were lost to another process are remembered, so that their writers are told."""

log = structlog.get_logger(__name__)


class DurableEventLog(EventLog):
    """Every event log but the one in memory. Belongs to one event loop.

    A crash of the process loses of what its readers have seen only text of the last tenth of a second; of the rest,
    only what they were shown because the storage had failed for `flusher.PATIENCE` seconds.

    Args:
        storage: Where the events are kept. Closed with the log.
        linger: See `LINGER`.
    """

    def __init__(self, storage: Storage, *, linger: float = LINGER) -> None:
        self._storage = storage
        self._linger = linger
        self._run_logs: dict[str, RunLog] = {}
        self._writing: dict[str, WritableRunLog] = {}
        self._fenced: dict[str, None] = {}
        self._flusher = Flusher(storage, fenced=self._on_fenced, ended=self._on_ended)
        self._tailer = LogTailer(storage, unknown=self._drop)
        self._sweeping: asyncio.Task[None] | None = None
        self._disconnecting = False
        self._closed = False

    @override
    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        self._start()
        goes_on = self._goes_on(run_id, fence)
        # Asked also by who writes already: it may have been part of a transaction that was rolled back.
        begun = await self._storage.begin(
            run_id, identity, fence=fence, after_crash=after_crash and not goes_on
        )
        mine = self._writing.get(run_id)
        if mine is not None and mine.fence > fence:
            raise FencedError(run_id)
        if mine is not None and self._goes_on(run_id, fence):
            return mine.buffer.last
        if mine is not None:
            self._stop_writing(mine)
            self._drop(mine)
        self._fenced.pop(run_id, None)
        if not begun.ended:
            written = WritableRunLog(
                run_id, EventBuffer(begun.start), identity=identity, fence=fence, persisted=begun.start
            )
            self._writing[run_id] = written
            self._replace(written)
        return begun.last

    @override
    def append(self, run_id: str, event: Event) -> None:
        run_log = self._writing.get(run_id)
        if run_log is None or run_log.ending:
            return
        run_log.append(event)
        if event.text is None:
            self._flusher.mark(run_log, urgent=True)
        elif not run_log.dirty:
            self._flusher.mark(run_log, urgent=False)

    @override
    async def flush(self, run_id: str) -> None:
        if run_id in self._fenced:
            raise FencedError(run_id)
        if (run_log := self._writing.get(run_id)) is not None:
            await self._flusher.settle(run_log)

    @override
    async def end(self, run_id: str) -> None:
        if run_id in self._fenced:
            del self._fenced[run_id]
            raise FencedError(run_id)
        run_log = self._writing.get(run_id)
        if run_log is None:
            return
        run_log.ending = True
        try:
            await self._flusher.settle(run_log, end=True)
        except UnavailableError:
            run_log.show_unpersisted()
            if run_log.lost:
                self._on_ended(run_log)
            raise
        except FencedError:
            self._fenced.pop(run_id, None)
            raise

    @override
    async def release(self, run_id: str) -> bool:
        run_log = self._writing.get(run_id)
        if run_log is None:
            fenced = run_id in self._fenced
            self._fenced.pop(run_id, None)
            return not fenced
        try:
            await self._flusher.settle(run_log, end=run_log.ending)
        except (UnavailableError, FencedError):
            self._fenced.pop(run_id, None)
        if self._writing.get(run_id) is not run_log or run_log.ending:
            # Fenced, or ended: an end that is not kept yet is still being tried.
            return run_log.end_persisted
        persisted = run_log.settled
        self._stop_writing(run_log)
        if persisted:
            self._replace(RunLog(run_id, run_log.buffer))
        else:
            # Readers here may have seen text that nobody will ever keep: they go on from what is kept.
            self._drop(run_log)
        return persisted

    @override
    def disconnect_readers(self) -> None:
        self._disconnecting = True
        self._wake_all()

    @override
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        self._start()
        loop = asyncio.get_running_loop()
        after, deadline = max(after, 0), loop.time() + wait
        run_log = looked = None
        while not self._closed:
            run_log = self._run_logs.get(run_id)
            if run_log is None or (after < run_log.buffer.start and run_log is not looked):
                page = await self._past(run_id, after, run_log)
                buffer = EventBuffer(after)
                for segment in page.segments:
                    buffer.extend(segment)
                frames = buffer.frames(after)
                if frames or page.ended:
                    return Batch(frames, page.ended)
                if self._run_logs.get(run_id) is not run_log:
                    # It began here meanwhile, or went elsewhere: what was said before that may not be in the page.
                    continue
                if run_log is None:
                    run_log = RunLog(run_id, EventBuffer(page.last))
                    self._replace(run_log)
                looked = run_log
            run_log.touch()
            frames = run_log.frames(after)
            if frames or run_log.ended:
                return Batch(frames, run_log.ended)
            if self._disconnecting:
                return Batch((), False, released=True)
            if not await self._more(run_log, deadline - loop.time()):
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
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        for run_log in self._run_logs.values():
            if run_log.timer is not None:
                run_log.timer.cancel()
        self._run_logs.clear()
        self._writing.clear()
        await self._storage.aclose()

    def _goes_on(self, run_id: str, fence: int) -> bool:
        """Whether a run's writer here has this fence and has said something with it."""
        mine = self._writing.get(run_id)
        return mine is not None and mine.fence == fence and mine.buffer.last > mine.buffer.start

    async def _past(self, run_id: str, after: int, run_log: RunLog | None) -> Page:
        try:
            return await self._storage.page(run_id, after)
        except LookupError:
            if not isinstance(run_log, WritableRunLog):
                raise
            # The storage has lost it. What comes from now on is here.
            return Page((), run_log.buffer.start, ended=False)

    async def _more(self, run_log: RunLog, seconds: float) -> bool:
        """Wait until a run may have something new for a reader; whether it may."""
        if not isinstance(run_log, WritableRunLog):
            self._tailer.add(run_log)
        run_log.readers += 1
        try:
            return await run_log.wait(seconds)
        finally:
            run_log.readers -= 1
            run_log.touch()
            self._watch(run_log)

    def _replace(self, run_log: RunLog) -> None:
        """From now on a run's readers here are fed from `live`."""
        before = self._run_logs.get(run_log.run_id)
        self._run_logs[run_log.run_id] = run_log
        if before is not None:
            self._leave(before)
        self._watch(run_log)

    def _drop(self, run_log: RunLog) -> None:
        """Readers of a run go on from the storage."""
        if self._run_logs.get(run_log.run_id) is run_log:
            del self._run_logs[run_log.run_id]
        self._leave(run_log)

    def _leave(self, run_log: RunLog) -> None:
        self._tailer.remove(run_log)
        if run_log.timer is not None:
            run_log.timer.cancel()
            run_log.timer = None
        run_log.wake()

    def _watch(self, run_log: RunLog) -> None:
        """Forget a run when nobody reads it any more; but never one that is written here."""
        if (
            run_log.timer is None
            and self._run_logs.get(run_log.run_id) is run_log
            and run_log.run_id not in self._writing
        ):
            run_log.timer = asyncio.get_running_loop().call_later(self._linger, self._check, run_log)

    def _check(self, run_log: RunLog) -> None:
        run_log.timer = None
        if run_log.readers:
            # The last one to leave comes back here.
            return
        if asyncio.get_running_loop().time() - run_log.touched < self._linger:
            self._watch(run_log)
        else:
            self._drop(run_log)

    def _on_ended(self, run_log: WritableRunLog) -> None:
        if self._writing.get(run_log.run_id) is run_log:
            del self._writing[run_log.run_id]
        self._watch(run_log)

    def _on_fenced(self, run_log: WritableRunLog) -> None:
        log.warning("run_fenced", run_id=run_log.run_id, fence=run_log.fence)
        self._fenced[run_log.run_id] = None
        if len(self._fenced) > MAX_FENCED:
            del self._fenced[next(iter(self._fenced))]
        self._stop_writing(run_log)
        self._drop(run_log)

    def _stop_writing(self, run_log: WritableRunLog) -> None:
        del self._writing[run_log.run_id]
        self._flusher.forget(run_log, FencedError(run_log.run_id))

    def _wake_all(self) -> None:
        for run_log in list(self._run_logs.values()):
            run_log.wake()

    def _start(self) -> None:
        if self._closed:
            raise UnavailableError("The server is shutting down.", retry_after=2)
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(
                self._keep_sweeping(), name="event_log_sweep", context=Context()
            )

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._storage.sweep()
            except Exception:
                log.warning("event_log_sweep_failed", exc_info=True)

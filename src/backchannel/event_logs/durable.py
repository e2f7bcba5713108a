"""An event log that outlives its process: readers here are fed from memory, the storage is written in batches."""

import asyncio
from contextvars import Context
from typing import override

import structlog

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import Batch, Event, EventLog, FencedError
from backchannel.event_logs.flusher import Flusher
from backchannel.event_logs.tailer import Following
from backchannel.event_logs.run_log import Live, Written
from backchannel.event_logs.storage import Page, Storage
from backchannel.event_logs.event_buffer import Tape

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
        self._lives: dict[str, Live] = {}
        self._written: dict[str, Written] = {}
        self._fenced: dict[str, None] = {}
        self._flusher = Flusher(storage, fenced=self._lost_to_another, ended=self._has_ended)
        self._following = Following(storage, unknown=self._drop)
        self._sweeping: asyncio.Task[None] | None = None
        self._dismissed = False
        self._closed = False

    @override
    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        self._start()
        goes_on = self._goes_on(run_id, fence)
        # Asked also by who writes already: it may have been part of a transaction that was rolled back.
        begun = await self._storage.begin(
            run_id, identity, fence=fence, after_crash=after_crash and not goes_on
        )
        mine = self._written.get(run_id)
        if mine is not None and mine.fence > fence:
            raise FencedError(run_id)
        if mine is not None and self._goes_on(run_id, fence):
            return mine.tape.last
        if mine is not None:
            self._stop_writing(mine)
            self._drop(mine)
        self._fenced.pop(run_id, None)
        if not begun.ended:
            written = Written(run_id, Tape(begun.start), identity=identity, fence=fence, kept=begun.start)
            self._written[run_id] = written
            self._replace(written)
        return begun.last

    @override
    def append(self, run_id: str, event: Event) -> None:
        live = self._written.get(run_id)
        if live is None or live.ending:
            return
        live.append(event)
        if event.text is None:
            self._flusher.mark(live, urgent=True)
        elif not live.dirty:
            self._flusher.mark(live, urgent=False)

    @override
    async def flush(self, run_id: str) -> None:
        if run_id in self._fenced:
            raise FencedError(run_id)
        if (live := self._written.get(run_id)) is not None:
            await self._flusher.settle(live)

    @override
    async def end(self, run_id: str) -> None:
        if run_id in self._fenced:
            del self._fenced[run_id]
            raise FencedError(run_id)
        live = self._written.get(run_id)
        if live is None:
            return
        live.ending = True
        try:
            await self._flusher.settle(live, end=True)
        except UnavailableError:
            live.reveal()
            if live.lost:
                self._has_ended(live)
            raise
        except FencedError:
            self._fenced.pop(run_id, None)
            raise

    @override
    async def release(self, run_id: str) -> bool:
        live = self._written.get(run_id)
        if live is None:
            fenced = run_id in self._fenced
            self._fenced.pop(run_id, None)
            return not fenced
        try:
            await self._flusher.settle(live, end=live.ending)
        except (UnavailableError, FencedError):
            self._fenced.pop(run_id, None)
        if self._written.get(run_id) is not live or live.ending:
            # Fenced, or ended: an end that is not kept yet is still being tried.
            return live.end_kept
        kept = live.settled
        self._stop_writing(live)
        if kept:
            self._replace(Live(run_id, live.tape))
        else:
            # Readers here may have seen text that nobody will ever keep: they go on from what is kept.
            self._drop(live)
        return kept

    @override
    def dismiss(self) -> None:
        self._dismissed = True
        self._wake_all()

    @override
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        self._start()
        loop = asyncio.get_running_loop()
        after, deadline = max(after, 0), loop.time() + wait
        live = looked = None
        while not self._closed:
            live = self._lives.get(run_id)
            if live is None or (after < live.tape.start and live is not looked):
                page = await self._past(run_id, after, live)
                tape = Tape(after)
                for strip in page.strips:
                    tape.extend(strip)
                frames = tape.frames(after)
                if frames or page.ended:
                    return Batch(frames, page.ended)
                if self._lives.get(run_id) is not live:
                    # It began here meanwhile, or went elsewhere: what was said before that may not be in the page.
                    continue
                if live is None:
                    live = Live(run_id, Tape(page.last))
                    self._replace(live)
                looked = live
            live.touch()
            frames = live.frames(after)
            if frames or live.ended:
                return Batch(frames, live.ended)
            if self._dismissed:
                return Batch((), False, released=True)
            if not await self._more(live, deadline - loop.time()):
                return Batch((), ended=False)
        return Batch(live.frames(after) if live is not None else (), ended=True)

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
        await self._following.aclose()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        for live in self._lives.values():
            if live.timer is not None:
                live.timer.cancel()
        self._lives.clear()
        self._written.clear()
        await self._storage.aclose()

    def _goes_on(self, run_id: str, fence: int) -> bool:
        """Whether a run's writer here has this fence and has said something with it."""
        mine = self._written.get(run_id)
        return mine is not None and mine.fence == fence and mine.tape.last > mine.tape.start

    async def _past(self, run_id: str, after: int, live: Live | None) -> Page:
        try:
            return await self._storage.page(run_id, after)
        except LookupError:
            if not isinstance(live, Written):
                raise
            # The storage has lost it. What comes from now on is here.
            return Page((), live.tape.start, ended=False)

    async def _more(self, live: Live, seconds: float) -> bool:
        """Wait until a run may have something new for a reader; whether it may."""
        if not isinstance(live, Written):
            self._following.add(live)
        live.readers += 1
        try:
            return await live.wait(seconds)
        finally:
            live.readers -= 1
            live.touch()
            self._watch(live)

    def _replace(self, live: Live) -> None:
        """From now on a run's readers here are fed from `live`."""
        before = self._lives.get(live.run_id)
        self._lives[live.run_id] = live
        if before is not None:
            self._leave(before)
        self._watch(live)

    def _drop(self, live: Live) -> None:
        """Readers of a run go on from the storage."""
        if self._lives.get(live.run_id) is live:
            del self._lives[live.run_id]
        self._leave(live)

    def _leave(self, live: Live) -> None:
        self._following.remove(live)
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        live.wake()

    def _watch(self, live: Live) -> None:
        """Forget a run when nobody reads it any more; but never one that is written here."""
        if live.timer is None and self._lives.get(live.run_id) is live and live.run_id not in self._written:
            live.timer = asyncio.get_running_loop().call_later(self._linger, self._look, live)

    def _look(self, live: Live) -> None:
        live.timer = None
        if live.readers:
            # The last one to leave comes back here.
            return
        if asyncio.get_running_loop().time() - live.touched < self._linger:
            self._watch(live)
        else:
            self._drop(live)

    def _has_ended(self, live: Written) -> None:
        if self._written.get(live.run_id) is live:
            del self._written[live.run_id]
        self._watch(live)

    def _lost_to_another(self, live: Written) -> None:
        log.warning("run_fenced", run_id=live.run_id, fence=live.fence)
        self._fenced[live.run_id] = None
        if len(self._fenced) > MAX_FENCED:
            del self._fenced[next(iter(self._fenced))]
        self._stop_writing(live)
        self._drop(live)

    def _stop_writing(self, live: Written) -> None:
        del self._written[live.run_id]
        self._flusher.forget(live, FencedError(live.run_id))

    def _wake_all(self) -> None:
        for live in list(self._lives.values()):
            live.wake()

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

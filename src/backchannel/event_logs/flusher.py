"""One task per process brings to the storage what its runs have said: all of them together, in one go."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextvars import Context

import structlog

from backchannel.errors import UnavailableError
from backchannel.event_logs.run_log import Flush, Written
from backchannel.event_logs.storage import Storage

WITHIN = 0.1
"""Seconds within which text is on its way to the storage. Whole events are at once."""

PATIENCE = 10.0
"""Seconds of failing after which readers are shown what is not kept, and nobody waits any longer."""

IMPATIENCE = 1.0
"""Seconds that somebody waits who comes when it has failed for so long."""

ROWS = 500
"""The most strips that one attempt takes; more follow at once."""

STUMBLES = 10
"""After how many errors that are not the storage's being out of reach a run counts as one that cannot be kept."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between failed attempts: twice as long each time."""

log = structlog.get_logger(__name__)


class Flusher:
    """Keeps what runs append, in one attempt for all of them at a time.

    Args:
        fenced: Called with a run that another process writes now.
        ended: Called with a run whose end is kept.
    """

    def __init__(
        self, storage: Storage, *, fenced: Callable[[Written], None], ended: Callable[[Written], None]
    ) -> None:
        self._storage = storage
        self._fenced = fenced
        self._ended = ended
        self._go = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._dirty: dict[Written, None] = {}
        self._unsettled: dict[Written, None] = {}

    def mark(self, live: Written, *, urgent: bool) -> None:
        """A run has something to keep."""
        if live.lost:
            return
        loop = asyncio.get_running_loop()
        if not live.dirty:
            live.dirty = True
            self._dirty[live] = None
            if live not in self._unsettled:
                live.since = loop.time()
                self._unsettled[live] = None
                if self._watch is None:
                    self._watch = loop.call_later(PATIENCE, self._look)
            if self._task is None:
                # Without the request's variables: what this task logs is about everybody's runs.
                self._task = loop.create_task(self._run(), name="event_log_flusher", context=Context())
        if urgent:
            self._go.set()
        elif self._timer is None:
            self._timer = loop.call_later(WITHIN, self._go.set)

    async def settle(self, live: Written, *, end: bool = False) -> None:
        """Wait until everything that was appended so far, and the end if `end`, is kept, for a bounded time.

        Raises:
            FencedError: Another writer has begun.
            UnavailableError: The storage cannot be reached. Trying goes on.
        """
        if live.settled:
            return
        if live.lost:
            raise _unavailable()
        flush = Flush(live.tape.last, end, asyncio.get_running_loop().create_future())
        live.flushes.append(flush)
        self.mark(live, urgent=True)
        try:
            async with asyncio.timeout(IMPATIENCE if live.revealed else PATIENCE):
                await flush.done
        except TimeoutError:
            raise _unavailable() from None
        finally:
            if flush in live.flushes:
                live.flushes.remove(flush)

    def forget(self, live: Written, error: Exception) -> None:
        """Keep nothing more of a run; whoever waits for that gets the error."""
        live.writing = live.dirty = False
        live.portion = None
        self._dirty.pop(live, None)
        self._unsettled.pop(live, None)
        live.fail(error)

    async def aclose(self, seconds: float) -> None:
        """Try to keep everything within some seconds, then stop."""
        if self._task is not None and self._unsettled:
            settling = [asyncio.create_task(self.settle(live, end=live.ending)) for live in self._unsettled]
            _, late = await asyncio.wait(settling, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*settling, return_exceptions=True)
            if self._unsettled:
                log.error("events_not_kept", runs=len(self._unsettled))
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
            if await self._keep(self._collect()):
                if failures:
                    log.info("event_log_is_back", failures=failures)
                failures = 0
                continue
            failures += 1
            pause = min(SHORTEST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
            # Processes that lost the storage together should not all come back in the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            self._go.set()

    def _collect(self) -> list[Written]:
        batch: list[Written] = []
        rows = 0
        while self._dirty and rows < ROWS:
            live = next(iter(self._dirty))
            del self._dirty[live]
            live.dirty = False
            if (portion := live.next_portion(ROWS - rows)) is None:
                self._unsettled.pop(live, None)
                continue
            batch.append(live)
            rows += len(portion.strips)
        if self._dirty:
            self._go.set()
        return batch

    async def _keep(self, batch: list[Written]) -> bool:
        """Whether the storage took something of every run, or refused it."""
        portions = [live.portion for live in batch if live.portion is not None]
        if not portions:
            return True
        try:
            async with asyncio.timeout(PATIENCE):
                kept = await self._storage.keep(portions)
        except (UnavailableError, TimeoutError) as error:
            log.warning("event_log_unavailable", runs=len(batch), cause=_cause(error))
            kept: Mapping[str, int | None] = {}
        except Exception:
            if len(batch) > 1:
                # One of them is the cause, and the others shall not suffer from it.
                return all([await self._keep([live]) for live in batch])
            (live,) = batch
            live.stumbles += 1
            # A driver may stumble over a broken connection; but what fails so often will fail for ever.
            if live.stumbles >= STUMBLES and live.revealed:
                log.exception("events_cannot_be_kept", run_id=live.run_id)
                self._give_up(live)
                return True
            log.warning("event_log_failed", run_id=live.run_id, exc_info=True)
            kept = {}
        told = [self._told(live, kept) for live in batch]
        return all(told)

    def _told(self, live: Written, kept: Mapping[str, int | None]) -> bool:
        portion = live.portion
        if not live.writing or portion is None:
            # Somebody else became its writer here while this was under way.
            return True
        if live.run_id not in kept:
            live.dirty = True
            self._dirty[live] = None
            return False
        upto = kept[live.run_id]
        if upto is None:
            self._fenced(live)
            return True
        live.is_kept(upto)
        if live.settled:
            self._unsettled.pop(live, None)
            if live.end_kept:
                self._ended(live)
            return True
        live.since = asyncio.get_running_loop().time()
        if not live.dirty:
            # Not at once where the storage keeps losing what it had.
            self.mark(live, urgent=upto > portion.base)
        return True

    def _give_up(self, live: Written) -> None:
        live.lost = True
        live.portion = None
        self._unsettled.pop(live, None)
        live.fail(_unavailable())
        live.reveal()

    def _look(self) -> None:
        """Show readers what has waited for too long."""
        loop = asyncio.get_running_loop()
        self._watch = None
        waited = [live for live in self._unsettled if not live.revealed]
        for live in waited:
            if loop.time() - live.since >= PATIENCE:
                live.reveal()
        later = [live.since for live in waited if not live.revealed]
        if later or self._unsettled:
            at = min(later, default=loop.time()) + PATIENCE
            self._watch = loop.call_at(at, self._look)


def _unavailable() -> UnavailableError:
    return UnavailableError("What the assistant says cannot be kept at the moment.", retry_after=2)


def _cause(error: Exception) -> str:
    return type(error.__cause__ or error).__name__

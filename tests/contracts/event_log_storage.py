"""A storage for durable event logs in this process's memory: a server that processes share, and what can be broken.

As strict as the real ones: rows are written at most once, fences are compared in the same step, and nothing is given
out that was not written.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anyio.lowlevel import checkpoint

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import JUMP, FencedError
from backchannel.event_logs.durable import DurableEventLog
from backchannel.event_logs.event_buffer import Segment
from backchannel.event_logs.storage import Page, Storage, WriteBatch, WriterPosition


@dataclass
class Kept:
    fence: int
    last: int = 0
    segments: list[Segment] = field(default_factory=list)
    ended: bool = False
    ended_at: float = 0.0


class Server:
    """What all processes share.

    Attributes:
        out_of_reach: While it is set, nobody can reach the server.
        slow: Turns of the event loop that each call takes.
        hangs: While it is set, calls do not come back.
    """

    def __init__(self) -> None:
        self.logs: dict[str, Kept] = {}
        self.news = asyncio.Condition()
        self.out_of_reach = False
        self.slow = 3
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.writes: list[Sequence[WriteBatch]] = []


class SharedStorage(Storage):
    """One process's way to the server."""

    def __init__(self, server: Server, *, retention: float = 60) -> None:
        self.server = server
        self.retention = retention

    async def reach(self) -> None:
        for _ in range(self.server.slow):
            await checkpoint()
        await self.server.hangs.wait()
        if self.server.out_of_reach:
            raise UnavailableError("out of reach", retry_after=1)

    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        await self.reach()
        return self.begun(run_id, fence, after_crash)

    def begun(self, run_id: str, fence: int, after_crash: bool) -> WriterPosition:
        log = self.server.logs.setdefault(run_id, Kept(fence))
        if log.fence > fence:
            raise FencedError(run_id)
        log.fence = fence
        if after_crash:
            log.last = (log.last // JUMP + 1) * JUMP
        return WriterPosition(log.segments[-1].last if log.segments else 0, log.last, log.ended)

    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        # Writing takes longer than reading, as everywhere.
        for _ in range(3):
            await self.reach()
        kept = {batch.run_id: self.written(batch) for batch in batches}
        self.server.writes.append(batches)
        async with self.server.news:
            self.server.news.notify_all()
        return kept

    def written(self, batch: WriteBatch) -> int | None:
        log = self.server.logs.get(batch.run_id)
        if log is None or log.fence != batch.fence:
            return None
        if log.last < batch.base and batch.base > batch.start:
            return log.last
        log.segments += [segment for segment in batch.segments if segment.first > log.last]
        log.last = max(log.last, batch.last)
        if batch.ends_run and not log.ended:
            log.ended, log.ended_at = True, asyncio.get_running_loop().time()
        return log.last

    async def page(self, run_id: str, after: int) -> Page:
        await self.reach()
        log = self.server.logs.get(run_id)
        if log is None or self.expired(log):
            raise LookupError(run_id)
        page = self.after(log, after)
        await checkpoint()
        return page

    async def poll(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        await self.reach()
        async with self.server.news:
            while not (found := self.found(after)) and not changed.is_set():
                try:
                    async with asyncio.timeout(0.02):
                        await self.server.news.wait()
                except TimeoutError:
                    break
        return found

    def found(self, after: Mapping[str, int]) -> dict[str, Page | None]:
        found: dict[str, Page | None] = {}
        for run_id, seq in after.items():
            log = self.server.logs.get(run_id)
            if log is None:
                found[run_id] = None
            elif log.last > seq or log.ended:
                found[run_id] = self.after(log, seq)
        return found

    def after(self, log: Kept, seq: int) -> Page:
        return Page([segment for segment in log.segments if segment.last > seq], log.last, log.ended)

    def expired(self, log: Kept) -> bool:
        return log.ended and asyncio.get_running_loop().time() - log.ended_at > self.retention

    async def check(self) -> None:
        await self.reach()


def shared_log(server: Server, *, retention: float = 60, cache_seconds: float = 5) -> DurableEventLog:
    """The log of one of the processes that share a server."""
    return DurableEventLog(
        SharedStorage(server, retention=retention), cache_seconds=min(cache_seconds, retention)
    )

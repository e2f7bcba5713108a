"""This process among those that share the runs: it gives signs of life, notices who gives none, and takes over.

A replica that lives counts its beat up. Whoever sees another one's beat stand still for the length of a lease, by his
own clock, removes it and takes its runs over; the removed one, should it wake up, finds itself removed and touches none
of them any more, and the fence of each run refuses what it writes until it does. No clock of one machine is ever
compared with another's. On the same machine, a process that is gone is noticed within a second.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import structlog

from backchannel.errors import UnavailableError
from backchannel.handovers.base import Delivery, Handover
from backchannel.ids import new_id
from backchannel.runs.worker import STOP_SECONDS, LiveRuns
from backchannel.stores.run_store import KEY_SECONDS, ReplicaRecord
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
"""How often a replica looks whether one of its runs was stopped on another one."""

SWEEP_SECONDS = 1.0
"""How often it looks for runs that nobody cares for."""

STRAYS_SECONDS = 3.0
"""How often it looks for runs of its own that it does not know of. Twice that passes before one is made."""

BETWEEN_DELIVERIES = 0.25
"""Seconds between one lot of runs that are delivered to it and the next, for others to get some too."""

FORGET_SECONDS = 600.0
AT_ONCE = 100
"""How many runs one sweep takes over, at most."""

_living: set[str] = set()
"""The replicas of this process: more than one, if it serves more than one application."""


class Replica:
    """Keeps house for the runs of one process.

    Args:
        lease: Seconds after which a replica on another machine that gives no sign of life counts as dead.
    """

    def __init__(self, live: LiveRuns, *, lease: float) -> None:
        self._live = live
        self._stores = live.stores
        self._lease = lease
        # Of every other replica: its last beat, and when it was first seen, by this process's clock.
        self._seen: dict[str, tuple[int, float]] = {}
        self._strays: set[str] = set()
        self._look_for_strays_at = 0.0
        self._over = asyncio.Event()

    @asynccontextmanager
    async def living(self) -> AsyncGenerator[None]:
        """Be one of the replicas while the block runs.

        Raises:
            UnavailableError: The database cannot be reached.
        """
        await self._join()
        # Without the request's variables: what these tasks log is about everybody's runs.
        chores = [
            asyncio.create_task(self._again(chore, seconds), context=Context())
            for chore, seconds in (
                (self._beat, self._lease / 3),
                (self._look_for_stops, TICK_SECONDS),
                (self._sweep, SWEEP_SECONDS),
                (self._receive, BETWEEN_DELIVERIES),
                (self._forget, FORGET_SECONDS),
            )
        ]
        try:
            yield
        finally:
            # Not cancelled at once: what is cancelled in the middle of a statement loses its connection.
            self._over.set()
            _, late = await asyncio.wait(chores, timeout=STOP_SECONDS)
            for chore in late:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self._leave()

    async def _join(self) -> None:
        _living.add(self._live.replica)
        await self._stores.replicas.join(ReplicaRecord(self._live.replica, here(), os.getpid(), 0))

    async def _leave(self) -> None:
        _living.discard(self._live.replica)
        try:
            await self._let_ended_go()
            await self._stores.replicas.remove(self._live.replica)
            if self._stores.handovers is not None:
                await self._stores.handovers.leave(self._live.replica)
        except UnavailableError:
            log.warning("replica_not_removed")

    async def _again(self, chore: Callable[[], Awaitable[None]], seconds: float) -> None:
        while not self._over.is_set():
            try:
                await chore()
            except UnavailableError as error:
                log.warning("housekeeping_waits", error=error.message)
            except Exception:
                log.exception("housekeeping_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._over.wait()

    async def _beat(self) -> None:
        if await self._stores.replicas.beat(self._live.replica):
            return
        log.warning("replica_was_removed", replica=self._live.replica)
        await self._live.leave_all()
        _living.discard(self._live.replica)
        self._live.replica = new_id("replica")
        await self._join()

    async def _look_for_stops(self) -> None:
        if not len(self._live):
            return
        for run_id, status in await self._stores.chores.asked_to_stop(self._live.replica):
            self._live.stop_here(run_id, status)

    async def _sweep(self) -> None:
        await self._let_ended_go()
        if self._live.draining:
            return
        removed = set[str]()
        for replica in await self._dead(removed):
            left = await self._stores.chores.of_replica(replica)
            # Delivered once, by whoever noticed first, so that the living share them.
            if replica in removed and await self._live.hand_over([Handover(each, replica) for each in left]):
                continue
            await self._live.take_over(left[:AT_ONCE], replica)
        await self._take_orphans()
        if (now := asyncio.get_running_loop().time()) >= self._look_for_strays_at:
            self._look_for_strays_at = now + STRAYS_SECONDS
            await self._take_strays()

    async def _receive(self) -> None:
        """Take over what is delivered to this replica."""
        handovers = self._stores.handovers
        if handovers is None or self._live.draining:
            return
        deliveries = await self._unless_over(handovers.receive(self._live.replica))
        if self._live.draining:
            # Left for the others.
            return
        by_former: dict[str | None, list[Delivery]] = {}
        for delivery in deliveries:
            by_former.setdefault(delivery.handover.former, []).append(delivery)
        for former, some in by_former.items():
            await self._live.take_over([each.handover.run_id for each in some], former)
            await handovers.done(some)

    async def _unless_over(self, receiving: Coroutine[Any, Any, Sequence[Delivery]]) -> Sequence[Delivery]:
        task = asyncio.create_task(receiving)
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else ()
        finally:
            task.cancel()
            over.cancel()
            await asyncio.wait({task, over})

    async def _dead(self, removed: set[str]) -> list[str]:
        """Replicas that are no more. Those that give no sign of life are removed here, and noted as such."""
        now = asyncio.get_running_loop().time()
        living = await self._stores.replicas.all()
        if self._live.replica not in {each.id for each in living}:
            # Others took us for dead: before anything else, leave our runs to them.
            await self._beat()
            return []
        others = [each for each in living if each.id != self._live.replica]
        self._seen = {each.id: self._first_seen(each, now) for each in others}
        for other in others:
            gone = _is_gone(other)
            if not gone and now - self._seen[other.id][1] < self._lease:
                continue
            if await self._stores.replicas.remove(other.id, None if gone else other.beat):
                log.warning("replica_is_dead", replica=other.id)
                removed.add(other.id)
        # Those that were removed just now are among them, and those whose remover died before it took over.
        return list(await self._stores.replicas.lost(AT_ONCE))

    def _first_seen(self, other: ReplicaRecord, now: float) -> tuple[int, float]:
        beat, since = self._seen.get(other.id, (-1, now))
        return (beat, since) if beat == other.beat else (other.beat, now)

    async def _take_orphans(self) -> None:
        orphans = await self._stores.chores.orphans(AT_ONCE)
        await self._live.take_over([each.id for each in orphans if each.status == "running"], None)
        queued = [each.queue for each in orphans if each.status == "queued" and each.queue is not None]
        for queue in dict.fromkeys(queued):
            await self._live.advance(queue)

    async def _take_strays(self) -> None:
        """Runs that are noted as ours and that nobody makes, or ends the log of: a commit took place of which we did
        not know, or the attempt failed."""
        mine, before = self._live.replica, self._strays
        noted = await self._stores.chores.of_replica(mine)
        self._strays = {run_id for run_id in noted if run_id not in self._live}
        # Seen twice, because one that is being claimed in this moment looks like that too.
        await self._live.take_over(sorted(self._strays & before), mine)

    async def _let_ended_go(self) -> None:
        ended, self._live.ended = self._live.ended, []
        if not ended:
            return
        try:
            await self._stores.chores.forget_replica(ended, self._live.replica)
        except UnavailableError:
            self._live.ended += ended
            raise

    async def _forget(self) -> None:
        await self._stores.attempts.forget_older(utc_now() - timedelta(seconds=KEY_SECONDS))


@cache
def here() -> str:
    """Names the machine since its start and, of its spaces of process ids, ours: where a process id says something."""
    places = [socket.gethostname()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            places.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
        except OSError:
            # Not Linux. Nothing tells two machines of one name apart, so nobody is at home here.
            return f"{socket.gethostname()} {new_id('replica')}"
    return " ".join(places)[:255]


def _is_gone(other: ReplicaRecord) -> bool:
    """Whether a process of this machine is not there any more."""
    if other.host != here():
        return False
    if other.pid == os.getpid():
        # If it is none of ours, the process that had our number before is gone.
        return other.id not in _living
    try:
        state = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state in {"Z", "X"}

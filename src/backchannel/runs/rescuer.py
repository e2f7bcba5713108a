"""The rescuer: renews the lease of this process, and takes over the runs of processes that are dead.

A live replica counts its heartbeat up. A replica that sees another one's heartbeat stand still for the length of a
lease, by its own clock, removes it and takes its runs over. The removed one, should it still be alive, finds itself
removed and stops touching its runs; until it does, the fence of each run refuses what it writes. Clocks of two machines
are never compared. On the same machine, a process that is gone is noticed within a second.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from datetime import timedelta
from typing import Any

import structlog

from backchannel.errors import UnavailableError
from backchannel.handovers.base import Delivery, Handover
from backchannel.ids import new_id
from backchannel.runs.processes import host_id, is_dead
from backchannel.runs.worker import STOP_SECONDS, Worker
from backchannel.stores.run_store import IDEMPOTENCY_KEY_SECONDS, ReplicaRecord
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

STOP_REQUESTS_SECONDS = 0.25
"""Between looks for runs of this process whose stop was requested on another replica."""

RESCUE_SECONDS = 1.0
"""Between looks for orphaned runs."""

UNTRACKED_SECONDS = 3.0
"""Between looks for runs that are assigned to this process and that it does not execute. One is taken when it was seen
twice in a row."""

HANDOVER_PAUSE_SECONDS = 0.25
"""Between two batches of handed-over runs, so that other replicas get some too."""

EXPIRED_KEYS_SECONDS = 600.0
"""Between deletions of old idempotency keys."""

RESERVATIONS_SECONDS = 60.0
"""Between looks for expired reservations of budgets."""

BATCH = 100
"""How many runs one look takes over, at most."""

_local_replicas: set[str] = set()
"""The replicas of this process: more than one, if it serves more than one application."""


class Rescuer:
    """The background tasks that keep the runs of all replicas going.

    Args:
        lease: Seconds without a heartbeat after which a replica on another machine counts as dead.
    """

    def __init__(self, worker: Worker, *, lease: float) -> None:
        self._worker = worker
        self._stores = worker.stores
        self._lease = lease
        # By replica: its last heartbeat, and when that was first seen, by this process's clock.
        self._heartbeats: dict[str, tuple[int, float]] = {}
        self._untracked: set[str] = set()
        self._look_for_untracked_at = 0.0
        self._closed = asyncio.Event()
        self._heartbeat_lock = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Be one of the replicas while the block runs.

        Raises:
            UnavailableError: The database cannot be reached.
        """
        await self._join()
        # Without the request's variables: these tasks log about runs of all owners.
        tasks = [
            asyncio.create_task(self._repeat(task, seconds), context=Context())
            for task, seconds in (
                (self._heartbeat, self._lease / 3),
                (self._check_stop_requests, STOP_REQUESTS_SECONDS),
                (self._rescue, RESCUE_SECONDS),
                (self._receive_handovers, HANDOVER_PAUSE_SECONDS),
                (self._delete_expired_keys, EXPIRED_KEYS_SECONDS),
                *(
                    ((self._stores.ledger.settle_expired, RESERVATIONS_SECONDS),)
                    if self._stores.ledger
                    else ()
                ),
            )
        ]
        try:
            yield
        finally:
            # Not cancelled at once: a statement that is cancelled in the middle loses its connection.
            self._closed.set()
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave()

    async def _join(self) -> None:
        _local_replicas.add(self._worker.replica)
        await self._stores.replicas.join(ReplicaRecord(self._worker.replica, host_id(), os.getpid(), 0))

    async def _leave(self) -> None:
        _local_replicas.discard(self._worker.replica)
        try:
            await self._clear_ended()
            await self._stores.replicas.remove(self._worker.replica)
            if self._stores.handovers is not None:
                await self._stores.handovers.leave(self._worker.replica)
        except UnavailableError:
            log.warning("replica_not_removed")

    async def _repeat(self, task: Callable[[], Awaitable[object]], seconds: float) -> None:
        while not self._closed.is_set():
            try:
                await task()
            except UnavailableError as error:
                log.warning("rescuer_waits", error=error.message)
            except Exception:
                log.exception("rescuer_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._closed.wait()

    async def _heartbeat(self) -> None:
        # Two tasks call this: one that is removed joins again once.
        async with self._heartbeat_lock:
            if await self._stores.replicas.heartbeat(self._worker.replica):
                return
            log.warning("replica_was_removed", replica=self._worker.replica)
            await self._worker.release_all()
            _local_replicas.discard(self._worker.replica)
            self._worker.replica = new_id("replica")
            await self._join()

    async def _check_stop_requests(self) -> None:
        if not len(self._worker):
            return
        for run_id, status in await self._stores.maintenance.stop_requests(self._worker.replica):
            self._worker.stop_local(run_id, status)

    async def _rescue(self) -> None:
        await self._clear_ended()
        if self._worker.draining:
            return
        removed = set[str]()
        for replica in await self._dead_replicas(removed):
            orphans = await self._stores.maintenance.list_by_replica(replica)
            # Offered once, by the replica that removed the dead one, so that all share its runs.
            offers = [Handover(each, replica) for each in orphans]
            if replica in removed and await self._worker.hand_over(offers):
                continue
            await self._worker.take_over(orphans[:BATCH], replica)
        await self._take_orphans()
        if (now := asyncio.get_running_loop().time()) >= self._look_for_untracked_at:
            self._look_for_untracked_at = now + UNTRACKED_SECONDS
            await self._take_untracked()

    async def _receive_handovers(self) -> None:
        handovers = self._stores.handovers
        if handovers is None or self._worker.draining:
            return
        deliveries = await self._unless_closed(handovers.receive(self._worker.replica))
        if self._worker.draining:
            # They are delivered to another replica later.
            return
        by_former: dict[str | None, list[Delivery]] = {}
        for delivery in deliveries:
            by_former.setdefault(delivery.handover.former, []).append(delivery)
        for former, some in by_former.items():
            await self._worker.take_over([each.handover.run_id for each in some], former)
            await handovers.acknowledge(some)

    async def _unless_closed(self, receiving: Coroutine[Any, Any, Sequence[Delivery]]) -> Sequence[Delivery]:
        task = asyncio.create_task(receiving)
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait({task, closed}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else ()
        finally:
            task.cancel()
            closed.cancel()
            await asyncio.wait({task, closed})

    async def _dead_replicas(self, removed: set[str]) -> list[str]:
        """Replicas whose runs are to be taken over. Those whose lease expired are removed here, and added to
        `removed`."""
        now = asyncio.get_running_loop().time()
        members = await self._stores.replicas.all()
        if self._worker.replica not in {each.id for each in members}:
            # Others removed this replica: before anything else, leave its runs to them.
            await self._heartbeat()
            return []
        others = [each for each in members if each.id != self._worker.replica]
        self._heartbeats = {each.id: self._last_heartbeat(each, now) for each in others}
        for other in others:
            gone = _is_gone(other)
            if not gone and now - self._heartbeats[other.id][1] < self._lease:
                continue
            if await self._stores.replicas.remove(other.id, None if gone else other.beat):
                log.warning("replica_is_dead", replica=other.id)
                removed.add(other.id)
        # Includes those that were removed just now, and those whose remover died before it took their runs over. Not
        # this replica, if others removed it since `members` was read: it still executes its runs until its heartbeat.
        return [
            each for each in await self._stores.replicas.unregistered(BATCH) if each != self._worker.replica
        ]

    def _last_heartbeat(self, other: ReplicaRecord, now: float) -> tuple[int, float]:
        beat, since = self._heartbeats.get(other.id, (-1, now))
        return (beat, since) if beat == other.beat else (other.beat, now)

    async def _take_orphans(self) -> None:
        orphans = await self._stores.maintenance.orphans(BATCH)
        await self._worker.take_over([each.id for each in orphans if each.status == "running"], None)
        queues = [each.queue for each in orphans if each.status == "queued" and each.queue is not None]
        for queue in dict.fromkeys(queues):
            await self._worker.start_next(queue)

    async def _take_untracked(self) -> None:
        """Take runs that are assigned to this replica and that it does not execute, or whose log it has not ended: a
        commit took place that had looked like a failure, or the execution failed."""
        replica, before = self._worker.replica, self._untracked
        assigned = await self._stores.maintenance.list_by_replica(replica)
        ended = set(self._worker.ended)
        self._untracked = {
            run_id for run_id in assigned if run_id not in self._worker and run_id not in ended
        }
        # Seen twice, because a run that is being claimed at this moment looks the same.
        await self._worker.take_over(sorted(self._untracked & before), replica)

    async def _clear_ended(self) -> None:
        ended, self._worker.ended = self._worker.ended, []
        if not ended:
            return
        try:
            await self._stores.maintenance.clear_replica(ended, self._worker.replica)
        except UnavailableError:
            self._worker.ended += ended
            raise

    async def _delete_expired_keys(self) -> None:
        await self._stores.idempotency_keys.delete_older_than(
            utc_now() - timedelta(seconds=IDEMPOTENCY_KEY_SECONDS)
        )


def _is_gone(other: ReplicaRecord) -> bool:
    """Whether the replica's process is known to be gone, because it was one of this machine."""
    if other.host != host_id():
        return False
    if other.pid == os.getpid():
        # If it is not a replica of this process, an earlier process had the same id.
        return other.id not in _local_replicas
    return is_dead(other.pid)

"""Stored runs, and the contracts of the stores of runs, idempotency keys and replicas.

Two rules prevent conflicts between replicas. A running or waiting run *holds* its thread: at most one run of a thread
does, on all replicas. And a run has a *fence*, a number that grows each time another process takes the run over: every
write for a run requires the fence that its process got, so that writes of a process that was wrongly taken for dead are
refused.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backchannel.context import Identity, Usage
from backchannel.stores.run_states import RunStatus

MAX_QUEUED = 20
"""The most queued runs of one thread."""

REPLIES = frozenset({"threads.add_client_tool_output", "threads.add_structured_input"})
"""Operations that give a `waiting` run what it asked for."""

MAX_THREAD_ID_CHARS = 255
"""The most characters of the id of a thread that has runs."""

IDEMPOTENCY_KEY_SECONDS = 86_400
"""How long an `Idempotency-Key` is stored: a day, as long as clients are known to retry."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A stored run.

    Attributes:
        id: `run_…`.
        identity: Its owner: tenant and user only.
        thread_id: The thread to which its answer belongs.
        operation: The ChatKit operation that started it, such as `threads.add_user_message`.
        status: See `run_states`.
        created_at: When it was requested, in UTC.
        started_at: When its execution began, in UTC; `None` while it is queued.
        ended_at: When it ended, in UTC; `None` before.
        error_code: The code of the error with which it failed, else `None`.
        replica: The process that executes it, if any.
        fence: Grows with each process that starts to execute it; see the module.
        attempt: How many times execution began, without those after a release.
        request: The operation as JSON, for a retry; `None` once the run has ended.
        context: Other parts of the request that a retry needs, as JSON.
        began_after: The newest item of the thread when the answer began; `None` until the request was accepted.
        stop: The status with which it is to end, if a stop was requested.
        usage: Tokens and requests of models; only set by `RunStore.load`.
    """

    id: str
    identity: Identity
    thread_id: str
    operation: str
    status: RunStatus
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error_code: str | None = None
    replica: str | None = None
    fence: int = 0
    attempt: int = 0
    request: str | None = None
    context: str | None = None
    began_after: str | None = None
    stop: RunStatus | None = None
    usage: Usage | None = None

    @property
    def queue(self) -> str:
        """The queue in which the thread's runs wait."""
        return queue_of(self.identity, self.thread_id)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run that no live replica executes.

    Attributes:
        queue: The queue of its thread; `None` for a running run of a version without queues.
    """

    id: str
    status: RunStatus
    queue: str | None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The use of an `Idempotency-Key`.

    Attributes:
        id: A digest of the caller and the key.
        request: A digest of the request.
        run_id: The run that the request started, if it does.
        response: The response, if the request starts no run; `None` while it is in progress.
    """

    id: str
    request: str
    created_at: datetime
    run_id: str | None = None
    response: str | None = None


class ThreadBusyError(Exception):
    """Another run holds the thread or waits for it."""


class QueueFullError(Exception):
    """The thread has `MAX_QUEUED` queued runs already."""


class RunLimitError(Exception):
    """The owner has as many runs that are running or queued as may be."""


class IdempotencyKeyInUseError(Exception):
    """The idempotency key of the request was used before."""


class RunFencedError(Exception):
    """Another process executes the run now, or the run has ended."""


def queue_of(identity: Identity, thread_id: str) -> str:
    """The name of a thread's queue: a digest, because the names and the id are too long for an index."""
    return _digest(identity.tenant, identity.user, thread_id)


def idempotency_id(identity: Identity, key: str) -> str:
    """The id of a caller's `Idempotency-Key`."""
    return _digest(identity.tenant, identity.user, key)


def admission_id(identity: Identity) -> str:
    """The id of the row that is locked while a run of an owner is admitted. No `Idempotency-Key` has it."""
    return _digest(identity.tenant, identity.user, "", "admission")


def _digest(*parts: str) -> str:
    # No part contains NUL, so that different lists of parts have different digests.
    return hashlib.sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()


class RunStore(ABC):
    """The store of runs and their usage, shared by all replicas.

    Every method is one transaction, or part of the caller's if there is one on the same database, and may be called
    twice with the same result.
    """

    @abstractmethod
    async def insert_running(self, run: RunRecord) -> None:
        """Store a new run that starts at once and holds its thread. A `waiting` run of the thread becomes `completed`.

        Raises:
            ThreadBusyError: Another run is running in the thread, or is queued there, unless this one is among
                `REPLIES` and a run waits for it. The transaction must be rolled back.
        """

    @abstractmethod
    async def enqueue(self, run: RunRecord) -> None:
        """Store a new queued run. A `waiting` run of the thread becomes `completed`: queued runs start from now on.

        Raises:
            QueueFullError: The thread has `MAX_QUEUED` queued runs.
        """

    @abstractmethod
    async def check_room(self, identity: Identity, most: int, *, besides: str | None = None) -> None:
        """Check that fewer than `most` runs of an owner are running or queued. Inside a transaction, further checks of
        the same owner wait until it ends, on all replicas, so that each sees the runs of those before it.

        Args:
            besides: A queue whose runs do not count.

        Raises:
            RunLimitError: There are as many. The transaction must be rolled back.
        """

    @abstractmethod
    async def delete(self, run_id: str, identity: Identity) -> None:
        """Delete a run whose request was refused in another transaction than the one that stored the run."""

    @abstractmethod
    async def mark_accepted(self, run_id: str, fence: int, began_after: str) -> None:
        """Record that the request was accepted. Part of the transaction that accepts it, if there is one.

        Raises:
            RunFencedError: Another process executes the run, or it has ended.
        """

    @abstractmethod
    async def check_fence(self, run_id: str, fence: int) -> None:
        """Check that no other process has taken the run over. Inside a transaction, none can until that ends.

        Raises:
            RunFencedError: Another process executes the run, or it has ended.
        """

    @abstractmethod
    async def claim_next(self, queue: str, replica: str) -> RunRecord | None:
        """Start the oldest queued run of a queue, for `replica`; `None` if there is none or a run holds the thread."""

    @abstractmethod
    async def take_over(
        self, run_ids: Sequence[str], former: str | None, replica: str
    ) -> Sequence[RunRecord]:
        """Assign to `replica` runs of the dead replica `former` or, with `None`, released runs; returns those that were
        assigned. Skipped are runs that another replica took first, that have ended, or that are locked by a write."""

    @abstractmethod
    async def release_run(self, run_id: str, fence: int) -> None:
        """Unassign a running run, for another replica to take over.

        Raises:
            RunFencedError: Another process executes the run, or it has ended.
        """

    @abstractmethod
    async def finish(
        self, run_id: str, fence: int, status: RunStatus, error_code: str | None, usage: Usage
    ) -> None:
        """Store the end of a run and its usage, and free its thread unless the run is `waiting`, atomically. The run
        stays assigned to its replica until `clear_replica`, so that after a crash in between the end of its log is
        still written.

        Raises:
            RunFencedError: Another process executes the run, or it has ended.
        """

    @abstractmethod
    async def clear_replica(self, run_ids: Sequence[str], replica: str) -> None:
        """Unassign runs that have ended, and whose logs have."""

    @abstractmethod
    async def cancel(self, run_id: str, identity: Identity) -> bool:
        """Cancel a queued or waiting run; returns whether it was either."""

    @abstractmethod
    async def request_stop(
        self, run_id: str, identity: Identity, status: RunStatus, error_code: str | None = None
    ) -> None:
        """Ask the replica that executes a run, now or after a crash, to end it with `status` and `error_code`."""

    @abstractmethod
    async def stop_requests(self, replica: str) -> Sequence[tuple[str, RunStatus]]:
        """The running runs of a replica with a stop request, with the requested status."""

    @abstractmethod
    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        """One run of the caller's, with its usage.

        Raises:
            chatkit.store.NotFoundError: The caller has no such run.
        """

    @abstractmethod
    async def list_by_thread(
        self, thread_id: str, identity: Identity, *, status: frozenset[RunStatus] | None, limit: int
    ) -> Sequence[RunRecord]:
        """The newest `limit` runs of a thread, newest first; only those in one of `status`, if given."""

    @abstractmethod
    async def list_by_replica(self, replica: str) -> Sequence[str]:
        """The ids of all runs that are assigned to a replica, of all owners: running ones, and ended ones before
        `clear_replica`."""

    @abstractmethod
    async def orphans(self, limit: int) -> Sequence[Orphan]:
        """Orphaned runs of all owners, oldest first: running without a replica, or queued in a thread that no run
        holds. At most `limit` of each of the two kinds."""


class IdempotencyStore(ABC):
    """The store of idempotency keys. Each method is one transaction, or part of the caller's."""

    @abstractmethod
    async def load(self, identity: Identity, key: str) -> IdempotencyRecord | None:
        """The use of one of the caller's keys; `None` if it is unused or expired."""

    @abstractmethod
    async def add(self, record: IdempotencyRecord, identity: Identity) -> None:
        """Store the first use of a key.

        Raises:
            IdempotencyKeyInUseError: The key is in use. The transaction must be rolled back.
        """

    @abstractmethod
    async def save_response(self, record_id: str, response: str | None, identity: Identity) -> None:
        """Store the response to the request of a key, or, with `None`, delete the key."""

    @abstractmethod
    async def delete_older_than(self, before: datetime) -> int:
        """Delete older keys, of all owners; returns how many."""


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """A process that executes runs.

    Attributes:
        host: Identifies the machine and its PID namespace; see `runs.processes`.
        beat: A counter of heartbeats.
    """

    id: str
    host: str
    pid: int
    beat: int


class ReplicaStore(ABC):
    """The store of processes that execute runs."""

    @abstractmethod
    async def join(self, replica: ReplicaRecord) -> None:
        """Register a process."""

    @abstractmethod
    async def heartbeat(self, replica: str) -> bool:
        """Count a heartbeat; returns whether the process is still registered."""

    @abstractmethod
    async def all(self) -> Sequence[ReplicaRecord]:
        """All registered processes."""

    @abstractmethod
    async def remove(self, replica: str, beat: int | None = None) -> bool:
        """Remove a process; with `beat`, only if its counter still has that value. Returns whether it was removed."""

    @abstractmethod
    async def unregistered(self, limit: int) -> Sequence[str]:
        """Ids of replicas to which runs are assigned but that are not registered: a replica that removes a dead one may
        itself die before it has taken over its runs."""

"""Stored runs, and the contract of the store that has them.

Two things here keep the replicas from getting in each other's way. A running run *holds* its thread: of all runs of a
thread, on all replicas, only one can. And a run has a *fence*, a number that grows each time another process takes the
run over: every write for a run demands the fence that its process was given, so that a process that was thought dead
and wakes up changes nothing.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backchannel.context import Identity, Usage
from backchannel.stores.run_states import RunStatus

MAX_QUEUED = 20
"""How many messages may wait in one thread."""

KEY_SECONDS = 86_400
"""How long an `Idempotency-Key` is remembered: a day, as long as clients are known to retry."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A stored run.

    Attributes:
        id: `run_…`.
        identity: Its owner, as far as rows say: tenant and user.
        thread_id: The thread that it answers in.
        operation: The ChatKit op that started it, such as `threads.add_user_message`.
        status: See `run_states`.
        created_at: When it was asked for, in UTC.
        started_at: When its turn came, in UTC; `None` while it is queued.
        ended_at: When it ended, in UTC; `None` before.
        error_code: Of the error that failed it, else `None`.
        replica: The process that executes it, or none.
        fence: How many processes have executed it so far, each counted once.
        attempt: How many times its answer was begun, not counting processes that took it after an orderly release.
        request: The op as JSON, to answer it again; `None` where nothing is left to answer.
        context: The rest of the request that the answer needs, as JSON.
        began_after: The newest item of the thread when the answer began; `None` until the request was accepted.
        stop: How it shall end, if a stop was requested.
        usage: What it used of models; only where asked for.
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
        queue: The queue of its thread; `None` for a running one of a version that stored none.
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
        run_id: The run that the request started, if it starts one.
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
    """The most runs that may wait in the thread wait there already."""


class IdempotencyKeyInUseError(Exception):
    """The key of the request was used before."""


class RunFencedError(Exception):
    """Another process executes the run now, or the run has ended."""


def queue_of(identity: Identity, thread_id: str) -> str:
    """The name of a thread's queue: a digest, because ids and names together are longer than an index takes."""
    return _digest(identity.tenant, identity.user, thread_id)


def idempotency_id(identity: Identity, key: str) -> str:
    """The id of a caller's `Idempotency-Key`."""
    return _digest(identity.tenant, identity.user, key)


def _digest(*parts: str) -> str:
    # NUL cannot be in any of them, so that no two lists of parts are alike.
    return hashlib.sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()


class RunStore(ABC):
    """Stores runs and their usage, shared by all replicas. Every method is one transaction, or part of the caller's
    where the server's store is on the same database, and may be called twice with the same result."""

    @abstractmethod
    async def insert_running(self, run: RunRecord) -> None:
        """Store a new run that starts at once, holding its thread. A run that waited there for the person is completed.

        Raises:
            ThreadBusyError: Another run holds the thread or waits for it. Nothing is stored, nor is anything else of
                the same transaction.
        """

    @abstractmethod
    async def enqueue(self, run: RunRecord) -> None:
        """Store a new run that waits for its turn.

        Raises:
            QueueFullError: `MAX_QUEUED` wait there already.
        """

    @abstractmethod
    async def delete(self, run_id: str, identity: Identity) -> None:
        """Delete a run whose request was refused after all, where that could not be part of one transaction."""

    @abstractmethod
    async def mark_accepted(self, run_id: str, fence: int, began_after: str) -> None:
        """Note that the request was accepted. Part of the transaction that accepts it, if there is one.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def check_fence(self, run_id: str, fence: int) -> None:
        """Make sure that no other process has taken the run over and, inside a transaction, that none does until it
        ends.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def claim_next(self, queue: str, replica: str) -> RunRecord | None:
        """Start the run that has waited longest in a queue, for `replica`; `None` if none waits or one is running."""

    @abstractmethod
    async def take_over(
        self, run_ids: Sequence[str], former: str | None, replica: str
    ) -> Sequence[RunRecord]:
        """Assign runs of a replica that is dead or, with `None`, has released them. Left out are those that another
        replica took first, that have ended, or to which something is being written at this moment."""

    @abstractmethod
    async def release_run(self, run_id: str, fence: int) -> None:
        """Leave a running run for another replica to take over.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def finish(
        self, run_id: str, fence: int, status: RunStatus, error_code: str | None, usage: Usage
    ) -> None:
        """Store the end of a run, book its usage and free its thread: all of it or nothing. The run stays assigned to
        its replica until `clear_replica`, so that a crash right after this leaves no log without its end.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def clear_replica(self, run_ids: Sequence[str], replica: str) -> None:
        """Runs that have ended, and whose logs have, are assigned to no replica any more."""

    @abstractmethod
    async def cancel(self, run_id: str, identity: Identity) -> bool:
        """End a run that is queued or waits for the person; gives whether it was."""

    @abstractmethod
    async def request_stop(self, run_id: str, identity: Identity, status: RunStatus) -> None:
        """Ask the replica that executes a run to end it with `status`."""

    @abstractmethod
    async def stop_requests(self, replica: str) -> Sequence[tuple[str, RunStatus]]:
        """The running runs of a replica that shall end, and how."""

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
        """The ids of the runs that are assigned to a replica, of all owners: running ones, and those that have just
        ended."""

    @abstractmethod
    async def orphans(self, limit: int) -> Sequence[Orphan]:
        """Some orphaned runs, of all owners, at most `limit` of each kind, the oldest first: running without a replica,
        or in the queue of a thread that no run holds."""


class IdempotencyStore(ABC):
    """Stores the keys of requests. Each method is one transaction, or part of the caller's."""

    @abstractmethod
    async def load(self, identity: Identity, key: str) -> IdempotencyRecord | None:
        """The use of one of the caller's keys; `None` if it is unused or expired."""

    @abstractmethod
    async def add(self, record: IdempotencyRecord, identity: Identity) -> None:
        """Store the first use of a key.

        Raises:
            IdempotencyKeyInUseError: The key is in use. The transaction cannot go on.
        """

    @abstractmethod
    async def save_response(self, record_id: str, response: str | None, identity: Identity) -> None:
        """Store the response to the request of a key, or, with `None`, delete the key."""

    @abstractmethod
    async def delete_older_than(self, before: datetime) -> int:
        """Delete older keys, of all owners; gives how many."""


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """A process that executes runs.

    Attributes:
        host: Identifies the machine and its namespace of process ids; see `runs.processes`.
        beat: The heartbeat: a counter that grows while the process lives.
    """

    id: str
    host: str
    pid: int
    beat: int


class ReplicaStore(ABC):
    """Stores which processes share the runs."""

    @abstractmethod
    async def join(self, replica: ReplicaRecord) -> None:
        """Add a process."""

    @abstractmethod
    async def beat(self, replica: str) -> bool:
        """Count a heartbeat; gives whether the process is still a member."""

    @abstractmethod
    async def all(self) -> Sequence[ReplicaRecord]:
        """Every process that joined and was not removed."""

    @abstractmethod
    async def remove(self, replica: str, beat: int | None = None) -> bool:
        """Remove a process; with `beat`, only if that is still its heartbeat. Gives whether it was removed."""

    @abstractmethod
    async def lost(self, limit: int) -> Sequence[str]:
        """Ids of replicas to which runs are assigned but that are not members: left by a replica that removed a dead
        one and died before it had taken its runs over."""

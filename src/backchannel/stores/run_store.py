"""Runs as they are kept, and the contract of the store that keeps them.

Two things here hold the replicas together. A run that goes on *holds* its thread: of all runs of a thread, on all
replicas, only one can. And a run has a *fence*, a number that grows each time another process takes it over: what a
process does for a run demands the fence it was given, so that one that was thought dead and wakes up changes nothing.
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
"""How long an `Idempotency-Key` is remembered: a day, as long as clients are known to go on trying."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is kept: which thread it answers in, who makes it, and how that goes.

    Attributes:
        identity: Whose run it is, as far as rows know: tenant and user.
        operation: The ChatKit op that started it, such as `threads.add_user_message`.
        error_code: Of the error that failed it, else `None`.
        created_at: When it was asked for, in UTC.
        started_at: When its turn came, in UTC; `None` while it is queued.
        ended_at: When it ended, in UTC; `None` before.
        replica: The process that makes it, or none.
        fence: How many processes have made it so far, each counted once.
        attempt: How many times its answer was begun, not counting what was handed over in good order.
        request: The op as JSON, to answer it again; `None` where there is nothing to answer any more.
        caller: What else of the request the answer needs, as JSON.
        began_after: The newest item of the thread when the answer began; `None` until the request was taken in.
        stop: How it shall end, if somebody asked for that.
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
    caller: str | None = None
    began_after: str | None = None
    stop: RunStatus | None = None
    usage: Usage | None = None

    @property
    def queue(self) -> str:
        """The queue in which the thread's runs wait."""
        return queue_of(self.identity, self.thread_id)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run that nobody cares for.

    Attributes:
        queue: The queue of its thread; `None` for a running one of a version that noted none.
    """

    id: str
    status: RunStatus
    queue: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that names itself, so that sending it twice does it once.

    Attributes:
        id: A digest of the caller and their key.
        request: A digest of the request.
        run_id: The run that it started, if it starts one.
        response: The answer that was given, if it starts none; `None` while it is being made.
    """

    id: str
    request: str
    created_at: datetime
    run_id: str | None = None
    response: str | None = None


class ThreadBusyError(Exception):
    """Another run holds the thread or waits for it."""


class QueueFullError(Exception):
    """As many runs wait in the thread as may."""


class AttemptTakenError(Exception):
    """The key of the request was used before."""


class RunFencedError(Exception):
    """Another process makes the run now, or it has ended."""


def queue_of(identity: Identity, thread_id: str) -> str:
    """The name of a thread's queue: a digest, because ids and names together are longer than an index takes."""
    return _digest(identity.tenant, identity.user, thread_id)


def attempt_id(identity: Identity, key: str) -> str:
    """The name of a caller's `Idempotency-Key`."""
    return _digest(identity.tenant, identity.user, key)


def _digest(*parts: str) -> str:
    # NUL cannot be in any of them, so that no two lists of parts are alike.
    return hashlib.sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()


class RunStore(ABC):
    """Runs and what they used, shared by all replicas. Every method is one transaction, or part of the caller's
    where the store of conversations keeps both, and leaves the same when it is done twice."""

    @abstractmethod
    async def hold(self, run: RunRecord) -> None:
        """Keep a new run that goes on at once, and hold its thread. What waited there for the person is completed.

        Raises:
            ThreadBusyError: Another one goes on or waits there. Nothing is kept, nor is anything else of the same
                transaction.
        """

    @abstractmethod
    async def enqueue(self, run: RunRecord) -> None:
        """Keep a new run that waits for its turn.

        Raises:
            QueueFullError: `MAX_QUEUED` wait there already.
        """

    @abstractmethod
    async def withdraw(self, run_id: str, identity: Identity) -> None:
        """Forget a run whose request was refused after all."""

    @abstractmethod
    async def began(self, run_id: str, fence: int, began_after: str) -> None:
        """Note that the request was taken in. Part of the transaction that takes it in.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def guard(self, run_id: str, fence: int) -> None:
        """Make sure that nobody has taken the run over and, inside a transaction, that nobody does until it ends.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def claim_next(self, queue: str, replica: str) -> RunRecord | None:
        """Start the run that has waited longest in a queue, for `replica`; `None` if none waits or one goes on."""

    @abstractmethod
    async def take_over(
        self, run_ids: Sequence[str], former: str | None, replica: str
    ) -> Sequence[RunRecord]:
        """Go on with runs of a replica that is dead or, with `None`, has let go of them. Left out are those where
        somebody else was faster, that have ended, or to which something is being written just now."""

    @abstractmethod
    async def let_go(self, run_id: str, fence: int) -> None:
        """Leave a running run to whoever takes it over.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def finish(
        self, run_id: str, fence: int, status: RunStatus, error_code: str | None, usage: Usage
    ) -> None:
        """Record the end of a run, book its usage and free its thread: all of it or nothing. The replica stays noted
        until `forget_replica`, so that a crash right after this leaves no log without its end.

        Raises:
            RunFencedError: See there.
        """

    @abstractmethod
    async def forget_replica(self, run_ids: Sequence[str], replica: str) -> None:
        """Runs that have ended, and whose logs have, are nobody's any more."""

    @abstractmethod
    async def cancel(self, run_id: str, identity: Identity) -> bool:
        """End a run that is queued or waits for the person; whether it was."""

    @abstractmethod
    async def ask_to_stop(self, run_id: str, identity: Identity, status: RunStatus) -> None:
        """Ask whoever makes a running run to end it with `status`."""

    @abstractmethod
    async def asked_to_stop(self, replica: str) -> Sequence[tuple[str, RunStatus]]:
        """Which of a replica's running runs shall end, and how."""

    @abstractmethod
    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        """One run of the caller's, with its usage.

        Raises:
            chatkit.store.NotFoundError: The caller has no such run.
        """

    @abstractmethod
    async def of_thread(
        self, thread_id: str, identity: Identity, *, status: frozenset[RunStatus] | None, limit: int
    ) -> Sequence[RunRecord]:
        """The newest `limit` runs of a thread, newest first; only those in one of `status`, if given."""

    @abstractmethod
    async def of_replica(self, replica: str) -> Sequence[str]:
        """The ids of the runs for which a replica is responsible, whoever owns them: those that go on, and those that
        have just ended."""

    @abstractmethod
    async def orphans(self, limit: int) -> Sequence[Orphan]:
        """Some runs that nobody cares for, whoever owns them, at most `limit` of each kind, the oldest first: running
        without a replica, or in the queue of a thread that nobody holds."""


class AttemptStore(ABC):
    """Keys of requests. Each method is one transaction, or part of the caller's."""

    @abstractmethod
    async def load(self, identity: Identity, key: str) -> Attempt | None:
        """What became of an `Idempotency-Key` of the caller's; `None` if it is unused or forgotten."""

    @abstractmethod
    async def add(self, attempt: Attempt, identity: Identity) -> None:
        """Take a key.

        Raises:
            AttemptTakenError: It is taken. The transaction cannot go on.
        """

    @abstractmethod
    async def answer(self, attempt_id: str, response: str | None, identity: Identity) -> None:
        """Keep the answer to the request of a key, or, with `None`, forget the key."""

    @abstractmethod
    async def forget_older(self, before: datetime) -> int:
        """Forget keys that are older; how many. Everybody's: it is the process's own housekeeping."""


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """A process that makes runs.

    Attributes:
        host: Names the machine and its space of process ids; see `runs.replica`.
        beat: Grows while the process lives.
    """

    id: str
    host: str
    pid: int
    beat: int


class ReplicaStore(ABC):
    """The processes that share the runs."""

    @abstractmethod
    async def join(self, replica: ReplicaRecord) -> None:
        """Add a process."""

    @abstractmethod
    async def beat(self, replica: str) -> bool:
        """Count a sign of life; whether the process is still among the others."""

    @abstractmethod
    async def all(self) -> Sequence[ReplicaRecord]:
        """Every process that joined and was not removed."""

    @abstractmethod
    async def remove(self, replica: str, beat: int | None = None) -> bool:
        """Remove a process; with `beat`, only if it has not given a sign of life since. Whether it was removed."""

    @abstractmethod
    async def lost(self, limit: int) -> Sequence[str]:
        """Ids that runs name as their replica but that are not among the processes: left by one that removed a dead
        replica and died before it had taken over its runs."""

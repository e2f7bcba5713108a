"""The stores that runs are kept in."""

from dataclasses import dataclass

from backchannel.event_logs.base import EventLog
from backchannel.handovers.base import Handovers
from backchannel.stores.run_store import AttemptStore, ReplicaStore, RunStore


@dataclass(frozen=True, slots=True)
class RunStores:
    """Where everything about runs is kept, shared by all replicas.

    Attributes:
        runs: The runs.
        chores: The runs again, for the replica's housekeeping: by a connection that no request can take from it, or a
            replica under load would look dead.
        attempts: Keys of requests.
        replicas: The processes that make runs; by a connection of its own too.
        events: What runs have said.
        handovers: Delivers orphaned runs at once; without it, housekeeping finds them, each second.
    """

    runs: RunStore
    chores: RunStore
    attempts: AttemptStore
    replicas: ReplicaStore
    events: EventLog
    handovers: Handovers | None = None

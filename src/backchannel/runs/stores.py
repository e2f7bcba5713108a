"""The stores of runs."""

from dataclasses import dataclass

from backchannel.budgets.base import Ledger, UsageStore
from backchannel.event_logs.base import EventLog
from backchannel.handovers.base import Handovers
from backchannel.stores.run_store import IdempotencyStore, ReplicaStore, RunStore


@dataclass(frozen=True, slots=True)
class RunStores:
    """Everything that is stored about runs, shared by all replicas.

    Attributes:
        runs: The runs.
        maintenance: The same runs, by a connection that only the rescuer uses: a replica whose requests use up the pool
            must still renew its lease.
        idempotency_keys: Keys of requests.
        replicas: The processes that execute runs; by the rescuer's connection too.
        events: The runs' event logs.
        handovers: Delivers orphaned runs at once; without it, rescuers find them within a second.
        ledger: The accounts of budgets, if there are any.
        usage: What was used for runs that go on in another process, or after their end.
    """

    runs: RunStore
    maintenance: RunStore
    idempotency_keys: IdempotencyStore
    replicas: ReplicaStore
    events: EventLog
    handovers: Handovers | None = None
    ledger: Ledger | None = None
    usage: UsageStore | None = None

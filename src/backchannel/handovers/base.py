"""Delivery of orphaned runs to live replicas, each run to one replica at a time.

A delivery is a hint that saves waiting for the next poll. A replica that receives one takes the run over in the
database, which decides between several. Runs that are never delivered are found by each replica's maintenance.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handover:
    """An orphaned run.

    Attributes:
        former: The dead replica to which the run is still assigned; `None` if it has released the run.
    """

    run_id: str
    former: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A handover that this process has received.

    Attributes:
        id: For `Handovers.acknowledge`.
    """

    id: str
    handover: Handover


class Handovers(ABC):
    """A queue of orphaned runs, with at-least-once delivery, roughly in the order of the offers.

    Every method but `aclose` raises `backchannel.errors.UnavailableError` if the queue cannot be reached.
    """

    @abstractmethod
    async def offer(self, handovers: Sequence[Handover]) -> None:
        """Enqueue runs."""

    @abstractmethod
    async def receive(self, replica: str) -> Sequence[Delivery]:
        """The next deliveries for a replica. Waits for some seconds, then returns none.

        May be cancelled. Deliveries that are lost by that, or not acknowledged within some seconds, are delivered
        again, to any replica.
        """

    @abstractmethod
    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Remove deliveries from the queue, whether or not the runs were taken over. May be repeated."""

    @abstractmethod
    async def leave(self, replica: str) -> None:
        """Deregister a replica that will receive no more."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

"""How orphaned runs reach one of the replicas that live: each is delivered to one of them at a time.

A delivery is a hint, at the speed of a message. Whose run it is decides the database, where a replica that gets one
takes it over, or finds that somebody else has. What is never delivered is found by every replica's housekeeping.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handover:
    """A run that nobody makes any more.

    Attributes:
        run_id: The run.
        former: The dead replica that is still noted as the one that makes it; `None` if it let go of the run.
    """

    run_id: str
    former: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A handover that has reached this process.

    Attributes:
        id: Names it, for `Handovers.done`.
        handover: What was handed over.
    """

    id: str
    handover: Handover


class Handovers(ABC):
    """Delivers orphaned runs, each at least once, roughly in the order they were offered.

    Every method raises `backchannel.errors.UnavailableError` if the means of delivery cannot be reached.
    """

    @abstractmethod
    async def offer(self, handovers: Sequence[Handover]) -> None:
        """Have some runs delivered."""

    @abstractmethod
    async def receive(self, replica: str) -> Sequence[Delivery]:
        """What is delivered to a replica; waits for it for some seconds, then returns nothing.

        May be cancelled. What was on its way then, or was not declared done, is delivered again after a while, to
        whoever asks.
        """

    @abstractmethod
    async def done(self, deliveries: Sequence[Delivery]) -> None:
        """Declare deliveries done, whatever came of them. Doing so again is harmless."""

    @abstractmethod
    async def leave(self, replica: str) -> None:
        """A replica will receive no more."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

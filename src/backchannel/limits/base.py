"""The contract of rate limiters."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple


class Quota(NamedTuple):
    """How many requests something may make in a sliding window.

    Attributes:
        subject: What is limited, such as a user. Equal subjects with equal amounts and seconds share a count.
        amount: The most requests, 1 to 1,000,000.
        seconds: The length of the window, 1 to 86,400.
    """

    subject: str
    amount: int
    seconds: int


class Count(NamedTuple):
    """The state of a quota after a request.

    Attributes:
        remaining: How many requests would be accepted at once.
        reset: Seconds until the window ends, from which on earlier requests count less and less.
        wait: Seconds after which one more request would be accepted, if no others come; 0 if it would be now.
    """

    remaining: int
    reset: float
    wait: float


class Taken(NamedTuple):
    """What became of a request.

    Attributes:
        accepted: Whether it was counted.
        counts: The state of each quota, in the given order. Of a refused request, those that refuse it have a `wait`.
    """

    accepted: bool
    counts: Sequence[Count]


class RateLimiter(ABC):
    """Counts requests in sliding windows.

    A window begins with the first request. In the window after it, the count of the one before weighs as much as it
    still reaches into the last `seconds`. So from the first request on no more than `amount` are accepted within
    `seconds`, in any later period of that length at most twice as many, and over time `amount` for each `seconds`.
    """

    @abstractmethod
    async def take(self, quotas: Sequence[Quota]) -> Taken:
        """Count a request in all quotas, or in none if one of them has no room. Concurrent calls are counted one after
        the other: of a quota of 100, 100 are accepted, however many come at once. Refused requests are not counted.

        Raises:
            UnavailableError: The counts cannot be reached.
        """

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close connections when the server ends. Idempotent."""

"""Which quotas a request counts in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from backchannel.limits.base import Quota
from backchannel.settings.rates import Rate

FOLLOW_FACTOR = 10
"""How many times the limit applies to requests that follow or stop an answer. A browser whose connection breaks asks
again every few seconds, and must not lose the answer because of that."""

type Subject = Literal["user", "address", "tenant"]

type Group = Literal["request", "follow"]
"""What a request does: anything, or follow, look at or stop an answer that was begun by another request, or log out."""


class Limit(NamedTuple):
    """A quota, and what it is of."""

    subject: Subject
    quota: Quota


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of each kind of subject; empty: none."""

    user: Sequence[Rate] = ()
    address: Sequence[Rate] = ()
    tenant: Sequence[Rate] = ()

    def limits(self, group: Group, subject: Subject, *names: str) -> Sequence[Limit]:
        """The limits of one subject.

        Args:
            names: What identifies it. No name contains NUL.
        """
        rates = self.user if subject == "user" else self.address if subject == "address" else self.tenant
        if not rates:
            return ()
        factor = FOLLOW_FACTOR if group == "follow" else 1
        key = "\x00".join((group, subject, *names))
        return [Limit(subject, Quota(key, rate.amount * factor, rate.seconds)) for rate in rates]

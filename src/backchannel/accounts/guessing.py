"""Limits on guessing passwords: after some failures, each further one makes the next try wait twice as long.

Failures are counted by name and network together, and by network alone. A stranger elsewhere therefore cannot keep a
person out; one on the same network can do so only if the person has never logged in from there.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backchannel.errors import BackchannelError
from backchannel.limits.waits import spoken
from backchannel.stores.sql.login_failures import SqlLoginFailures

PAIR_FREE = 5
PAIR_MAX_SECONDS = 900
"""Failures of one name from one network without a wait, and the longest wait after more of them."""

NETWORK_FREE = 50
NETWORK_MAX_SECONDS = 60
"""The same for a network with any names: many people can share one."""

KNOWN_FREE = 100
"""The same of a name from a network from which its owner has logged in before: NIST SP 800-63B revision 4, section
3.2.2, permits 100 failures in a row."""


class TooManyAttemptsError(BackchannelError):
    """Too many failed logins; the request was not looked at."""

    code = "too_many_attempts"
    status = 429


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to log in.

    Attributes:
        pair: The key of the name from this network.
        network: The key of the network.
        known: Whether the account's owner has logged in from this network before.
    """

    pair: str
    network: str
    known: bool

    @property
    def limiting(self) -> Sequence[str]:
        """The keys whose failures limit it. An owner is not kept out by others on a network that they use
        themselves."""
        return [self.pair] if self.known else [self.pair, self.network]


class GuessingLimits:
    """Counts failures and makes further tries wait.

    Args:
        key: The server's secret. Stored keys are digests with it, so that the table names neither people nor addresses.
    """

    def __init__(self, store: SqlLoginFailures, key: bytes) -> None:
        self._store = store
        self._key = key

    def attempt(self, name: str, network: str, *, known: bool) -> Attempt:
        """A try to log in with a name, as it was normalised or given, from a network."""
        return Attempt(self._digest("pair", name, network), self._digest("network", network), known)

    async def check(self, attempt: Attempt, now: datetime) -> None:
        """Check that an attempt need not wait.

        Raises:
            TooManyAttemptsError: It must; `retry_after` says how long.
        """
        found = await self._store.counts(attempt.limiting, now)
        until = [_free_at(*count, *_limits(attempt, key)) for key, count in found.items()]
        wait = max(((each - now).total_seconds() for each in until), default=0.0)
        if wait > 0:
            seconds = max(1, int(wait + 0.999))
            raise TooManyAttemptsError(
                f"Too many failed logins. Try again in {spoken(seconds)}.", retry_after=seconds
            )

    async def failed(self, attempt: Attempt, now: datetime) -> bool:
        """Count a failure; whether the next attempt must wait."""
        counts = await self._store.count([attempt.pair, attempt.network], now)
        return any(counts[key] > _limits(attempt, key)[0] for key in attempt.limiting)

    async def succeeded(self, attempt: Attempt) -> None:
        """Forget the failures of the name from this network. Those of the network stay: a person who has an account
        must not get more guesses for other names by it."""
        await self._store.clear(attempt.pair)

    async def delete_old(self, now: datetime) -> None:
        """Delete counts that are forgotten."""
        await self._store.delete_old(now)

    def _digest(self, *parts: str) -> str:
        text = json.dumps(["login failures", *parts])
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def _limits(attempt: Attempt, key: str) -> tuple[int, int]:
    if attempt.known:
        return KNOWN_FREE, NETWORK_MAX_SECONDS
    return (PAIR_FREE, PAIR_MAX_SECONDS) if key == attempt.pair else (NETWORK_FREE, NETWORK_MAX_SECONDS)


def _free_at(failures: int, last: datetime, free: int, longest: int) -> datetime:
    # The first failure beyond those that are free costs a second.
    over = failures - free
    return last if over < 1 else last + timedelta(seconds=min(2 ** min(over - 1, 20), longest))

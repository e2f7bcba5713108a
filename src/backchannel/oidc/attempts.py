"""Attempts to log in: what is remembered between the way to the provider and the way back."""

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from backchannel.oidc.sealing import Sealer
from backchannel.sessions.tokens import token_hash
from backchannel.stores.sql.login_attempts import SqlLoginAttempts
from backchannel.stores.times import utc_now

ATTEMPT_SECONDS = 600
"""From the way to the provider to the way back. People type passwords and codes meanwhile."""

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt.

    Attributes:
        state: Names it in the answer, and is not guessable.
        nonce: Must be in the ID token.
        verifier: Of PKCE (RFC 7636), 256 random bits.
        redirect_uri: The same in both requests.
        return_to: Where the browser goes afterwards.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    return_to: str


class Attempts:
    """Attempts, shared by all replicas. Each is bound to one browser by a cookie, is good once, and for
    `ATTEMPT_SECONDS`. A browser may have several, one a tab."""

    def __init__(
        self, store: SqlLoginAttempts, sealer: Sealer, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.store = store
        self._sealer = sealer
        self._clock = clock

    async def begin(self, browser: str, redirect_uri: str, return_to: str) -> Attempt:
        """Store a new attempt of a browser.

        Raises:
            UnavailableError: It cannot be stored.
        """
        attempt = Attempt(_random(), _random(), _random(), redirect_uri, return_to)
        key = token_hash(attempt.state)
        sealed = self._sealer.seal(f"attempt {key}", asdict(attempt))
        expires_at = self._clock() + timedelta(seconds=ATTEMPT_SECONDS)
        await self.store.add(key, token_hash(browser), sealed, expires_at)
        return attempt

    async def take(self, state: str, browsers: Sequence[str]) -> Attempt | None:
        """The attempt of a state, if it is of one of these browsers; it is gone then.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        if not is_random(state) or not browsers:
            return None
        key = token_hash(state)
        sealed = await self.store.take(key, [token_hash(each) for each in browsers], self._clock())
        values = None if sealed is None else self._sealer.open(f"attempt {key}", sealed)
        if values is None:
            return None
        attempt = Attempt(**{name: values[name] for name in Attempt.__slots__})
        return attempt if hmac.compare_digest(attempt.state, state) else None


def new_browser() -> str:
    """A value for the cookie by which a browser is known."""
    return _random()


def is_random(text: str) -> bool:
    """Whether a text has the form of a state, or of the cookie of a browser."""
    return _FORM.fullmatch(text) is not None


def _random() -> str:
    return secrets.token_urlsafe(32)

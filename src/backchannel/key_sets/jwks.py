"""Keys that the issuer of tokens publishes at a URL (JWKS), fetched when they are needed."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, override

import httpx2
import structlog
from joserfc.jwk import Key

from backchannel.errors import UnavailableError
from backchannel.key_sets.base import KeySet
from backchannel.key_sets.published import ALGORITHMS, PublishedKeys

log = structlog.get_logger(__name__)

FRESH_SECONDS = 600
"""Age from which the keys are fetched again. A key that its issuer takes back is trusted for as long at most."""

STALE_SECONDS = 24 * 3600
"""Age up to which the keys count while they cannot be fetched: an issuer that is away must not lock people out, and one
that is away for a day should not be trusted for ever."""

COOLDOWN_SECONDS = 10
"""Time between two fetches that unknown keys cause: callers without a valid token can cause them."""

FETCH_SECONDS = 5
MAX_BYTES = 1_000_000
RETRY_AFTER_SECONDS = 5


class JwksKeySet(KeySet):
    """The keys at a URL.

    - One fetch serves all who wait for it, and nobody who goes away ends it.
    - Keys older than `FRESH_SECONDS` are used while new ones are fetched, and after a fetch that failed.
    - An unknown key causes a fetch at once, at most every `COOLDOWN_SECONDS`.

    Args:
        url: The URL of the document.
        clock: Seconds that never go back.
    """

    algorithms: ClassVar = frozenset(ALGORITHMS)

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: PublishedKeys | None = None
        self._fetched_at = self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    @override
    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        now = self._clock()
        if self._keys is None or now - self._fetched_at > STALE_SECONDS:
            # The first fetch of all is never waited off; after a failure the next one is.
            if now - self._tried_at >= COOLDOWN_SECONDS or self._fetching is not None:
                await self._fetch()
            if self._keys is None or self._clock() - self._fetched_at > STALE_SECONDS:
                raise UnavailableError(
                    "The keys that verify bearer tokens cannot be fetched now. Try again in a moment.",
                    retry_after=RETRY_AFTER_SECONDS,
                )
        elif now - self._fetched_at > FRESH_SECONDS and now - self._tried_at >= COOLDOWN_SECONDS:
            self._begin_fetch()
        return self._keys.candidates(algorithm, key_id)

    @override
    async def renewed(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        before = self._keys
        # Keys that were just fetched can be out of date too, but not twice.
        if self._clock() - self._tried_at >= COOLDOWN_SECONDS or self._fetching is not None:
            await self._fetch()
        if self._keys is None or self._keys is before:
            return ()
        return self._keys.candidates(algorithm, key_id)

    @override
    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _fetch(self) -> None:
        await asyncio.shield(self._begin_fetch())

    def _begin_fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._replace_keys(), name="fetch_jwks")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _replace_keys(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                keys = PublishedKeys(json.loads(await self._download()))
        except (OSError, ValueError, RecursionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Also TimeoutError, which is an OSError, and broken JSON, which is a ValueError.
            log.warning("jwks_not_fetched", url=self._url, reason=str(error) or type(error).__name__)
            return
        self._keys, self._fetched_at = keys, self._clock()

    async def _download(self) -> bytes:
        # Fetched so seldom that a connection is not worth keeping open.
        async with (
            httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=True, max_redirects=3) as client,
            client.stream("GET", self._url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"the issuer answered with status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("the document is too large")
            return bytes(body)

"""A JSON document of another server, fetched when it is needed: the keys of an issuer, the endpoints of a provider."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import structlog

log = structlog.get_logger(__name__)

FRESH_SECONDS = 600
"""Age from which the document is fetched again. What its server takes back is trusted for as long at most."""

STALE_SECONDS = 24 * 3600
"""Age up to which the document counts while it cannot be fetched: a server that is away must not lock people out, and
one that is away for a day should not be trusted for ever."""

COOLDOWN_SECONDS = 10
"""Time between two fetches after a failure, or for what is not in the document: strangers can cause them."""

ACCEPT = "application/json, application/jwk-set+json, */*;q=0.1"
"""Some servers of keys have only the type of RFC 7517, section 8.5.2, and answer 406 to whoever does not name it."""

FETCH_SECONDS = 5
MAX_BYTES = 1_000_000


class FetchedDocument[T]:
    """The document at a URL.

    - One fetch serves all who wait for it, and a caller who goes away does not end it.
    - A document older than `FRESH_SECONDS` is used while a new one is fetched, and after a fetch that failed.

    Args:
        url: The URL.
        parse: Makes of the parsed JSON what is returned. Raises `ValueError` for a document that cannot be used; the
            one before it stays.
        event: What a failure is called in the log.
        redirects: How many redirects are followed.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        url: str,
        parse: Callable[[Any], T],
        *,
        event: str,
        redirects: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._parse = parse
        self._event = event
        self._redirects = redirects
        self._clock = clock
        self._document: T | None = None
        self._fetched_at = self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> T | None:
        """The document; `None` if it is not known now."""
        now = self._clock()
        if self._document is None or now - self._fetched_at > STALE_SECONDS:
            # The first fetch of all is never waited off; after a failure the next one is.
            if now - self._tried_at >= COOLDOWN_SECONDS or self._fetching is not None:
                await self._fetch()
            if self._clock() - self._fetched_at > STALE_SECONDS:
                return None
        elif now - self._fetched_at > FRESH_SECONDS and now - self._tried_at >= COOLDOWN_SECONDS:
            self._begin_fetch()
        return self._document

    async def renewed(self) -> T | None:
        """The document after what was looked for was not in it; `None` if it has not been fetched anew."""
        before = self._document
        # A document that was just fetched can be out of date too, but not twice.
        if self._clock() - self._tried_at >= COOLDOWN_SECONDS or self._fetching is not None:
            await self._fetch()
        return None if self._document is before else self._document

    async def aclose(self) -> None:
        """End a fetch that is under way. Idempotent."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _fetch(self) -> None:
        await asyncio.shield(self._begin_fetch())

    def _begin_fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._replace(), name="fetch_document")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _replace(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                document = self._parse(json.loads(await self._download()))
        except (OSError, ValueError, RecursionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Also TimeoutError, which is an OSError, and broken JSON, which is a ValueError.
            log.warning(self._event, url=self.url, reason=str(error) or type(error).__name__)
            return
        self._document, self._fetched_at = document, self._clock()

    async def _download(self) -> bytes:
        # Fetched so seldom that a connection is not worth keeping open.
        async with (
            httpx2.AsyncClient(
                timeout=FETCH_SECONDS, follow_redirects=self._redirects > 0, max_redirects=self._redirects
            ) as client,
            client.stream("GET", self.url, headers={"Accept": ACCEPT}) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"the server answered with status {response.status_code}")
            return await read_bounded(response, MAX_BYTES)


async def read_bounded(response: httpx2.Response, limit: int) -> bytes:
    """The body of a response.

    Raises:
        ValueError: It has more bytes than `limit`.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise ValueError("the document is too large")
    return bytes(body)

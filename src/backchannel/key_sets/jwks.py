"""Keys that the issuer of tokens publishes at a URL (JWKS), fetched when they are needed."""

import time
from collections.abc import Callable, Sequence
from typing import ClassVar, override

from joserfc.jwk import Key

from backchannel.errors import UnavailableError
from backchannel.fetched_document import FetchedDocument
from backchannel.key_sets.base import KeySet
from backchannel.key_sets.published import ALGORITHMS, PublishedKeys

RETRY_AFTER_SECONDS = 5
MAX_REDIRECTS = 3


class JwksKeySet(KeySet):
    """The keys at a URL; see `FetchedDocument` for how long they count. An unknown key causes a fetch at once, at most
    every `COOLDOWN_SECONDS`.

    Args:
        url: The URL of the document.
        clock: Seconds that never go back.
    """

    algorithms: ClassVar = frozenset(ALGORITHMS)

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._document = FetchedDocument(
            url, PublishedKeys, event="jwks_not_fetched", redirects=MAX_REDIRECTS, clock=clock
        )

    @override
    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        keys = await self._document.current()
        if keys is None:
            raise UnavailableError(
                "The keys that verify tokens cannot be fetched now. Try again in a moment.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        return keys.candidates(algorithm, key_id)

    @override
    async def renewed(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        keys = await self._document.renewed()
        return () if keys is None else keys.candidates(algorithm, key_id)

    @override
    async def aclose(self) -> None:
        await self._document.aclose()

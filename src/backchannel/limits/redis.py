"""Counts in Redis 5 or newer, which replicas share."""

import hmac
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, override

from redis.exceptions import RedisError

from backchannel.limits.base import Count, Quota, RateLimiter, Taken
from backchannel.limits.redis_script import TAKE
from backchannel.redis_client import open_client, translate_redis_errors

SERVICE = "The counts of requests"
CONNECTIONS = 16


class RedisRateLimiter(RateLimiter):
    """One round trip for each request, however many quotas it has.

    Args:
        url: See `redis_client.open_client`.
        key: The secret of the server. Names in Redis are digests with it: those of addresses could be guessed without.
        prefix: The prefix of all keys.
        timeout: Seconds that a reply may take.

    Raises:
        ConfigurationError: The URL is invalid.
    """

    def __init__(self, url: str, key: bytes, *, prefix: str = "backchannel", timeout: float = 0.25) -> None:
        self._redis: Any = open_client(url, socket_timeout=timeout, connections=CONNECTIONS)
        self._key = key
        self._prefix = f"{prefix}:limit:"
        self._take = self._redis.register_script(TAKE)

    @override
    async def take(self, quotas: Sequence[Quota]) -> Taken:
        return await self.take_at(quotas, 0)

    async def take_at(self, quotas: Sequence[Quota], now: int) -> Taken:
        """As `take`, at a given time in milliseconds; 0 for now.

        Raises:
            UnavailableError: Redis cannot be reached.
        """
        if not quotas:
            return Taken(accepted=True, counts=())
        arguments = [now]
        for quota in quotas:
            arguments += [quota.amount, quota.seconds * 1000]
        with translate_redis_errors(SERVICE):
            accepted, *numbers = await self._take(keys=[self._name(each) for each in quotas], args=arguments)
        counts = [
            Count(numbers[at], numbers[at + 1] / 1000, numbers[at + 2] / 1000)
            for at in range(0, len(numbers), 3)
        ]
        return Taken(bool(accepted), counts)

    @override
    async def aclose(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    def _name(self, quota: Quota) -> str:
        text = json.dumps(["rate limit", *quota]).encode()
        return self._prefix + hmac.digest(self._key, text, "sha256").hex()[:32]

"""Connections to Redis, and what is said when it cannot be reached."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backchannel.errors import ConfigurationError, UnavailableError

SOCKET_SECONDS = 3.0
"""How long Redis may take to accept a connection or to answer."""

RETRY_AFTER_SECONDS = 2


def open_client(url: str, *, answers_within: float = SOCKET_SECONDS, connections: int) -> Redis:
    """A client whose every wait is bounded. Nothing is connected yet.

    Args:
        url: `redis://[:PASSWORD@]HOST:PORT/DB`, `rediss://…` or `unix://PATH`.
        answers_within: Seconds that an answer may take, blocking commands included.
        connections: How many there may be; who finds all in use waits for `SOCKET_SECONDS`.

    Raises:
        ConfigurationError: The URL is none.
    """
    try:
        pool: Any = cast("Any", BlockingConnectionPool).from_url(
            url,
            max_connections=connections,
            timeout=SOCKET_SECONDS,
            socket_timeout=answers_within,
            socket_connect_timeout=SOCKET_SECONDS,
            # Once, at once: a connection that a restart has ended is found out only by using it.
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
    except ValueError as error:
        raise ConfigurationError(f"BACKCHANNEL_REDIS_URL: {error}") from None
    return Redis.from_pool(pool)


@contextmanager
def reaching(what: str) -> Generator[None]:
    """Tell of `what` when Redis fails within the block.

    Raises:
        UnavailableError: Redis cannot be reached, or refuses.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise UnavailableError(
            f"{what} cannot be reached. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        ) from error

"""Connections to Redis, and the error when it cannot be reached."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backchannel.errors import ConfigurationError, UnavailableError

SOCKET_SECONDS = 3.0
"""How long Redis may take to accept a connection or to reply."""

RETRY_AFTER_SECONDS = 2


def open_client(url: str, *, socket_timeout: float = SOCKET_SECONDS, connections: int) -> Redis:
    """A client whose every wait is bounded. It connects on first use.

    Args:
        url: `redis://[:PASSWORD@]HOST:PORT/DB`, `rediss://…` or `unix://PATH`.
        socket_timeout: Seconds that a reply may take, also that of a blocking command.
        connections: The most connections; when all are in use, a caller waits for up to `SOCKET_SECONDS`.

    Raises:
        ConfigurationError: The URL is invalid.
    """
    try:
        pool: Any = cast("Any", BlockingConnectionPool).from_url(
            url,
            max_connections=connections,
            timeout=SOCKET_SECONDS,
            socket_timeout=socket_timeout,
            socket_connect_timeout=SOCKET_SECONDS,
            # Once, without a pause: that a restart has closed a connection is noticed only when it is used.
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
    except ValueError as error:
        raise ConfigurationError(f"BACKCHANNEL_REDIS_URL: {error}") from None
    return Redis.from_pool(pool)


@contextmanager
def translate_redis_errors(service: str) -> Generator[None]:
    """Raise errors of Redis as `UnavailableError`.

    Args:
        service: What Redis is used for; the subject of the message.

    Raises:
        UnavailableError: Redis cannot be reached, or rejects a command.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise UnavailableError(
            f"{service} cannot be reached. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        ) from error

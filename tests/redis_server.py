"""Redis for tests: the server at 127.0.0.1:6379, or where `TEST_REDIS_URL` says.

Where there is none its tests are skipped, but in continuous integration (`CI=true`) they fail.
"""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

import pytest
import redis

USUAL = "redis://127.0.0.1:6379"


def shared_server() -> str:
    """The address of the server that all tests share. A test uses keys with a prefix of its own."""
    url = os.environ.get("TEST_REDIS_URL", USUAL)
    if not _answers(url):
        _absent(f"No Redis at {url.rpartition('@')[2]}; TEST_REDIS_URL can name another.")
    return url


@contextmanager
def key_prefix(url: str) -> Generator[str]:
    """A prefix for keys that nobody else has; what was kept under it is gone afterwards."""
    prefix = f"backchannel_test_{secrets.token_hex(8)}"
    try:
        yield prefix
    finally:
        with redis.Redis.from_url(url) as client:
            delete_keys(client, prefix)


def delete_keys(client: redis.Redis, prefix: str) -> int:
    """Delete everything under a prefix; how many keys that were."""
    keys = list(client.scan_iter(f"{prefix}:*", count=1000))
    return client.delete(*keys) if keys else 0


@cache
def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _absent(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

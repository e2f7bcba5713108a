"""What `backchannel doctor` checks of database, Redis and event log."""

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

from redis.exceptions import AuthenticationError, RedisError

from backchannel.cli.findings import Finding, ProblemError, clock_finding
from backchannel.errors import UnavailableError
from backchannel.redis_client import open_client
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations, Version, versions
from backchannel.stores.sql.server_info import server_info
from backchannel.wiring import Target, migrations_of, open_database


async def probe_database(settings: Settings, target: Target | None) -> AsyncIterator[Finding]:
    """Whether it answers, whether its tables are those of this version, whether it accepts writes, and its clock."""
    database = open_database(settings)
    try:
        if database.in_memory:
            yield Finding("database", "warning", "BACKCHANNEL_DATABASE_URL: in memory, lost with the process")
            return
        if (file := missing_file(database)) is not None:
            yield Finding("database", "ok", f"{file} does not exist yet; the server makes it when it starts")
            return
        sets: Sequence[Migrations] = await migrations_of(settings, target, database) if target else ()
        # This waits for nobody who migrates at this moment for longer than the probe may take.
        found = await versions(database, *sets)
        information = await server_info(database)
        yield Finding("database", "ok", f"{database.dialect.name} {information.version} answers")
        yield _tables(settings, found)
        if all(version.current is not None for version in found):
            yield await _writable(database)
        if information.clock is not None:
            yield clock_finding("database clock", information.clock - time.time())
    finally:
        await database.close()


def missing_file(database: Database) -> str | None:
    """The file of a database that does not exist yet, if it is one."""
    file = database.url.database
    return file if file and not database.dialect.has_server and not Path(file).exists() else None


def _tables(settings: Settings, found: Sequence[Version]) -> Finding:
    pending = [f"{version.name} {step.partition(':')[0]}" for version in found for step in version.pending]
    if not pending:
        newest = ", ".join(f"{version.name} {version.current}" for version in found)
        return Finding("tables", "ok", f"at the newest version: {newest}")
    steps = f"migrations are pending: {', '.join(pending)}"
    if settings.database_migrate:
        return Finding("tables", "warning", f"{steps}; the server applies them when it starts")
    return Finding("tables", "problem", f"{steps}; run `backchannel db upgrade`")


async def _writable(database: Database) -> Finding:
    try:
        await database.check()
    except UnavailableError as error:
        cause = error.__cause__
        reason = getattr(cause, "orig", None) or cause or error.message
        return Finding("writes", "problem", f"BACKCHANNEL_DATABASE_URL: refused ({reason})")
    return Finding("writes", "ok", "accepted")


async def probe_redis(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Whether it answers, accepts writes and keeps what it has; and which event log is used."""
    if settings.redis_url is None:
        yield Finding("redis", "skipped", "BACKCHANNEL_REDIS_URL is not set")
        yield Finding("event log", "ok", "in the database")
        return
    client: Any = open_client(settings.redis_url.get_secret_value(), connections=1)
    try:
        information = cast("dict[str, Any]", await client.info())
        yield Finding("redis", "ok", f"{information.get('redis_version', 'some version')} answers")
        policy = str(information.get("maxmemory_policy", "noeviction"))
        if policy.startswith("allkeys"):
            yield Finding(
                "redis",
                "warning",
                f"maxmemory-policy {policy} may remove events of runs in progress; use noeviction",
            )
        if information.get("role") == "slave" or information.get("loading"):
            yield Finding(
                "redis",
                "problem",
                "BACKCHANNEL_REDIS_URL: a read-only replica, or still loading; name the primary",
            )
        seconds, microseconds = await client.time()
        yield clock_finding("redis clock", seconds + microseconds / 1e6 - time.time())
        # A command that every event log needs, on a key that is not there.
        await client.xlen("backchannel:doctor")
        yield Finding("event log", "ok", "in Redis")
    except AuthenticationError as error:
        raise ProblemError(f"BACKCHANNEL_REDIS_URL: the password is refused ({error})") from None
    except (RedisError, OSError) as error:
        raise ProblemError(f"BACKCHANNEL_REDIS_URL: Redis cannot be used ({error})") from None
    finally:
        await client.aclose()

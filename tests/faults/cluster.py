"""Replicas of `backchannel serve` over one database, as processes that can be killed, paused and started again."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import OctKey

from databases import database_with_tables
from faults.model_server import MODEL, ModelServer
from faults.redis_server import RedisServer
from processes import Process, free_port, until

TARGET = "faults.app:agent"
SECRET = "0123456789abcdef0123456789abcdef"
START_SECONDS = 60
LEASE_SECONDS = 10
"""Long: a process of this machine that dies is noticed at once, and one that is merely slow must not count as dead."""


class Replica:
    """One replica, always on the same port.

    Args:
        environment: Of each start.
    """

    def __init__(self, name: str, folder: Path, environment: dict[str, str], target: str = TARGET) -> None:
        folder.mkdir(parents=True)
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = Process(folder / f"{name}.log")
        self._environment = environment
        self._target = target

    def launch(self, *, fresh: bool = False, **environment: str) -> None:
        """Start it, and do not wait until it can be used.

        Args:
            fresh: Start the interpreter anew, for what must be there before it is.
            environment: Further variables, of this start only.
        """
        arguments = ["serve", self._target, "--port", str(self.port)]
        variables = self._environment | environment
        if fresh:
            self.process.execute([sys.executable, "-m", "backchannel", *arguments], variables)
        else:
            self.process.fork(arguments, variables)

    async def start(self, *, fresh: bool = False, **environment: str) -> None:
        """Start it and wait until it can be used."""
        self.launch(fresh=fresh, **environment)
        await self.ready()

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until it says that it can be used."""
        async with httpx2.AsyncClient(timeout=5, verify=False) as client:

            async def is_ready() -> bool:
                assert self.process.alive, f"{self.name} did not start:\n{self.process.told()[-3000:]}"
                try:
                    return (await client.get(f"{self.url}/health/ready")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until(is_ready, f"{self.name} can be used", seconds)

    async def restart(self, **environment: str) -> None:
        """`kill -9`, and a new start."""
        await self.process.kill()
        await self.start(**environment)


@dataclass
class Cluster:
    """Replicas that share a database.

    Attributes:
        model: What answers.
        folder: Where the processes work and where their logs are.
        database_url: Of the database; empty at first.
        redis: Of its own, where there is one.
        replicas: In the order in which they were made.
    """

    model: ModelServer
    folder: Path
    database_url: str
    redis: RedisServer | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Of all replicas."""
        return [replica.url for replica in self.replicas]

    def replica(self, name: str | None = None, *, target: str = TARGET, **settings: Any) -> Replica:
        """A further replica, which is not started yet."""
        name = name or "abcdefgh"[len(self.replicas)]
        environment = self._environment(settings)
        replica = Replica(name, self.folder / name, environment, target)
        self.replicas.append(replica)
        return replica

    async def start(self, count: int) -> list[Replica]:
        """Start further replicas, all at once."""
        started = [self.replica() for _ in range(count)]
        await asyncio.gather(*(replica.start() for replica in started))
        return started

    def open_gate(self, name: str) -> None:
        """Let a `slow` tool go on."""
        (self.folder / "gates" / name).touch()

    def ledger(self, tool: str, value: str) -> list[dict[str, Any]]:
        """What a tool has done with one value, each time that it ran."""
        path = self.folder / "ledger"
        lines = map(json.loads, path.read_text().splitlines() if path.exists() else [])
        return [line for line in lines if (line["tool"], line["value"]) == (tool, value)]

    def _environment(self, settings: dict[str, Any]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "BACKCHANNEL_", "FAULTS_", "PYTHONDONTWRITE"))
        }
        here = str(Path(__file__).parents[1])
        paths = [path for path in (os.environ.get("PYTHONPATH"), here) if path]
        values = {
            "database_url": self.database_url,
            "auth": "jwt",
            "jwt_secret": SECRET,
            "model": MODEL,
            "titles": "rule",
            "heartbeat_seconds": 0.5,
            "lease_seconds": LEASE_SECONDS,
            # All people of a test come from one address.
            "rate_limit": "off",
            "rate_limit_address": "off",
            "log_format": "console",
            **({"redis_url": self.redis.url} if self.redis else {}),
            **self.settings,
            **settings,
        }
        return kept | {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": self.model.url,
            "FAULTS_LEDGER": str(self.folder / "ledger"),
            "FAULTS_GATES": str(self.folder / "gates"),
            **{f"BACKCHANNEL_{name.upper()}": str(value) for name, value in values.items()},
        }


@asynccontextmanager
async def running(
    kind: str, folder: Path, model: ModelServer, replicas: int = 0, **settings: Any
) -> AsyncGenerator[Cluster]:
    """Replicas on a database of a kind without rows: `sqlite`, `postgresql`, `mariadb`, or one of them with `+redis`; or on
    the one at an address."""
    _make(folder / "gates")
    database, _, with_redis = kind.partition("+")
    async with AsyncExitStack() as stack:
        is_address = "://" in kind
        url = kind if is_address else stack.enter_context(database_with_tables(database, folder))
        redis = await stack.enter_async_context(RedisServer(folder)) if with_redis else None
        cluster = Cluster(model, folder, url, redis, settings)
        stack.push_async_callback(stop_all, cluster)
        await cluster.start(replicas)
        yield cluster


def _make(folder: Path) -> None:
    folder.mkdir(parents=True)


async def stop_all(cluster: Cluster) -> None:
    """Kill what still runs."""
    await asyncio.gather(*(replica.process.kill() for replica in cluster.replicas if replica.process.alive))


def token_of(user: str) -> str:
    """A bearer token that says who somebody is, for a day."""
    claims = {"sub": user, "exp": int(time.time()) + 86_400}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))

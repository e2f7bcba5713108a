"""A Redis server of the test's own."""

from pathlib import Path
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from processes import Process, find_program, free_port, until

START_SECONDS = 20


class RedisServer:
    """Redis on a port of its own. What it knows is gone when it is killed, as with any cache.

    Args:
        keep: Whether it writes down all it does and knows it again after a restart.
    """

    def __init__(self, folder: Path, *, keep: bool = False) -> None:
        self._program = find_program("redis-server", "redis-server")
        self._folder = folder
        self._keep = keep
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = Process(folder / "redis.log")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.process.kill()

    async def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "yes" if self._keep else "no",
            "dir": self._folder,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.process.execute([self._program, *arguments])
        async with Redis.from_url(self.url) as client:
            await until(lambda: _answers(client), "Redis answers", START_SECONDS)

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.process.kill()
        await self.start()


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False

"""A PostgreSQL server of the test's own, which may be stopped, killed and started as one likes."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import asyncpg

from processes import Process, find_program, free_port, unavailable, until

START_SECONDS = 40
USER = "postgres"


class PostgresqlServer:
    """PostgreSQL on a port of its own.

    Args:
        folder: Where its log goes.
    """

    def __init__(self, folder: Path) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not folders:
            find_program("postgres", "postgresql")
        self._programs = folders[-1]
        # The server refuses to run as root, and its user may not look into the folders of the tests.
        self._user = USER if os.geteuid() == 0 else None
        self.port = free_port()
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        self.process = Process(folder / "postgresql.log")

    async def __aenter__(self) -> Self:
        self._data = Path(tempfile.mkdtemp(prefix="postgresql-"))
        if self._user:
            shutil.chown(self._data, self._user)
        try:
            subprocess.run(  # noqa: ASYNC221 - there is nothing else to do meanwhile
                [self._programs / "initdb", "-D", self._data, "-U", USER, "-A", "trust", "--no-sync"],
                check=True,
                capture_output=True,
                cwd=self._data,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
            )
        except (KeyError, LookupError):
            unavailable(f"There is no user {USER} to run a PostgreSQL server.")
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.alive:
            self.process.signal(signal.SIGQUIT)
            await self.process.ended()
        shutil.rmtree(self._data)

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        arguments = ["-D", str(self._data), "-p", str(self.port), *settings]
        self.process.execute([str(self._programs / "postgres"), *arguments], user=self._user, cwd=self._data)
        await until(self._answers, "PostgreSQL takes connections", START_SECONDS)

    async def crash(self) -> None:
        """Cut all connections at once; what was not committed is lost."""
        self.process.signal(signal.SIGQUIT)
        await self.process.ended()

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

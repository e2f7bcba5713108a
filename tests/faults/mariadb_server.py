"""A MariaDB server of the test's own, which may be made read-only and given small limits."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self, cast

import asyncmy
from asyncmy.errors import MySQLError

from processes import Process, find_program, free_port, unavailable, until

START_SECONDS = 40
OWNER = "mysql"
USER = "app"
"""Has all rights on the database, and no right to write while the server is read-only."""


class MariadbServer:
    """MariaDB on a port of its own.

    Args:
        folder: Where its log goes.
        options: Of the server, such as `{"max_allowed_packet": "1M"}`.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        self._program = find_program("mariadbd", "mariadb-server")
        self._install = find_program("mariadb-install-db", "mariadb-server")
        self._options = options
        self._owner = OWNER if os.geteuid() == 0 else None
        self.port = free_port()
        self.url = f"mysql://{USER}@127.0.0.1:{self.port}/chat"
        self.process = Process(folder / "mariadb.log")

    async def __aenter__(self) -> Self:
        self._data = Path(tempfile.mkdtemp(prefix="mariadb-"))
        try:
            if self._owner:
                shutil.chown(self._data, self._owner)
            subprocess.run(  # noqa: ASYNC221 - there is nothing else to do meanwhile
                [
                    self._install,
                    "--no-defaults",
                    f"--datadir={self._data}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ],
                check=True,
                capture_output=True,
                user=self._owner,
                group=self._owner,
                extra_groups=[] if self._owner else None,
            )
        except (KeyError, LookupError):
            unavailable(f"There is no user {OWNER} to run a MariaDB server.")
        await self.start()
        await self.execute("CREATE DATABASE chat CHARACTER SET utf8mb4")
        await self.execute(f"CREATE USER '{USER}'@'%'")
        await self.execute(f"GRANT ALL ON chat.* TO '{USER}'@'%'")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.alive:
            self.process.signal(signal.SIGKILL)
            await self.process.ended()
        shutil.rmtree(self._data)

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {
            "datadir": str(self._data),
            "port": str(self.port),
            "bind-address": "127.0.0.1",
            "socket": str(self._data / "socket"),
            "pid-file": str(self._data / "pid"),
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-buffer-pool-size": "32M",
            **self._options,
        }
        arguments = [
            "--no-defaults",
            "--skip-name-resolve",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        self.process.execute([str(self._program), *arguments], user=self._owner, cwd=self._data)
        await until(self._answers, "MariaDB takes connections", START_SECONDS)

    async def execute(self, statement: str) -> None:
        """Execute a statement as root."""
        connection = await cast("Any", asyncmy).connect(host="127.0.0.1", port=self.port, user="root")
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
        connection.close()

    async def _answers(self) -> bool:
        try:
            await self.execute("SELECT 1")
        except (OSError, MySQLError, TimeoutError):
            return False
        return True

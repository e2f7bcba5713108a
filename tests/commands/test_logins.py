"""Two servers as processes of their own, the commands beside them, and people who log in meanwhile."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from backchannel.todo.tables import MIGRATIONS as TODO
from databases import database_with_tables
from people_who_log_in import PASSWORD
from processes import Process, free_port, until

pytestmark = pytest.mark.row("F2", "F3b", "H2", "H4")


class Deployment:
    """Two servers on one database."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.ports = [free_port(), free_port()]
        self._processes = [Process(folder / f"server-{number}.log") for number in range(2)]

    def start(self) -> None:
        for process, port in zip(self._processes, self.ports, strict=True):
            process.fork(["serve", "--port", str(port)], self.environment)

    async def ready(self, http: httpx2.AsyncClient) -> None:
        async def answers(port: int) -> bool:
            try:
                return (await http.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200
            except httpx2.HTTPError:
                return False

        for port in self.ports:
            await until(lambda port=port: answers(port), f"the server at {port} answers", 60)

    async def stop(self) -> None:
        for process in self._processes:
            await process.kill()

    def command(self, *arguments: str, piped: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "backchannel", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=piped,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout

    def told(self) -> str:
        return "".join(each.told() for each in self._processes)


@pytest.fixture
def deployment(child_environment: dict[str, str], tmp_path: Path) -> Iterator[Deployment]:
    with database_with_tables("postgresql", tmp_path, TODO) as url:
        settings = {
            "DATABASE_URL": url,
            "AUTH": "password",
            "SECRET_KEY": "k" * 32,
            "PASSWORD_HASH_MEMORY_MIB": "19",
        }
        variables = {f"BACKCHANNEL_{name}": value for name, value in settings.items()}
        yield Deployment(tmp_path, {**child_environment, **variables})


async def test_processes_agree_on_tokens_and_on_who_is_out(deployment: Deployment) -> None:
    deployment.start()
    try:
        async with httpx2.AsyncClient(timeout=30) as http:
            await deployment.ready(http)
            deployment.command("user", "add", "alice", piped=f"{PASSWORD}\n")
            personal = deployment.command("token", "--user", "alice").strip()
            first, second = (f"http://127.0.0.1:{port}" for port in deployment.ports)
            fields = {"grant_type": "password", "username": "alice", "password": PASSWORD}
            pair = (await http.post(f"{first}/auth/token", data=fields)).json()
            fields = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
            answers = await asyncio.gather(
                *(http.post(f"{url}/auth/token", data=fields) for url in [first, second] * 5)
            )
            assert {each.status_code for each in answers} == {200}
            assert len({each.json()["refresh_token"] for each in answers}) == 1
            access = answers[0].json()["access_token"]
            for token in (access, personal):
                assert await statuses(http, (first, second), token) == [200, 200]
            deployment.command("user", "disable", "alice")
            for token in (access, personal):
                assert await statuses(http, (first, second), token) == [401, 401]
        told = deployment.told()
        assert "backchannel user add NAME" in told
        for secret in (PASSWORD, access, personal, pair["refresh_token"]):
            assert secret not in told
    finally:
        await deployment.stop()


async def statuses(http: httpx2.AsyncClient, urls: Any, token: str) -> list[int]:
    headers = {"authorization": f"Bearer {token}"}
    return [(await http.get(f"{url}/auth/me", headers=headers)).status_code for url in urls]

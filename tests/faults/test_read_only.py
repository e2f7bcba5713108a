"""Databases that accept no changes for a while, as in a fail-over: the former primary answers reads and refuses writes.

What must hold is what holds for one that is away: requests are 503 with `Retry-After`, the replica is not ready, and
answers in progress go on when changes are accepted again. Connections to the server that refuses are given up.

zalando/patroni users (gpustack/gpustack#6105, lidofinance/lido-keys-api#268), Aurora and RDS (sidorares/node-mysql2#2050,
brettwooldridge/HikariCP#2185, dialoguemd/fastapi-sqla PR#79, go-sql-driver/mysql PR#604, MagicStack/asyncpg PR#253): the
pool kept its connections to the old primary, and every write failed until somebody restarted the process, days later.
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx2
import pytest

from faults.cluster import running
from faults.mariadb_server import MariadbServer
from faults.model_server import ModelServer, whole
from faults.postgresql_server import PostgresqlServer
from faults.talker import Person, texts
from processes import until, within

pytestmark = pytest.mark.row("R3")


@dataclass
class Server:
    """A database server that can refuse writes.

    Attributes:
        refuse: Makes it refuse writes, also on connections that are open, or accept them again.
    """

    url: str
    refuse: Callable[[bool], Awaitable[None]]


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    async with AsyncExitStack() as stack:
        if request.param == "postgresql":
            postgresql = await stack.enter_async_context(PostgresqlServer(folder))

            async def refuse(refuses: bool) -> None:
                connection = await asyncpg.connect(postgresql.url)
                await connection.execute("SET default_transaction_read_only = off")
                on = "on" if refuses else "off"
                # The connections that are open take it over, and those that point at a former primary stay as they are.
                await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {on}")
                await connection.execute("SELECT pg_reload_conf()")
                await connection.close()

            yield Server(postgresql.url, refuse)
        else:
            mariadb = await stack.enter_async_context(MariadbServer(folder))

            async def refuse(refuses: bool) -> None:
                await mariadb.execute(f"SET GLOBAL read_only = {int(refuses)}")

            yield Server(mariadb.url, refuse)


@within(60)
async def test_a_database_that_refuses_changes_is_waited_for(
    server: Server, model: ModelServer, tmp_path: Path
):
    label = f"m{secrets.token_hex(4)}"
    async with (
        running(server.url, tmp_path / "replicas", model, 1) as cluster,
        Person(cluster.urls) as ada,
        httpx2.AsyncClient(verify=False, timeout=20, headers=ada.headers) as client,
    ):
        url = cluster.urls[0]
        held = await ada.ask(f"{label}: call record {label} then tokens 40 hold {label} at 20")
        await held.until_said(":19 ")
        await server.refuse(True)
        try:

            async def not_ready() -> bool:
                return (await client.get(f"{url}/health/ready")).status_code == 503

            await until(not_ready, "it says that it cannot be used", 10)
            # The model goes on, and what it says is waited for.
            model.gate(label).set()
            body = {"input": {"type": "user_message", "content": [{"type": "text", "text": "hello"}]}}
            refused = await client.post(f"{url}/api/chatkit/stream", json=body)
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.json()["code"] == "unavailable"
            assert "no changes" in refused.json()["message"]
            await until(lambda: model.of(label)[-1].ended, "the model has said everything", 10)
            assert (await client.get(f"{url}/api/chatkit/runs/{held.run_id}")).json()["status"] == "running"
        finally:
            await server.refuse(False)
        await cluster.replicas[0].ready(15)
        await held.finish()
        assert (held.errors, held.run["status"]) == ([], "completed")
        assert whole(held.text, label, 40)
        assert len(texts(await ada.sees_what_is_kept(held))) == 2
        assert len(cluster.ledger("record", label)) == 1
        last = await ada.say(f"{label}last: say still here", held)
        assert texts(await ada.sees_what_is_kept(last))[-1] == "still here "
        assert "internal_error" not in cluster.replicas[0].process.told()

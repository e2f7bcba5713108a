"""A database that swallows what it is sent, as behind a firewall that drops packets: nothing is refused, nothing comes back.

MagicStack/asyncpg#1247 and #431, neo4j/neo4j-python-driver#1309, hushh-labs/hushh-research#5871, MemMachine/MemMachine PR#1552:
requests waited for as long as the kernel repeats packets, or until the proxy in front gave up, and tied up everything else.
"""

import asyncio
import secrets
import time
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.engine import make_url

from databases import database_with_tables
from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.network import Network
from faults.talker import Person, texts
from processes import until, within

pytestmark = pytest.mark.row("R7")

LIMIT = 2.0
"""`BACKCHANNEL_DATABASE_REQUEST_TIMEOUT_SECONDS`."""
SLACK = 3.0
"""For a busy machine. Without the deadline it takes a minute."""


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@within(60)
async def test_requests_wait_for_a_silent_database_until_one_deadline(
    kind: str, model: ModelServer, tmp_path: Path
):
    label = f"m{secrets.token_hex(4)}"
    with database_with_tables(kind, tmp_path) as url:
        address = make_url(url)
        async with Network(address.port or 0) as network:
            through = address.set(port=network.port).render_as_string(hide_password=False)
            async with (
                running(
                    through,
                    tmp_path / "replicas",
                    model,
                    1,
                    database_request_timeout_seconds=LIMIT,
                    database_statement_timeout_seconds=5,
                ) as cluster,
                Person(cluster.urls) as ada,
                httpx2.AsyncClient(
                    verify=False, timeout=60, headers=ada.headers, base_url=cluster.urls[0]
                ) as client,
            ):
                held = await ada.ask(f"{label}: tokens 40 hold {label} at 20")
                await held.until_said(":19 ")
                network.swallow()
                model.gate(label).set()
                body = {"input": {"type": "user_message", "content": [{"type": "text", "text": "hello"}]}}
                listing = {"type": "threads.list", "params": {"limit": 10, "order": "desc"}}

                async def timed(method: str, path: str, json: object = None) -> tuple[httpx2.Response, float]:
                    began = time.monotonic()
                    response = await client.request(method, path, json=json)
                    return response, time.monotonic() - began

                # Twice, and more at once than there are connections: of the pool, what is lost must not be waited for.
                for _ in range(2):
                    answers = await asyncio.gather(
                        *(timed("POST", "/api/chatkit/stream", body) for _ in range(8)),
                        *(timed("POST", "/api/chatkit", listing) for _ in range(8)),
                        *(timed("GET", f"/api/chatkit/runs/{held.run_id}") for _ in range(8)),
                    )
                    for response, seconds in answers:
                        assert response.status_code == 503, response.text
                        assert int(response.headers["Retry-After"]) >= 1
                        assert seconds < LIMIT + SLACK, response.request.url
                ready, seconds = await timed("GET", "/health/ready")
                assert ready.status_code == 503
                assert seconds < 5
                network.restore()
                await cluster.replicas[0].ready(20)
                await held.finish()
                assert (held.errors, held.run["status"]) == ([], "completed")
                assert whole(held.text, label, 40)
                assert len(texts(await ada.sees_what_is_kept(held))) == 2

                async def is_answered() -> bool:
                    return (await timed("GET", f"/api/chatkit/runs/{held.run_id}"))[0].status_code == 200

                await until(is_answered, "requests are answered again", 10)

"""The programs of MCP servers end with `backchannel serve`, however it ends."""

import json
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from field.mcp_chat import SCRIPTS, free_port, lives
from processes import Process, until, within

pytestmark = pytest.mark.row("M20", "B9")


@within(60)
async def test_the_programs_of_a_server_end_with_it(tmp_path: Path, child_environment: dict[str, str]):
    """DeusData/codebase-memory-mcp#406, NousResearch/hermes-agent#60015, wirux/mcp-markdown-vault#45: servers that stay when
    their client is killed, 250 to 500 MB each; anthropics/claude-code#76306: and those that ignore SIGTERM."""
    logs = {name: tmp_path / f"{name}.log" for name in ("plain", "stubborn")}
    for log in logs.values():
        log.touch()
    servers = {
        name: {
            "command": sys.executable,
            "args": ["-S", str(SCRIPTS / "files.py"), str(log)],
            "env": {"IGNORES_ENDS": "1"} if name == "stubborn" else {},
        }
        for name, log in logs.items()
    }
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    environment = {**child_environment, "BACKCHANNEL_MCP_SERVERS": str(tmp_path / "mcp.json")}
    serve = Process(tmp_path / "serve.log")

    async def started() -> dict[str, int]:
        """Start it, and wait for its servers; their processes."""
        port = free_port()
        serve.fork(["serve", "--port", str(port)], environment)

        async def connected() -> bool:
            assert serve.alive, serve.told()[-3000:]
            try:
                async with httpx2.AsyncClient() as client:
                    health = (await client.get(f"http://127.0.0.1:{port}/health")).json()
            except httpx2.TransportError:
                return False
            return all(each["status"] == "connected" for each in health["mcp_servers"].values())

        await until(connected, "the servers are connected", 40)
        return {name: int(log.read_text().split()[-1]) for name, log in logs.items()}

    try:
        first = await started()
        assert all(map(lives, first.values()))
        assert await serve.terminate() == 0
        assert not any(map(lives, first.values()))

        second = await started()
        await serve.kill()
        await until(lambda: not lives(second["plain"]), "its standard input has ended")
        # Nothing tells it; the next Backchannel on the machine ends it. This can be one of a test that runs at the same
        # time, and so what the log says is shown in tests/unit/mcp/test_proxy.py.
        third = await started()
        await until(lambda: not lives(second["stubborn"]), "the orphan was ended")
        assert all(map(lives, third.values()))
        serve.signal(signal.SIGTERM)
        await serve.ended()
        assert not any(map(lives, third.values()))
    finally:
        await serve.kill()

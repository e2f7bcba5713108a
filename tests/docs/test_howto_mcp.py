"""What docs/howto/connect-mcp-servers.md promises (H14)."""

import os
from pathlib import Path

import pytest

from backchannel.mcp.configuration import load_mcp_servers
from backchannel.settings import Settings
from backchannel.targets import load_target
from backchannel.testing import ChatKitClient
from backchannel.wiring import build
from docs.conftest import DOCS, listening

pytestmark = pytest.mark.row("H14", "B9")


def children(script: str) -> list[int]:
    """The processes that this one started with a script as an argument."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_text().split("\0")
            parent = int((path / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if script in arguments and parent == os.getpid():
            found.append(int(path.name))
    return found


async def test_a_tool_of_the_server_answers_and_its_process_ends_with_ours(write_page, folder, eventually):
    write_page("connect-mcp-servers.md")
    backchannel = build(Settings.load(), load_target("weather:agent"))
    assert children("weather_server.py") == []
    async with listening(backchannel) as url, ChatKitClient(url) as person:
        events = await (await person.say("call get_weather city=Paris")).events()
        texts = [
            part["text"] for each in events if "item" in each for part in each["item"].get("content", [])
        ]
        assert "It is sunny in Paris." in texts[-1]
        assert len(children("weather_server.py")) == 1
        assert (await person.http.get("/health")).json()["mcp_servers"] == {
            "weather": {"status": "connected", "tools": 1}
        }
    await eventually(lambda: not children("weather_server.py"), "the process of the MCP server is gone")


async def test_a_server_that_does_not_start_costs_its_tools(write_page, folder):
    write_page("connect-mcp-servers.md")
    (folder / "weather_server.py").write_text("raise SystemExit('no weather today')")
    backchannel = build(Settings.load(), load_target("weather:agent"))
    async with listening(backchannel) as url, ChatKitClient(url) as person:
        events = await (await person.say("hello")).events()
        assert "The tools of weather are not available right now." in str(events)
        assert [each for each in events if each["type"] == "error"] == []


async def test_the_file_of_the_page_is_accepted(folder):
    page = (DOCS / "howto" / "connect-mcp-servers.md").read_text(encoding="utf-8")
    (folder / "mcp.json").write_text(page.split("```json\n")[1].split("```")[0])
    assert [each.name for each in load_mcp_servers(folder / "mcp.json")] == ["files", "tickets"]

"""The file of `BACKCHANNEL_MCP_SERVERS`."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp

from backchannel.errors import ConfigurationError
from backchannel.mcp.configuration import ConfiguredServer, load_mcp_servers

pytestmark = pytest.mark.row("B9")


def load(path: Path, content: object) -> list[ConfiguredServer]:
    file = path / "mcp.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return load_mcp_servers(file)


def one(path: Path, **entry: Any) -> ConfiguredServer:
    return load(path, {"mcpServers": {"weather": entry}})[0]


def test_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.delenv("MISSING", raising=False)
    made = one(
        tmp_path, command="npx", args=["-y", "${MISSING:-x}"], env={"KEY": "a${TOKEN}b"}, cwd="/", timeout=7
    ).make()
    assert isinstance(made, MCPServerStdio)
    assert (made.name, made.params.command, made.params.args) == ("weather", "npx", ["-y", "x"])
    assert (made.params.env, str(made.params.cwd)) == ({"KEY": "at0kenb"}, "/")
    assert made.client_session_timeout_seconds == 7


def test_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = one(tmp_path, url="https://${HOST}/mcp", headers={"X": "y"}, type="http", required=True)
    assert server.required
    for host in ("one.example", "two.example"):
        monkeypatch.setenv("HOST", host)
        made = server.make()
        assert isinstance(made, MCPServerStreamableHttp)
        assert made.params["url"] == f"https://{host}/mcp"


def test_a_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MISSING", raising=False)
    server = one(tmp_path, command="x", env={"KEY": "${MISSING}"})
    server.template()
    with pytest.raises(ConfigurationError, match=r"MISSING .*mcpServers\.weather\.env\.KEY"):
        server.make()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ([], "mcpServers"),
        ({"mcpServers": []}, "mcpServers"),
        ({"mcpServers": {"a b": {"command": "x"}}}, r"mcpServers\.a b: a name has"),
        ({"mcpServers": {"w": "x"}}, r"mcpServers\.w"),
        ({"mcpServers": {"w": {}}}, r"mcpServers\.w: needs either `command` or `url`"),
        ({"mcpServers": {"w": {"command": "x", "url": "y"}}}, r"mcpServers\.w: needs either"),
        ({"mcpServers": {"w": {"command": "x", "args": [7]}}}, r"mcpServers\.w\.args\.0"),
        ({"mcpServers": {"w": {"command": "x", "timeout": 0}}}, r"mcpServers\.w\.timeout"),
        ({"mcpServers": {"w": {"url": "x", "type": "websocket"}}}, r"mcpServers\.w\.type"),
        (
            {"mcpServers": {"w": {"url": "x", "require_approval": "always"}}},
            r"mcpServers\.w\.require_approval",
        ),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, content: object, said: str):
    with pytest.raises(ConfigurationError, match=said) as refused:
        load(tmp_path, content)
    assert refused.value.message.startswith(f"BACKCHANNEL_MCP_SERVERS: {tmp_path / 'mcp.json'}")
    assert "\n" not in refused.value.message


def test_a_file_that_is_missing(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_mcp_servers(tmp_path / "mcp.json")


def test_an_unknown_key_is_a_warning(tmp_path: Path):
    with structlog.testing.capture_logs() as logs:
        one(tmp_path, command="x", alwaysAllow=["look"])
    assert [(each["event"], each["key"]) for each in logs] == [("mcp_servers_key_unknown", "alwaysAllow")]


def test_names_of_tools(tmp_path: Path):
    """github/copilot-cli#1879: names that OpenAI refuses."""
    server = one(tmp_path, command="x")
    assert server.tool_name("look") == "weather__look"
    odd = [server.tool_name(each) for each in ("a.b/c", "a_b_c", "a.b.c", "", "é", "x" * 64, "x" * 65)]
    assert len(set(odd)) == len(odd)
    assert all(len(each) <= 64 and each.isascii() for each in odd)

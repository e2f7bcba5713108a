"""MCP servers from a file: `BACKCHANNEL_MCP_SERVERS`."""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import structlog
from agents.mcp import MCPServer, MCPServerSse, MCPServerStdio, MCPServerStreamableHttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backchannel.errors import ConfigurationError
from backchannel.mcp.names import tool_name

log = structlog.get_logger(__name__)

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


class _Entry(BaseModel):
    """One server, as in the file. `type` and `disabled` are understood because other programs write them; of the types
    only `sse` makes a difference."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["stdio", "http", "streamable-http", "streamableHttp", "sse"] | None = None
    command: str | None = None
    args: list[str] = Field(default_factory=list[str])
    env: dict[str, str] = Field(default_factory=dict[str, str])
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None
    required: bool = False
    require_approval: bool | list[str] = False
    disabled: bool = False

    @model_validator(mode="after")
    def _check_kind(self) -> "_Entry":
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either `command` or `url`")
        return self


class ConfiguredServer:
    """One server of the file.

    Attributes:
        name: Its name in the file.
        required: Whether the replica counts as unavailable while the server is down.
    """

    def __init__(self, name: str, entry: _Entry) -> None:
        self.name = name
        self.required = entry.required
        self._entry = entry

    def make(self) -> MCPServer:
        """The server, to be connected, with the variables of the environment as they are now.

        Raises:
            ConfigurationError: A variable is not set.
        """
        return self._build(partial(_expand, self.name))

    def template(self) -> MCPServer:
        """The server with its variables as they are written; it is not connected."""
        return self._build(_as_written)

    def tool_name(self, name: str) -> str:
        """The name that agents get for the server's own name of a tool; see `names.tool_name`."""
        return tool_name(name, self.name)

    def _build(self, expand: Callable[[str, str], str]) -> MCPServer:
        entry = self._entry
        names = entry.require_approval
        approval: Any = names if isinstance(names, bool) else {"always": {"tool_names": names}}
        options: dict[str, Any] = {
            "name": self.name,
            "require_approval": approval,
            "client_session_timeout_seconds": entry.timeout,
        }
        if entry.command is not None:
            params: Any = {
                "command": expand("command", entry.command),
                "args": [expand("args", each) for each in entry.args],
                "env": {key: expand(f"env.{key}", value) for key, value in entry.env.items()},
            }
            if entry.cwd is not None:
                params["cwd"] = expand("cwd", entry.cwd)
            return MCPServerStdio(params, **options)
        assert entry.url is not None
        headers = {key: expand(f"headers.{key}", value) for key, value in entry.headers.items()}
        url = expand("url", entry.url)
        if entry.type == "sse":
            return MCPServerSse({"url": url, "headers": headers}, **options)
        return MCPServerStreamableHttp({"url": url, "headers": headers}, **options)


def load_mcp_servers(path: Path) -> list[ConfiguredServer]:
    """The servers of a file, in its order, without those that are `disabled`.

    Raises:
        ConfigurationError: The file cannot be read, or something in it is wrong. The message names the file and the
            key, and no value.
    """
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"BACKCHANNEL_MCP_SERVERS: {path} cannot be read ({error.strerror})."
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"BACKCHANNEL_MCP_SERVERS: {path} is not JSON in UTF-8 ({error}).") from None
    entries = cast("object", content.get("mcpServers")) if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType]
    if not isinstance(entries, dict):
        raise ConfigurationError(
            f'BACKCHANNEL_MCP_SERVERS: {path} needs an object `{{"mcpServers": {{…}}}}`.'
        )
    servers: list[ConfiguredServer] = []
    for name, value in cast("Mapping[str, object]", entries).items():
        entry = _entry(path, name, value)
        if not entry.disabled:
            servers.append(ConfiguredServer(name, entry))
    return servers


def _entry(path: Path, name: str, value: object) -> _Entry:
    place = f"BACKCHANNEL_MCP_SERVERS: {path}: mcpServers.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{place}: a name has 1 to 32 of the characters A-Z a-z 0-9 _ -.")
    try:
        entry = _Entry.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = "".join(f".{part}" for part in first["loc"])
        raise ConfigurationError(f"{place}{key}: {first['msg'].removeprefix('Value error, ')}.") from None
    for key in entry.model_extra or ():
        log.warning("mcp_servers_key_unknown", file=str(path), server=name, key=key)
    return entry


def _as_written(_field: str, value: str) -> str:
    return value


def _expand(server: str, field: str, value: str) -> str:
    def value_of(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name not in os.environ and default is None:
            raise ConfigurationError(
                f"needs the variable {name} of the environment (mcpServers.{server}.{field})"
            )
        return os.environ.get(name, default)

    return _VARIABLE.sub(value_of, value)

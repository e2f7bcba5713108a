"""Lines on the standard output of MCP servers that are no messages."""

import logging

import structlog

log = structlog.get_logger(__name__)

_READER = logging.getLogger("mcp.client.stdio")


class _OncePerProcess(logging.Filter):
    """Drops the reader's records, each with a traceback and the line itself; the first becomes one warning."""

    def __init__(self) -> None:
        super().__init__()
        self._warned = False

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("Failed to parse JSONRPC message"):
            return True
        if not self._warned:
            self._warned = True
            log.warning(
                "mcp_server_writes_noise", hint="a server must write only messages to its standard output"
            )
        return False


def ignore_noise() -> None:
    """Ignore such lines: the connection goes on."""
    if not any(isinstance(each, _OncePerProcess) for each in _READER.filters):
        _READER.addFilter(_OncePerProcess())

"""Records of the client of MCP that are one per line or request of a server, or have its address."""

import logging

import structlog

log = structlog.get_logger(__name__)

_HINTS = {
    "Failed to parse JSONRPC message": (
        "mcp_server_writes_noise",
        "a server must write only messages to its standard output",
    ),
    "Redirect to ": ("mcp_server_redirects", "use the address that it redirects to"),
    "GET stream not opened: Redirect to ": ("mcp_server_redirects", "use the address that it redirects to"),
    "Unexpected content type": ("mcp_server_is_none", "something else answers at the address of a server"),
    "Error parsing JSON response": ("mcp_server_writes_noise", "a server must answer with JSON-RPC"),
    "Error parsing server message": ("mcp_server_writes_noise", "a server must answer with JSON-RPC"),
    "Error in post_writer": ("mcp_request_failed", "a server over HTTP has not accepted a request"),
    "Error in sse_reader": ("mcp_stream_failed", "the connection to a server over SSE has failed"),
    "Session termination failed": ("mcp_session_not_closed", "the server was gone, or has not permitted it"),
}


class _OncePerProcess(logging.Filter):
    """Drops such records, some with tracebacks, addresses or what a server wrote; the first of each kind becomes one
    warning."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        found = next((hint for words, hint in _HINTS.items() if str(record.msg).startswith(words)), None)
        if found is None:
            return True
        event, hint = found
        if event not in self._warned:
            self._warned.add(event)
            log.warning(event, hint=hint)
        return False


def ignore_noise() -> None:
    """Ignore such records: what matters in them is in the state of the server."""
    for name in ("stdio", "streamable_http", "sse"):
        logger = logging.getLogger(f"mcp.client.{name}")
        if not any(isinstance(each, _OncePerProcess) for each in logger.filters):
            logger.addFilter(_OncePerProcess())

"""Errors of MCP servers in words for people and models, without what may be secret: addresses, headers, arguments."""

import re

from agents.exceptions import UserError
from mcp import MCPError
from pydantic import ValidationError

from backchannel.errors import ConfigurationError

CONNECTION_CLOSED = -32000
REQUEST_TIMED_OUT = -32001
INVALID_REQUEST = -32600

_HTTP_STATUS = re.compile(r"HTTP error (\d{3})")


class McpCallError(UserError):
    """A call of a tool of an MCP server failed. The message is for the model."""


def leaf(error: BaseException) -> BaseException:
    """The first exception inside groups, and its cause if the SDK has wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error  # pyright: ignore[reportUnknownVariableType]


def is_lost(error: BaseException) -> bool:
    """Whether an error of a request says that its connection is gone for good."""
    error = leaf(error)
    if isinstance(error, MCPError):
        return error.code == CONNECTION_CLOSED or is_forgotten(error)
    return type(error).__name__ in {"ClosedResourceError", "BrokenResourceError"} or isinstance(
        error, ConnectionError
    )


def is_forgotten(error: BaseException) -> bool:
    """Whether the server has refused a request because it does not know the session; it has not executed it."""
    error = leaf(error)
    return (
        isinstance(error, MCPError) and error.code == INVALID_REQUEST and "session" in error.message.lower()
    )


def reason(error: BaseException, seconds: float) -> str:
    """Why a server cannot be used, as the end of a sentence about it.

    Args:
        seconds: The time-out, in seconds, for an error that says that it has passed.
    """
    error = leaf(error)
    match error:
        case TimeoutError():
            return f"did not answer within {seconds:g} seconds"
        case FileNotFoundError() | PermissionError() | NotADirectoryError():
            return "cannot be executed: the command or its folder is missing or not permitted"
        case ValidationError():
            place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
            return f"has sent something that is not valid ({place})"
        case ConfigurationError():
            return error.message
        case MCPError() if error.code == CONNECTION_CLOSED:
            return "closed the connection"
        case MCPError() if error.code == REQUEST_TIMED_OUT:
            return "did not answer in time"
        case MCPError():
            return f"answered with the error {error.code}"
        case UserError() if (status := _HTTP_STATUS.search(str(error))) is not None:
            return f"answered with HTTP {status[1]}"
        case UserError():
            return "cannot be reached"
        case _:
            return f"cannot be reached ({type(error).__name__})"

"""Errors of MCP servers in words for people and models, without what may be secret: addresses, headers, arguments."""

import re
from email.utils import parsedate_to_datetime
from time import time

from agents.exceptions import UserError
from mcp import MCPError
from pydantic import ValidationError

from backchannel.errors import ConfigurationError

CONNECTION_CLOSED = -32000
REQUEST_TIMED_OUT = -32001
INVALID_REQUEST = -32600

MAX_SAID_CHARS = 2000
"""What a server says about an error is cut to so many characters for the model."""

_HTTP_STATUS = re.compile(r"HTTP error (\d{3})")
_MISSING = re.compile(r"missing required parameters: (.+)$", re.DOTALL)
_CONTENT_TYPE = re.compile(r"Unexpected content type: ([\w.+/-]+)")
_ADDRESS = re.compile(r"\w+://\S+")

# What servers and their frameworks answer to a session that they do not know. Those in TypeScript use codes that mean
# something else for the client in Python.
_FORGOTTEN = re.compile(
    r"(bad request: |not found: )?((no |in)valid session|unknown session|missing session|session (id )?"
    r"(terminated|not found|expired|has expired|is unknown|does not exist|invalid))",
    re.IGNORECASE,
)

# The client's words for an answer over HTTP that has ended before its time. Other requests are not affected.
_ANSWER_ENDED = "SSE stream "
_HTTP_ERROR = "Server returned an error response"
_REDIRECT = "Redirect to "


class McpCallError(UserError):
    """A call of a tool of an MCP server failed. The message is for the model."""


def leaf(error: BaseException) -> BaseException:
    """The first exception inside groups, or the exception itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error  # pyright: ignore[reportUnknownVariableType]


def is_lost(error: BaseException) -> bool:
    """Whether an error of a request says that its connection is gone for good."""
    error = leaf(error)
    if isinstance(error, MCPError):
        return is_forgotten(error) or (error.code == CONNECTION_CLOSED and not is_cut_short(error))
    return type(error).__name__ in {"ClosedResourceError", "BrokenResourceError"} or isinstance(
        error, ConnectionError
    )


def is_cut_short(error: BaseException) -> bool:
    """Whether the answer to a request has ended before its time, while its connection may be as it was."""
    error = leaf(error)
    return (
        isinstance(error, MCPError)
        and error.code == CONNECTION_CLOSED
        and error.message.startswith(_ANSWER_ENDED)
    )


def is_forgotten(error: BaseException) -> bool:
    """Whether the server has refused a request because it does not know the session; it has not executed it."""
    error = leaf(error)
    return (
        isinstance(error, MCPError)
        and error.code in {CONNECTION_CLOSED, REQUEST_TIMED_OUT, INVALID_REQUEST}
        and _FORGOTTEN.match(error.message) is not None
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
        case ConnectionAbortedError():
            return "closed the connection"
        case FileNotFoundError() | PermissionError() | NotADirectoryError():
            return "cannot be executed: the command or its folder is missing or not permitted"
        case ValidationError():
            place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
            return f"has sent something that is not valid ({place})"
        case ConfigurationError():
            return error.message
        case MCPError():
            return _reason_of_answer(error)
        case UserError() if (status := _HTTP_STATUS.search(str(error))) is not None:
            if status[1].startswith("3"):
                return f"redirects to another address (HTTP {status[1]}): use that one"
            return f"answered with HTTP {status[1]}"
        case UserError():
            return "cannot be reached"
        case _:
            return f"cannot be reached ({type(error).__name__})"


def _reason_of_answer(error: MCPError) -> str:
    if is_forgotten(error):
        return "does not know the session any more"
    if (kind := _CONTENT_TYPE.match(error.message)) is not None:
        return f"did not answer with MCP, but with {kind[1]}: check its address"
    if error.message.startswith(_REDIRECT):
        return "redirects to another address: use that one"
    if error.message == _HTTP_ERROR:
        return "answered with an HTTP error"
    if error.code == CONNECTION_CLOSED:
        return "closed the connection"
    if error.code == REQUEST_TIMED_OUT:
        return "did not answer in time"
    return f"answered with the error {error.code}"


def call_failure(server: str, error: BaseException) -> str:
    """The output that the model gets for a call that failed."""
    error = leaf(error)
    if is_lost(error):
        return (
            f"The connection to {server} was lost during the call. The call may or may not have taken effect."
        )
    if isinstance(error, UserError) and (missing := _MISSING.search(str(error))) is not None:
        return f"The call was not made: it needs the arguments {missing[1]}. Call it again with them."
    if not isinstance(error, MCPError):
        why = "did not answer in time" if isinstance(error, TimeoutError) else reason(error, 0)
        return f"The call failed: {server} {why}. It may or may not have taken effect."
    if is_cut_short(error) or error.message == _HTTP_ERROR:
        why = "ended its answer too early" if is_cut_short(error) else "answered with an HTTP error"
        return f"The call failed: {server} {why}. It may or may not have taken effect."
    why = _reason_of_answer(error)
    if why != f"answered with the error {error.code}":
        return f"The call failed: {server} {why}."
    said = _ADDRESS.sub("(address)", error.message[:MAX_SAID_CHARS])
    return f"The call failed: {server} {why}. It said: {said}"


def retry_after(error: BaseException) -> float | None:
    """The seconds after which an HTTP server wants to be asked again, if it has said so."""
    response = getattr(leaf(error).__cause__, "response", None)
    header: object = getattr(response, "headers", {}).get("retry-after")
    if not isinstance(header, str):
        return None
    try:
        return max(float(header), 0) if header.strip().isdecimal() else _until(header)
    except ValueError:
        return None


def _until(date: str) -> float:
    return max(parsedate_to_datetime(date).timestamp() - time(), 0)

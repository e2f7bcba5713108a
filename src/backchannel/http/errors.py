"""Error responses of all endpoints: `{"code", "message", "request_id", "details"?}`."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from backchannel.chat.protocol.failures import explain
from backchannel.errors import (
    BackchannelError,
    ConflictError,
    ForbiddenError,
    InsufficientScopeError,
    InvalidInputError,
    InvalidRequestError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
)

log = structlog.get_logger(__name__)

_CODES = {
    error.status: error.code
    for error in (
        InvalidRequestError,
        UnauthenticatedError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
        TooLargeError,
        UnsupportedMediaTypeError,
        InvalidInputError,
    )
} | {405: "method_not_allowed", 408: "timeout"}


def error_response(
    error: BackchannelError, request_id: str, cause: BaseException | None = None
) -> JSONResponse:
    """The response for an error. `cause`, which is only given in debug mode, adds the exception as `debug`."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, "request_id": request_id}
    if error.details is not None:
        body["details"] = error.details
    if cause is not None:
        body["debug"] = f"{type(cause).__name__}: {cause}"
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, InsufficientScopeError):
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return JSONResponse(body, status_code=error.status, headers=headers)


def unexpected_error(error: BaseException, request_id: str, *, debug: bool) -> JSONResponse:
    """The response for any exception. One that maps to a 5xx status is logged."""
    explained = explain(error)
    if explained.status >= 500:
        log.error("request_failed", exc_info=error)
    return error_response(explained, request_id, error if debug else None)


async def on_backchannel_error(request: Request, error: Exception) -> JSONResponse:
    """Exception handler for `BackchannelError`."""
    assert isinstance(error, BackchannelError)
    exchange = request.state.backchannel
    exchange.error_code = error.code
    return error_response(error, exchange.request_id)


async def on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Exception handler for invalid parameters and bodies: 422, or 400 if the body is not JSON."""
    assert isinstance(error, RequestValidationError)
    details = [_detail(problem) for problem in error.errors()[:20]]
    first = details[0]
    explained: BackchannelError = InvalidInputError(f"{first['field']}: {first['message']}.", details=details)
    if error.errors()[0]["type"] == "json_invalid":
        explained = InvalidRequestError("The request body is not valid JSON.")
    return await on_backchannel_error(request, explained)


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Exception handler for the router's own errors, such as unknown paths and methods."""
    assert isinstance(error, HTTPException)
    message = error.detail if error.status_code != 404 else f"There is nothing at {request.url.path}."
    exchange = request.state.backchannel
    code = exchange.error_code = _CODES.get(error.status_code, "http_error")
    body = {
        "code": code,
        "message": message,
        "request_id": exchange.request_id,
    }
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def _detail(problem: Mapping[str, Any]) -> dict[str, Any]:
    path = [str(part) for part in problem["loc"] if part not in {"body", "query", "path"}]
    return {
        "field": ".".join(path) or str(problem["loc"][0]),
        "message": problem["msg"].removeprefix("Value error, "),
    }

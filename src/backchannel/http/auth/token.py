"""`POST /auth/token`: the OAuth 2.0 token endpoint (RFC 6749), for the grants `password` and `refresh_token`.

Its clients are public: `client_id` is ignored, and so is an `Authorization` header.
"""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from backchannel.accounts.logins import Logins
from backchannel.errors import BackchannelError, InvalidRequestError, UnauthenticatedError
from backchannel.http.auth.access import Access, access_of, client
from backchannel.http.auth.forms import FORM, content_type, form_fields
from backchannel.http.errors import error_response
from backchannel.http.services import Services
from backchannel.sessions.refusals import InvalidGrantError, InvalidScopeError
from backchannel.sessions.service import TokenPair

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["password", "refresh_token"]},
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
        "refresh_token": {"type": "string"},
        "scope": {"type": "string", "description": "Separated by spaces. Default: all that the account has."},
    },
}
_NOT_ASCII = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class UnsupportedGrantError(BackchannelError):
    """A grant that this endpoint does not have (RFC 6749, section 5.2)."""

    code = "unsupported_grant_type"
    status = 400
    allow_retry = False


def token_router(services: Services) -> APIRouter:
    """The router of the endpoint."""
    router = APIRouter(prefix="/auth", tags=["auth"])

    @router.post(
        "/token",
        openapi_extra={"requestBody": {"required": True, "content": {FORM: {"schema": _FORM_SCHEMA}}}},
        responses={400: {"description": "`error` says why (RFC 6749, section 5.2)."}},
    )
    async def token(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """An access token for a name and a password, or for a refresh token.

        A refresh token is good for one exchange. The same request again within 10 seconds gets the same answer; later
        it ends the whole login, as the token may have been stolen.
        """
        try:
            pair = await _granted(request, access_of(services))
        except BackchannelError as error:
            return _oauth_error(error, request)
        body = {
            "access_token": pair.access_token,
            "token_type": "bearer",
            "expires_in": pair.expires_in,
            "refresh_token": pair.refresh_token,
            "scope": " ".join(sorted(pair.identity.scopes)),
        }
        return JSONResponse(body, headers=NO_STORE)

    return router


async def _granted(request: Request, access: Access) -> TokenPair:
    if request.query_params:
        raise InvalidRequestError("Send the parameters in the body: URLs get into logs.")
    if content_type(request) != FORM:
        raise InvalidRequestError(f"The body must be {FORM}.")
    fields = await form_fields(request)
    match fields.get("grant_type"):
        case "password":
            if access.logins is None:
                raise UnsupportedGrantError("Nobody logs in with a password here.")
            return await _by_password(request, access, access.logins, fields)
        case "refresh_token":
            token = _required(fields, "refresh_token")
            return await access.sessions.refresh(token, client(request), _scopes(fields))
        case None:
            raise InvalidRequestError("grant_type is missing.")
        case _:
            raise UnsupportedGrantError("grant_type must be password or refresh_token.")


async def _by_password(
    request: Request, access: Access, logins: Logins, fields: Mapping[str, str]
) -> TokenPair:
    name, password = _required(fields, "username"), _required(fields, "password")
    try:
        account = await logins.check(name, password, client(request))
        wanted = _scopes(fields)
        if wanted is not None and not wanted <= account.identity.scopes:
            raise InvalidScopeError("The account does not have all of these scopes.")
        identity = account.identity if wanted is None else account.with_scopes(wanted)
        return await access.sessions.grant(identity, client(request), password_of=account.password_changed_at)
    except UnauthenticatedError as error:
        raise InvalidGrantError(error.message) from None


def _required(fields: Mapping[str, str], name: str) -> str:
    if not (value := fields.get(name)):
        raise InvalidRequestError(f"{name} is missing.")
    return value


def _scopes(fields: Mapping[str, str]) -> frozenset[str] | None:
    return frozenset(fields.get("scope", "").split()) or None


def _oauth_error(error: BackchannelError, request: Request) -> Response:
    exchange = request.state.backchannel
    exchange.error_code = error.code
    known = isinstance(
        error, InvalidRequestError | InvalidGrantError | InvalidScopeError | UnsupportedGrantError
    )
    response = error_response(error, exchange.request_id)
    body = {
        # Others, such as too many attempts, have no code in RFC 6749: this one says that it may be tried again.
        "error": error.code if known else "temporarily_unavailable",
        "error_description": _NOT_ASCII.sub("'", error.message),
        "code": error.code,
        "message": error.message,
        "request_id": exchange.request_id,
    }
    headers = {"retry-after": response.headers["retry-after"]} if "retry-after" in response.headers else {}
    return JSONResponse(body, status_code=error.status, headers=headers | NO_STORE)

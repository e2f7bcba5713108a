"""Opaque bearer tokens of this server: access tokens of `/auth/token`, and personal tokens."""

from typing import override

from starlette.requests import HTTPConnection

from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.errors import UnauthenticatedError
from backchannel.sessions.service import Sessions
from backchannel.sessions.tokens import is_ours

_PARAMETERS = ("access_token", "token")


class BearerAuthenticator(Authenticator):
    """Authenticates requests by a token in the `Authorization: Bearer` header (RFC 6750, section 2.1).

    Tokens without this server's prefix, such as JWTs, are left to other authenticators. A token in the query is
    refused, because URLs get into logs and histories.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        if any(is_ours(request.query_params.get(name, "")) for name in _PARAMETERS):
            raise UnauthenticatedError(
                "A token must not be in the URL, which is logged: revoke it, and send a new one in the Authorization "
                "header."
            )
        values = request.headers.getlist("authorization")
        scheme, _, token = "".join(values[:1]).partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not is_ours(token):
            return None
        if len(values) > 1:
            # A proxy may have looked at another one.
            raise UnauthenticatedError("Send one Authorization header.")
        session = await self._sessions.recognise(token, "access", "personal")
        return Authenticated(session.identity, session=session, method=f"{session.kind} token")

"""`GET /auth/me`: who the caller is, however callers are known."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from backchannel.authenticators.base import NEW_VISITOR
from backchannel.context import Identity
from backchannel.errors import UnauthenticatedError
from backchannel.http.auth.access import authenticated
from backchannel.http.services import Services
from backchannel.sessions.base import Session
from backchannel.sessions.service import Sessions
from backchannel.stores.times import utc_text

NO_STORE = {"Cache-Control": "no-store"}


class Me(BaseModel):
    """The caller.

    Attributes:
        user: The stable id.
        method: How the request was authenticated, such as `session` or `personal token`; empty: not said.
        csrf_token: With a session cookie: for `X-CSRF-Token`.
        session_id: The session in use.
        expires_at: When it ends at the latest, in ISO 8601.
    """

    user: str
    tenant: str
    name: str | None
    anonymous: bool
    scopes: list[str]
    method: str
    csrf_token: str | None = None
    session_id: str | None = None
    expires_at: str | None = None


def me_router(services: Services) -> APIRouter:
    """The router of the endpoint."""
    router = APIRouter(prefix="/auth", tags=["auth"])

    @router.get("/me")
    async def me(request: Request, response: Response) -> Me:  # pyright: ignore[reportUnusedFunction]
        """Who the caller is; 401 if nobody. Never sets a cookie for a visitor."""
        response.headers.update(NO_STORE)
        found = await authenticated(request)
        if found.method == NEW_VISITOR:
            raise UnauthenticatedError("You are not logged in.")
        access = services.parts.access
        return describe(found.identity, found.session, found.method, access and access.sessions)

    return router


def describe(identity: Identity, session: Session | None, method: str, sessions: Sessions | None) -> Me:
    """The caller as the endpoint shows them."""
    cookie = session is not None and session.kind == "cookie"
    return Me(
        user=identity.user,
        tenant=identity.tenant,
        name=identity.name,
        anonymous=identity.anonymous,
        scopes=sorted(identity.scopes),
        method=method,
        csrf_token=sessions.csrf_token(session) if sessions and session and cookie else None,
        session_id=session.id if session is not None else None,
        expires_at=utc_text(session.expires_at) if session is not None else None,
    )

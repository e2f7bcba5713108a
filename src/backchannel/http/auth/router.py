"""`/auth/login`, `/auth/logout` and `/auth/sessions`."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from backchannel.accounts.logins import Account
from backchannel.context import Identity
from backchannel.errors import (
    BackchannelError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotEnabledError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from backchannel.http.auth.access import (
    Access,
    access_of,
    authenticated,
    client,
    former_session,
    home_of,
    login_methods,
    prefix_of,
)
from backchannel.http.auth.forms import FORM, content_type, login_fields
from backchannel.http.auth.login_page import leaving, login_form, own_logins
from backchannel.http.auth.me import NO_STORE, Me, describe
from backchannel.http.auth.oidc import logout_at_provider
from backchannel.http.auth.return_paths import return_path
from backchannel.http.services import Services
from backchannel.sessions.base import Session
from backchannel.sessions.tokens import SessionKind
from backchannel.stores.times import utc_text

NO_PASSWORDS = "Nobody logs in with a password here."
NO_LOGINS = "A personal token cannot see or end logins: log in."

_FIELDS: dict[str, Any] = {
    "type": "object",
    "required": ["name", "password"],
    "properties": {
        "name": {"type": "string"},
        "password": {"type": "string", "format": "password"},
        "return_to": {"type": "string", "description": "A path of this server, for forms."},
    },
}
_LOGIN_BODY = {
    "required": True,
    "content": {"application/json": {"schema": _FIELDS}, FORM: {"schema": _FIELDS}},
}


class SessionView(BaseModel):
    """One login of a browser or a program, or a personal token.

    Attributes:
        id: For `DELETE /auth/sessions/{id}`. It is not the token.
        address: The network of the login, shortened.
        current: Whether it is the one of this request.
    """

    id: str
    kind: Literal["browser", "program", "personal token"]
    name: str | None
    scopes: list[str]
    created_at: str
    last_seen_at: str
    expires_at: str
    user_agent: str | None
    address: str | None
    current: bool


class SessionList(BaseModel):
    """All live sessions of the caller, newest first. There is only one page."""

    data: list[SessionView]
    has_more: bool = False
    after: None = None


_KINDS: dict[SessionKind, Literal["browser", "program", "personal token"]] = {
    "cookie": "browser",
    "access": "program",
    "refresh": "program",
    "personal": "personal token",
}


def auth_router(services: Services) -> APIRouter:
    """The router of the endpoints."""
    router = APIRouter(prefix="/auth", tags=["auth"])
    _add_login(router, services)
    _add_logout(router, services)
    _add_sessions(router, services)
    return router


def _add_login(router: APIRouter, services: Services) -> None:
    @router.get("/login", response_class=HTMLResponse)
    async def login_page(request: Request, return_to: str = "") -> Response:  # pyright: ignore[reportUnusedFunction]
        """The page to log in, or, for those who have, the list of their logins."""
        access = access_of(services)
        problem: UnavailableError | None = None
        try:
            current = await access.cookies.session(request)
        except UnauthenticatedError:
            current = None
        except UnavailableError as error:
            # Of several ways to log in another one may work.
            current, problem = None, error
        if current is None and access.logins is None and access.oidc is None:
            raise problem or NotEnabledError(NO_PASSWORDS)
        if current is None:
            back = return_path(return_to, "", prefix=prefix_of(request))
            return login_form(services.settings, login_methods(access), return_to=back, error=problem)
        sessions = await access.sessions.listed(current.identity)
        return own_logins(services.settings, current.identity, current, sessions)

    @router.post("/login", openapi_extra={"requestBody": _LOGIN_BODY}, response_model=Me)
    async def login(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Log in with a name and a password: begins a session and sets its cookie.

        JSON is answered with the caller. A form is answered with a redirect to `return_to`, or with the page again.
        """
        access = access_of(services)
        access.origins.check(request)
        fields = await login_fields(request)
        form = content_type(request) == FORM
        try:
            account, session, token = await _logged_in(request, access, fields)
        except BackchannelError as error:
            if not form:
                raise
            request.state.backchannel.error_code = error.code
            known = {"name": fields.get("name", ""), "return_to": fields.get("return_to", "")}
            return login_form(services.settings, login_methods(access), error=error, **known)
        if form:
            back = return_path(fields.get("return_to"), home_of(request), prefix=prefix_of(request))
            response: Response = RedirectResponse(back, 303)
        else:
            response = JSONResponse(
                describe(account.identity, session, "session", access.sessions).model_dump()
            )
        response.headers["Set-Cookie"] = access.cookies.begin(token, request)
        response.headers.update(NO_STORE)
        return response


async def _logged_in(
    request: Request, access: Access, fields: Mapping[str, str]
) -> tuple[Account, Session, str]:
    if access.logins is None:
        raise NotEnabledError(NO_PASSWORDS)
    name, password = fields.get("name") or fields.get("username"), fields.get("password")
    if not name or not password:
        raise InvalidInputError(f"The {'password' if name else 'name'} is missing.")
    account = await access.logins.check(name, password, client(request))
    former = await former_session(request, access)
    token, session = await access.sessions.begin(
        account.identity, client(request), former=former, password_of=account.password_changed_at
    )
    return account, session, token


def _add_logout(router: APIRouter, services: Services) -> None:
    @router.post("/logout", status_code=204)
    async def logout(request: Request, *, everywhere: bool = False) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Log out of this session, or of all one's sessions and tokens with `everywhere=true`. The cookie is
        removed.

        A form leads on to the logout at the identity provider, if the login was made there."""
        access = access_of(services)
        # Also without the cookie, which browsers do not send from another site: it would be removed all the same.
        access.origins.check(request)
        exchange = request.state.backchannel
        response = Response(status_code=204, headers=NO_STORE)
        if content_type(request) == FORM:
            response = RedirectResponse(f"{home_of(request)}auth/login", 303, NO_STORE)
        try:
            identity, session = await _leaving_caller(request, access)
        except UnauthenticatedError:
            # Its session has ended already, or there is none.
            exchange.set_cookie = access.cookies.remove(request)
            return response
        if session is None:
            if not identity.anonymous:
                raise ConflictError("This login does not end here: log out where you got the token.")
            return response
        if everywhere and session.kind == "personal":
            # It ends itself, and nothing else.
            raise ForbiddenError(NO_LOGINS)
        provider_url = await logout_at_provider(request, services, session)
        if everywhere:
            await access.sessions.end_all(identity, client(request), "logout", actor=identity)
        else:
            await access.sessions.end(session, client(request))
        exchange.set_cookie = access.cookies.remove(request)
        if access.oidc is None:
            return response
        await access.oidc.forget(session)
        if provider_url is not None and content_type(request) == FORM:
            return leaving(services.settings, access.oidc.name, provider_url)
        return response


async def _leaving_caller(request: Request, access: Access) -> tuple[Identity, Session | None]:
    """The caller, also where the identity provider cannot be asked about them: a session can be ended without it.

    Raises:
        UnauthenticatedError: Missing or invalid credentials.
        ForbiddenError: The credentials must not be used from the request's origin.
        UnavailableError: The database cannot be reached.
    """
    try:
        found = await authenticated(request)
    except UnavailableError:
        session = await former_session(request, access)
        if session is None:
            raise
        access.origins.check(request, evidence=True)
        return session.identity, session
    return found.identity, found.session


def _add_sessions(router: APIRouter, services: Services) -> None:
    async def own(request: Request) -> tuple[Identity, Session]:
        found = await authenticated(request)
        if found.session is None:
            raise ForbiddenError("Only people who have logged in here have sessions.")
        if found.session.kind == "personal":
            raise ForbiddenError(NO_LOGINS)
        return found.identity, found.session

    @router.get("/sessions")
    async def listed(request: Request, response: Response) -> SessionList:  # pyright: ignore[reportUnusedFunction]
        """One's own sessions and tokens."""
        response.headers.update(NO_STORE)
        identity, current = await own(request)
        found = await access_of(services).sessions.listed(identity)
        return SessionList(data=[_view(each, current) for each in found])

    @router.delete("/sessions/{session_id}", status_code=204)
    async def end(session_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """End one of one's own sessions or tokens; 404 for any other."""
        identity, _ = await own(request)
        await access_of(services).sessions.end_by_id(identity, session_id, client(request))
        return Response(status_code=204)

    @router.post("/sessions/{session_id}/end", status_code=303, include_in_schema=False)
    async def end_by_form(session_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The same for a form, which cannot send DELETE."""
        identity, _ = await own(request)
        with suppress(NotFoundError):
            await access_of(services).sessions.end_by_id(identity, session_id, client(request))
        return RedirectResponse(f"{home_of(request)}auth/login", 303, NO_STORE)


def _view(session: Session, current: Session) -> SessionView:
    same_login = session.family is not None and session.family == current.family
    return SessionView(
        id=session.id,
        kind=_KINDS[session.kind],
        name=session.name,
        scopes=sorted(session.identity.scopes),
        created_at=utc_text(session.created_at),
        last_seen_at=utc_text(session.last_seen_at),
        expires_at=utc_text(session.expires_at),
        user_agent=session.user_agent,
        address=session.address,
        current=session.id == current.id or same_login,
    )

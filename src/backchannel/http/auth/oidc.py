"""`/auth/login/oidc` and `/auth/callback`: logging in with an identity provider."""

from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from backchannel.errors import BackchannelError, ForbiddenError, NotEnabledError
from backchannel.http.auth.access import (
    Access,
    access_of,
    client,
    former_session,
    home_of,
    login_methods,
    prefix_of,
)
from backchannel.http.auth.forms import FORM, content_type, form_fields
from backchannel.http.auth.login_page import already_logged_in, leaving, login_form
from backchannel.http.auth.me import NO_STORE
from backchannel.http.auth.return_paths import return_path
from backchannel.http.services import Services
from backchannel.oidc.attempts import ATTEMPT_SECONDS, is_random, new_browser
from backchannel.oidc.logins import OidcLogins
from backchannel.oidc.refusals import MALFORMED, LoginFailedError
from backchannel.sessions.base import Session
from backchannel.settings import Settings
from backchannel.web.origins import Origin

COOKIE = "login"
MAX_COOKIES = 4
MAX_QUERY_BYTES = 8192
MAX_PARAMETERS = 20

NO_PROVIDER = "Nobody logs in with an identity provider here."

_FORM_BODY = {
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "properties": {
                    "return_to": {"type": "string", "description": "A path of this server."},
                },
            }
        }
    }
}


def oidc_router(services: Services) -> APIRouter:
    """The router of the endpoints."""
    router = APIRouter(prefix="/auth", tags=["auth"])

    @router.post("/login/oidc", response_class=HTMLResponse, openapi_extra={"requestBody": _FORM_BODY})
    async def begin(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Begin a login with the identity provider: a page that sends the browser there.

        Only pages of this server may send it. The login must be finished in the same browser, within ten minutes.
        """
        access = access_of(services)
        oidc = _oidc(access)
        access.origins.check(request)
        fields = await form_fields(request) if content_type(request) == FORM else dict[str, str]()
        return_to = return_path(fields.get("return_to"), "", prefix=prefix_of(request))
        known = [each for each in access.cookies.format.values(COOKIE, request) if is_random(each)]
        browser = known[0] if known else new_browser()
        try:
            redirect_uri = f"{own_address(request, services.settings)}/auth/callback"
            url = await oidc.begin(browser, redirect_uri, return_to)
        except BackchannelError as error:
            request.state.backchannel.error_code = error.code
            return login_form(
                services.settings, login_methods(access), return_to=return_to, error=error, up="../"
            )
        response = leaving(services.settings, oidc.name, url, up="../")
        response.headers["Set-Cookie"] = access.cookies.format.set(COOKIE, browser, ATTEMPT_SECONDS, request)
        return response

    @router.get(
        "/callback",
        response_class=HTMLResponse,
        status_code=303,
        responses={400: {"description": "A page that says why the login failed, and lets one try again."}},
    )
    async def callback(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Where the identity provider sends the browser back to. A login that can be finished begins a session, sets
        its cookie, and goes on to where the person was."""
        access = access_of(services)
        oidc = _oidc(access)
        former = await former_session(request, access)
        browsers = access.cookies.format.values(COOKIE, request)[:MAX_COOKIES]
        try:
            answer = _parameters(request)
            done = await oidc.finish(answer, browsers, client(request), former)
        except BackchannelError as error:
            return _failed(request, services, access, former, error)
        back = return_path(done.return_to, home_of(request), prefix=prefix_of(request))
        response = RedirectResponse(back, 303, NO_STORE)
        response.headers["Set-Cookie"] = access.cookies.begin(done.token, request)
        return response

    return router


async def logout_at_provider(request: Request, services: Services, session: Session) -> str | None:
    """Where a browser that logs out here also logs out at the provider; `None` if nowhere."""
    access = access_of(services)
    if access.oidc is None:
        return None
    try:
        return_uri = f"{own_address(request, services.settings)}/auth/login"
    except ForbiddenError:
        return None
    return await access.oidc.logout_url(session, return_uri)


def own_address(request: Request, settings: Settings) -> str:
    """The address of this server, without a slash at its end, as it is registered at the provider.

    Raises:
        ForbiddenError: It is not set, and the request is not for this machine: who makes up a `Host` would decide where
            codes are sent.
    """
    public_url = settings.public_url
    if public_url is not None:
        return public_url if urlsplit(public_url).path else f"{public_url}{prefix_of(request)}"
    called = Origin.parse(f"{request.url.scheme}://{request.headers.get('host', '')}")
    if called is None or not called.is_loopback:
        raise ForbiddenError(
            "BACKCHANNEL_PUBLIC_URL is not set: the identity provider needs the address of this server."
        )
    return f"{called}{prefix_of(request)}"


def _oidc(access: Access) -> OidcLogins:
    if access.oidc is None:
        raise NotEnabledError(NO_PROVIDER)
    return access.oidc


def _parameters(request: Request) -> dict[str, str]:
    """The parameters of the answer.

    Raises:
        LoginFailedError: They are too long, not readable, or there are two of a name.
    """
    query: bytes = request.scope.get("query_string", b"")
    try:
        if len(query) > MAX_QUERY_BYTES:
            raise ValueError("too long")
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise LoginFailedError(MALFORMED, str(error)) from None
    if len(dict(pairs)) != len(pairs):
        raise LoginFailedError(MALFORMED, "a parameter twice")
    return dict(pairs)


def _failed(
    request: Request, services: Services, access: Access, former: Session | None, error: BackchannelError
) -> Response:
    request.state.backchannel.error_code = error.code
    if former is not None and isinstance(error, LoginFailedError):
        return already_logged_in(services.settings, former.identity, error)
    return_to = error.return_to if isinstance(error, LoginFailedError) else ""
    return login_form(services.settings, login_methods(access), return_to=return_to, error=error)

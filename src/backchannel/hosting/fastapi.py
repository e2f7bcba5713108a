"""A server as a FastAPI application: what `backchannel serve` runs and ASGI hosts can mount."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from backchannel.app import Backchannel
from backchannel.errors import BackchannelError, ConfigurationError
from backchannel.http.api_docs import api_docs_routes
from backchannel.http.approvals import approvals_router
from backchannel.http.attachments import attachments_router
from backchannel.http.auth.me import me_router
from backchannel.http.auth.oidc import oidc_router
from backchannel.http.auth.openapi import describe_security
from backchannel.http.auth.router import auth_router
from backchannel.http.auth.token import token_router
from backchannel.http.chatkit import chatkit_router
from backchannel.http.errors import on_backchannel_error, on_http_exception, on_validation_error
from backchannel.http.gateway import Gateway
from backchannel.http.health import health_router
from backchannel.http.openapi import document_errors
from backchannel.http.page import page_routes
from backchannel.http.plain import plain_router
from backchannel.http.runs import runs_router, thread_runs_router
from backchannel.http.threads import feedback_router, search_router, threads_router
from backchannel.http.uploads import uploads_router
from backchannel.http.usage import usage_router
from backchannel.http.visitors import visitors_router
from backchannel.sse import HEARTBEAT_HEADER
from backchannel.web.cors import CrossOrigin
from backchannel.web.forwarded import ForwardedHeaders, TrustedProxies
from backchannel.web.root_path import RootPath
from backchannel.wiring.access import session_cookie_name

EXPOSED_HEADERS = (
    "X-Request-Id",
    "X-Run-Id",
    HEARTBEAT_HEADER,
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)
"""What pages of other origins may read besides the headers that CORS always exposes."""


def create_app(backchannel: Backchannel) -> FastAPI:
    """The whole server: protocol, REST, health, documentation, the chat page, and the application's own routers.

    Served by itself, its lifespan runs the server. A host application that mounts it does not run its lifespan: it must
    enter `backchannel.running()` in its own, or every request is answered with 503 `not_running`.

    Raises:
        ConfigurationError: A router of the application has a path that Backchannel serves itself. If an async function
            makes the application, this is raised when the server starts.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with backchannel.running():
            yield

    settings = backchannel.settings
    has_docs = not settings.production if settings.api_docs is None else settings.api_docs
    app = FastAPI(
        title="Backchannel",
        version=version("backchannel"),
        description="A chat backend for ChatKit.",
        lifespan=lifespan,
        # FastAPI's own page loads scripts from another host.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if has_docs else None,
        # A redirect would name the Host of the request, which a client can make up.
        redirect_slashes=False,
        exception_handlers={
            BackchannelError: on_backchannel_error,
            RequestValidationError: on_validation_error,
            HTTPException: on_http_exception,
        },
    )
    endpoints = _include_api(app, backchannel)
    app.include_router(health_router(backchannel))
    app.include_router(me_router(backchannel))
    if backchannel.settings.logins:
        app.include_router(token_router(backchannel))
        app.include_router(auth_router(backchannel))
    if "oidc" in backchannel.settings.auth:
        app.include_router(oidc_router(backchannel))
    app.router.routes.extend(page_routes(backchannel))
    if has_docs:
        app.router.routes.extend(api_docs_routes())
    document_errors(app)
    describe_security(app, backchannel.settings, session_cookie_name(backchannel.settings))
    backchannel.when_assembled(lambda: _include_own_routers(app, backchannel, endpoints))
    _add_middleware(app, backchannel)
    return app


def _include_api(app: FastAPI, backchannel: Backchannel) -> set[tuple[str, str]]:
    """Add the endpoints under `/api`; returns the method and the shape of the path of each."""
    endpoints: set[tuple[str, str]] = set()
    for router in (
        chatkit_router(backchannel),
        plain_router(backchannel),
        runs_router(backchannel),
        search_router(backchannel),
        threads_router(backchannel),
        feedback_router(backchannel),
        thread_runs_router(backchannel),
        approvals_router(backchannel),
        usage_router(backchannel),
        visitors_router(backchannel),
        uploads_router(backchannel),
        attachments_router(backchannel),
    ):
        # Noted here: an included router shows its endpoints only when it is used.
        endpoints.update((method, _shape(path)) for method, path in _endpoints(router))
        app.include_router(router, prefix="/api")
    return endpoints


def _include_own_routers(app: FastAPI, backchannel: Backchannel, taken: set[tuple[str, str]]) -> None:
    for router in backchannel.parts.routers:
        for method, path in _endpoints(router):
            if (method, _shape(path)) in taken:
                raise ConfigurationError(
                    f"A router of the application has {method} /api{path}, which Backchannel serves itself: "
                    "give it another path."
                )
        app.include_router(router, prefix="/api")


def _endpoints(router: APIRouter) -> Iterator[tuple[str, str]]:
    """Each method and path of a router."""
    for route in router.routes:
        path: str = getattr(route, "path", "")
        methods: Any = getattr(route, "methods", None) or ()
        for method in methods:
            yield method, path


def _shape(path: str) -> str:
    """A path without the names of its parameters, which decide nothing about what it matches."""
    return re.sub(r"\{[^{}:]*", "{", path)


def _add_middleware(app: FastAPI, backchannel: Backchannel) -> None:
    settings = backchannel.settings
    app.add_middleware(Gateway, services=backchannel)
    app.add_middleware(
        CrossOrigin,
        origins=settings.cors_origins,
        loopback=not settings.production,
        expose=EXPOSED_HEADERS,
    )
    app.add_middleware(RootPath, root_path=settings.prefix)
    # Added last, so it is outermost: all others see the client's own request.
    app.add_middleware(ForwardedHeaders, trusted=TrustedProxies(settings.trusted_proxies))

"""A server as a FastAPI application: what `backchannel serve` runs and ASGI hosts can mount."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from backchannel.app import Backchannel
from backchannel.errors import BackchannelError, ConfigurationError
from backchannel.hosting.host_exit import drain_when_host_exits
from backchannel.http.chatkit import chatkit_router
from backchannel.http.errors import on_backchannel_error, on_http_exception, on_validation_error
from backchannel.http.gateway import Gateway
from backchannel.http.health import health_router
from backchannel.http.page import page_routes
from backchannel.http.plain import plain_router
from backchannel.http.runs import runs_router, thread_runs_router
from backchannel.http.threads import feedback_router, search_router, threads_router
from backchannel.sse import HEARTBEAT_HEADER

LOOPBACK_ORIGINS = r"https?://(localhost|[a-z0-9-]+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?"


def create_app(backchannel: Backchannel) -> FastAPI:
    """The whole server: protocol, REST, health, documentation, the chat page, and the application's own routers.

    Served by itself, its lifespan runs the server. A host application that mounts it does not run its lifespan: it must
    enter `backchannel.running()` in its own, or every request is answered with 503 `not_running`.

    Raises:
        ConfigurationError: A router of the application has a path that Backchannel serves itself.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with backchannel.running():
            # The routers of an application that an async function makes are known only now.
            _include_own_routers(app, backchannel)
            async with drain_when_host_exits(backchannel):
                yield

    app = FastAPI(
        title="Backchannel",
        version=version("backchannel"),
        description="A chat backend for ChatKit.",
        lifespan=lifespan,
        exception_handlers={
            BackchannelError: on_backchannel_error,
            RequestValidationError: on_validation_error,
            HTTPException: on_http_exception,
        },
    )
    api = APIRouter(prefix="/api")
    for router in (
        chatkit_router(backchannel),
        plain_router(backchannel),
        runs_router(backchannel),
        search_router(backchannel),
        threads_router(backchannel),
        feedback_router(backchannel),
        thread_runs_router(backchannel),
    ):
        api.include_router(router)
    app.include_router(api)
    app.include_router(health_router(backchannel))
    app.router.routes.extend(page_routes(backchannel))
    app.state.backchannel_endpoints = set(_endpoints(api))
    if backchannel.assembled:
        _include_own_routers(app, backchannel)
    _add_middleware(app, backchannel)
    return app


def _include_own_routers(app: FastAPI, backchannel: Backchannel) -> None:
    if getattr(app.state, "own_routers_included", False):
        return
    app.state.own_routers_included = True
    for router in backchannel.parts.routers:
        for method, path in _endpoints(router, prefix="/api"):
            if (method, path) in app.state.backchannel_endpoints:
                raise ConfigurationError(
                    f"A router of the application has {method} {path}, which Backchannel serves itself: "
                    "give it another path."
                )
        app.include_router(router, prefix="/api")


def _endpoints(router: APIRouter, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each method and path of a router."""
    for route in router.routes:
        path: str = getattr(route, "path", "")
        methods: Any = getattr(route, "methods", None) or ()
        for method in methods:
            yield method, prefix + path


def _add_middleware(app: FastAPI, backchannel: Backchannel) -> None:
    settings = backchannel.settings
    app.add_middleware(Gateway, services=backchannel)
    # Added last, so it is outermost: a browser must be able to read errors too.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_origin_regex=None if settings.production else LOOPBACK_ORIGINS,
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=["X-Request-Id", "X-Run-Id", HEARTBEAT_HEADER, "Retry-After"],
        max_age=600,
    )

"""A server as a FastAPI application: what `backchannel serve` runs and ASGI hosts can mount."""

import re
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
from backchannel.http.approvals import approvals_router
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
        ConfigurationError: A router of the application has a path that Backchannel serves itself. If an async function
            makes the application, this is raised when the server starts.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with backchannel.running():
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
    ):
        # Noted here: an included router shows its endpoints only when it is used.
        endpoints.update((method, _shape(path)) for method, path in _endpoints(router))
        app.include_router(router, prefix="/api")
    app.include_router(health_router(backchannel))
    app.router.routes.extend(page_routes(backchannel))
    backchannel.when_assembled(lambda: _include_own_routers(app, backchannel, endpoints))
    _add_middleware(app, backchannel)
    return app


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

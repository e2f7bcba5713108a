"""A server as a FastAPI application: what `backchannel serve` runs and ASGI hosts can mount."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from backchannel.app import Backchannel
from backchannel.errors import BackchannelError
from backchannel.http.chatkit import chatkit_router
from backchannel.http.errors import on_backchannel_error, on_http_exception, on_validation_error
from backchannel.http.gateway import Gateway
from backchannel.http.health import health_router
from backchannel.http.page import page_routes
from backchannel.http.plain import plain_router
from backchannel.http.runs import runs_router
from backchannel.http.threads import feedback_router, search_router, threads_router
from backchannel.sse import HEARTBEAT_HEADER

LOOPBACK_ORIGINS = r"https?://(localhost|[a-z0-9-]+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?"


def create_app(backchannel: Backchannel) -> FastAPI:
    """The whole server: protocol, REST, health, documentation and the chat page."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
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
    api = APIRouter(prefix="/api")
    for router in (
        chatkit_router(backchannel),
        plain_router(backchannel),
        runs_router(backchannel),
        search_router(backchannel),
        threads_router(backchannel),
        feedback_router(backchannel),
        *backchannel.routers,
    ):
        api.include_router(router)
    app.include_router(api)
    app.include_router(health_router(backchannel))
    app.router.routes.extend(page_routes(backchannel.suggestions))
    _add_middleware(app, backchannel)
    return app


def _add_middleware(app: FastAPI, backchannel: Backchannel) -> None:
    settings = backchannel.settings
    app.add_middleware(
        Gateway,
        authenticators=backchannel.authenticators,
        public_url=settings.public_url,
        max_body_bytes=settings.max_body_bytes,
        debug=settings.debug,
    )
    # Added last, so it is outermost: an error that a browser may not read is no help to anybody.
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

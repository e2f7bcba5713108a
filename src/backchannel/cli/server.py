"""The server's process: what `backchannel serve` runs once the settings are known to be right."""

import asyncio
import os
import signal
import socket
from types import FrameType
from typing import override

import structlog
import uvicorn
from agents import set_trace_processors
from fastapi import FastAPI
from sqlalchemy.exc import DatabaseError

from backchannel.app import Backchannel
from backchannel.errors import ConfigurationError
from backchannel.frameworks.fastapi import create_app
from backchannel.observability.logging import configure_logging
from backchannel.runs.runs import STOP_SECONDS
from backchannel.settings import Settings, unknown_settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.runs import SqlRuns
from backchannel.wiring import build, load_target

TARGET_VARIABLE = "BACKCHANNEL_SERVE_TARGET"

log = structlog.get_logger(__name__)


def run(settings: Settings, target: str, *, host: str, port: int, workers: int, reload: bool) -> None:
    """Serve until told to stop.

    Raises:
        ConfigurationError: The target, the database or the address cannot be used.
    """
    _prepare_process(settings)
    if unknown := unknown_settings(os.environ, TARGET_VARIABLE):
        log.warning(
            "unknown_settings", names=unknown, hint="no such setting in this version; see .env.example"
        )
    backchannel = build(settings, load_target(target))
    asyncio.run(_prepare_database(settings, backchannel))
    if workers == 1 and not reload:
        _serve_here(backchannel, host, port)
        return
    os.environ[TARGET_VARIABLE] = target
    print(f"Backchannel is starting at http://{_shown(host)}:{port}", flush=True)
    uvicorn.run(
        "backchannel.cli.server:app_of_worker",
        factory=True,
        host=host,
        port=port,
        workers=workers if not reload else None,
        reload=reload,
        timeout_graceful_shutdown=_grace(settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


def app_of_worker() -> FastAPI:
    """The application of one process among several, made anew in each."""
    settings = Settings.load()
    _prepare_process(settings)
    return create_app(build(settings, load_target(os.environ[TARGET_VARIABLE]), alone=False))


class Server(uvicorn.Server):
    """Uvicorn, except that a signal to exit first ends the answers, and then the connections that wait for
    them. (By itself it would wait for the longest stream, and only then tell the application.)"""

    def __init__(self, config: uvicorn.Config, backchannel: Backchannel) -> None:
        super().__init__(config)
        self._backchannel = backchannel
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit and sockets:
            port = sockets[0].getsockname()[1]
            print(
                f"Backchannel is running at http://{_shown(self.config.host)}:{port} (Ctrl+C to stop)",
                flush=True,
            )

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None and self._draining is None:
            self._loop.call_soon_threadsafe(self._drain)
        # Not the inherited method: it has the signal raised again at the end, and a clean stop looks like a kill.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def _drain(self) -> None:
        seconds = self._backchannel.settings.shutdown_seconds
        self._draining = asyncio.ensure_future(self._backchannel.runs.drain(seconds))


def _serve_here(backchannel: Backchannel, host: str, port: int) -> None:
    config = uvicorn.Config(
        create_app(backchannel),
        host=host,
        port=port,
        timeout_graceful_shutdown=_grace(backchannel.settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    with _listen(host, port) as listener:
        server = Server(config, backchannel)
        server.run(sockets=[listener])
    if not server.started:
        raise ConfigurationError("The server could not start; the log above says why.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(f"The server cannot listen on {host}:{port}: {error.strerror}.") from None


def _prepare_process(settings: Settings) -> None:
    style = settings.log_format or ("json" if settings.production else "console")
    configure_logging(style, settings.log_level)
    # The SDK would send every run's trace to OpenAI as soon as there is a key.
    set_trace_processors([])


async def _prepare_database(settings: Settings, backchannel: Backchannel) -> None:
    database = Database(settings.database_url)
    try:
        await upgrade(database, *backchannel.migrations)
        await SqlRuns(database).interrupt_abandoned()
    except DatabaseError as error:
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the database cannot be used ({error.orig}). Check the file or the address."
        ) from error
    finally:
        await database.close()


def _grace(settings: Settings) -> int:
    return int(settings.shutdown_seconds) + STOP_SECONDS + 5


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

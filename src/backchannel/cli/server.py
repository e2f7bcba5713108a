"""The server's process: what `backchannel serve` runs once the settings are known to be right."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, override

import structlog
import uvicorn
from agents import set_trace_processors
from fastapi import FastAPI
from uvicorn.supervisors import ChangeReload, Multiprocess

from backchannel.app import Backchannel
from backchannel.errors import ConfigurationError
from backchannel.hosting.fastapi import create_app
from backchannel.observability.logging import configure_logging
from backchannel.runs.worker import STOP_SECONDS
from backchannel.settings import Settings, unknown_settings
from backchannel.stores.sql.migrate import check_newest, upgrade
from backchannel.wiring import build, load_target, open_database

TARGET_VARIABLE = "BACKCHANNEL_SERVE_TARGET"

_GRACE = STOP_SECONDS + 5
"""Seconds for connections to close once nothing goes on any more."""

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
        with _listen(host, port) as listener:
            server = Server(_config(_app(backchannel), host=host, port=port), announce=True)
            server.run(sockets=[listener])
        if not server.started:
            raise ConfigurationError("The server could not start; the log above says why.")
        return
    os.environ[TARGET_VARIABLE] = target
    print(f"Backchannel is starting at http://{_shown(host)}:{port}", flush=True)
    config = _config(_WORKER, host=host, port=port, workers=workers, reload=reload)
    with _listen(host, port) as listener:
        if reload:
            ChangeReload(config, target=Server(config).run, sockets=[listener]).run()
        else:
            Multiprocess(config, sockets=[listener]).run()


def app_of_worker() -> FastAPI:
    """The application of a process, made anew in each."""
    settings = Settings.load()
    _prepare_process(settings)
    return _app(build(settings, load_target(os.environ[TARGET_VARIABLE])))


_WORKER = "backchannel.cli.server:app_of_worker"


def _app(backchannel: Backchannel) -> FastAPI:
    app = create_app(backchannel)
    opened = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Any]:
        async with opened(app) as state:
            # What is loaded by now stays. Full collections that look at it again stop all streams for 0.1 s each.
            gc.collect()
            gc.freeze()
            # Most of what a token makes is gone with it, so it is enough to look for cycles less often.
            gc.set_threshold(20_000, 20, 20)
            with _drained_first(backchannel):
                yield state

    app.router.lifespan_context = lifespan
    return app


@contextmanager
def _drained_first(backchannel: Backchannel) -> Generator[None]:
    """Let a signal to exit first drain: the process is no longer ready and takes no more runs, those that go on end or
    are handed over, and their readers are told to reconnect. Only then is it Uvicorn's turn, which stops listening. (By
    itself it would stop listening at once, wait for the longest stream, and only then tell the application.)

    A second signal ends the process without waiting.
    """
    loop = asyncio.get_running_loop()
    usual = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    draining: list[asyncio.Task[None]] = []

    async def drain(sig: int) -> None:
        try:
            await backchannel.runs.drain(backchannel.settings.shutdown_seconds)
        finally:
            exit_now(sig, None)

    def exit_now(sig: int, frame: FrameType | None) -> None:
        handler = usual[signal.Signals(sig)]
        if callable(handler):
            handler(sig, frame)

    def on_signal(sig: int, frame: FrameType | None) -> None:
        if draining:
            exit_now(sig, frame)
        else:
            loop.call_soon_threadsafe(lambda: draining.append(loop.create_task(drain(sig))))

    for each in usual:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        for each, handler in usual.items():
            signal.signal(each, handler)


class Server(uvicorn.Server):
    """Uvicorn, except that it says where it listens, and that a clean stop does not look like a kill."""

    def __init__(self, config: uvicorn.Config, *, announce: bool = False) -> None:
        super().__init__(config)
        self._announce = announce

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._announce and self.started and not self.should_exit and sockets:
            port = sockets[0].getsockname()[1]
            print(
                f"Backchannel is running at http://{_shown(self.config.host)}:{port} (Ctrl+C to stop)",
                flush=True,
            )

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not the inherited method, which has the signal raised again at the end.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _config(
    app: FastAPI | str, *, host: str, port: int, workers: int | None = None, reload: bool = False
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=None if reload else workers,
        reload=reload,
        timeout_graceful_shutdown=_GRACE,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


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
    database = open_database(settings)
    try:
        bring_up_to_date = upgrade if settings.database_migrate else check_newest
        await bring_up_to_date(database, *backchannel.migrations)
    finally:
        await database.close()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

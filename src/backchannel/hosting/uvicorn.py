"""The server's own processes under Uvicorn: what `backchannel serve` runs once the settings are known to be right."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, override

import structlog
import uvicorn
from agents.tracing import set_trace_provider
from agents.tracing.provider import DefaultTraceProvider
from starlette.types import ASGIApp
from uvicorn.supervisors import ChangeReload, Multiprocess

from backchannel.app import Backchannel
from backchannel.errors import ConfigurationError
from backchannel.hosting.abort import AbortableResponses
from backchannel.hosting.connection_limits import ConnectionLimits
from backchannel.hosting.fastapi import create_app
from backchannel.hosting.limited_protocol import LimitedConfig
from backchannel.hosting.network_disks import network_disk
from backchannel.hosting.open_files import OTHER_FILES, raise_open_files
from backchannel.observability.logging import configure_logging
from backchannel.runs.worker import STOP_SECONDS
from backchannel.settings import Settings, unknown_settings
from backchannel.stores.sql.migrate import Migrations, check_newest, upgrade
from backchannel.targets import load_target
from backchannel.web.forwarded import TrustedProxies
from backchannel.wiring import build, open_database

_GRACE = STOP_SECONDS + 5
"""Seconds for connections to close after the drain."""

log = structlog.get_logger(__name__)


def run(settings: Settings, *, host: str, port: int, workers: int, reload: bool) -> None:
    """Serve `settings.app` until a signal ends the process.

    SIGTERM and SIGINT drain first (see `Backchannel.drain`). A second signal ends the process at once: other replicas,
    or the next start, take over the runs that were in progress.

    Raises:
        ConfigurationError: The target, the database or the address cannot be used.
        SystemExit: The application's lifespan failed while the server ran. It has been drained and closed.
    """
    _prepare_process(settings)
    if workers > 1 and settings.production:
        _check_disk(settings)
    if unknown := unknown_settings(os.environ):
        log.warning(
            "unknown_settings", names=unknown, hint="no such setting in this version; see .env.example"
        )
    backchannel = build(settings, load_target(settings.app))
    app = _app(backchannel)
    asyncio.run(_prepare_database(settings, backchannel.parts.migrations if backchannel.assembled else ()))
    if workers == 1 and not reload:
        with _listen(host, port) as listener:
            server = Server(_config(settings, app, host=host, port=port), announce=True)
            server.run(sockets=[listener])
        if not server.started and not server.interrupted:
            raise ConfigurationError("The server could not start; the log above says why.")
        if backchannel.failed.is_set():
            sys.exit(1)
        return
    # Workers read the settings anew.
    os.environ["BACKCHANNEL_APP"] = settings.app
    print(f"Backchannel is starting at http://{_shown(host)}:{port}", flush=True)
    config = _config(settings, _WORKER, host=host, port=port, workers=workers, reload=reload)
    with _listen(host, port) as listener:
        if reload:
            ChangeReload(config, target=Server(config).run, sockets=[listener]).run()
        else:
            Multiprocess(config, sockets=[listener]).run()


def _check_disk(settings: Settings) -> None:
    """Refuse several processes with a SQLite file on a network disk, where they lose each other's writes
    (https://www.sqlite.org/wal.html, section 1).

    Raises:
        ConfigurationError: It is on one.
    """
    file = settings.sqlite_file
    kind = None if file is None else network_disk(file)
    if kind is not None:
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL names a SQLite file on a network disk ({kind}), which several workers cannot "
            "share: use a local disk, one worker, or PostgreSQL"
        )


def app_of_worker() -> ASGIApp:
    """The application of a worker process, made anew in each."""
    _end_with_parent()
    settings = Settings.load()
    _prepare_process(settings)
    return _app(build(settings, load_target(settings.app)))


_WORKER = "backchannel.hosting.uvicorn:app_of_worker"
_EVENT_LOOP = "backchannel.hosting.event_loop:ServerEventLoop"


def _app(backchannel: Backchannel) -> ASGIApp:
    app = create_app(backchannel)
    opened = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[Any]:
        asyncio.get_running_loop().set_exception_handler(_log_task_failure)
        async with opened(app) as state:
            # What is loaded by now stays. Full collections that look at it again stop all streams for 0.1 s each.
            gc.collect()
            gc.freeze()
            # Most of what a token makes is gone with it, so it is enough to look for cycles less often.
            gc.set_threshold(20_000, 20, 20)
            with _drained_first(backchannel):
                yield state

    app.router.lifespan_context = lifespan
    return AbortableResponses(app)


@contextmanager
def _drained_first(backchannel: Backchannel) -> Generator[None]:
    """Drain on the first signal to exit, and hand the signal to Uvicorn only then. (By itself Uvicorn would stop
    listening at once, wait for the longest stream, and only then tell the application.) The same when the application's
    lifespan fails: nothing can be answered without it, and a process that ends is restarted."""
    loop = asyncio.get_running_loop()
    usual = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    draining: list[asyncio.Task[None]] = []

    async def drain(sig: int) -> None:
        try:
            await backchannel.drain()
        finally:
            handler = usual[signal.Signals(sig)]
            if callable(handler):
                handler(sig, None)

    def on_signal(sig: int, _frame: FrameType | None) -> None:
        if draining:
            _end_now(128 + sig)
        loop.call_soon_threadsafe(lambda: draining.append(loop.create_task(drain(sig))))

    async def end_after_failure() -> None:
        await backchannel.failed.wait()
        await drain(signal.SIGTERM)

    ending = loop.create_task(end_after_failure(), name="end_after_failure")
    for each in usual:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        ending.cancel()
        for each, handler in usual.items():
            signal.signal(each, handler)


def _end_now(code: int) -> None:
    """End the process without closing anything, as a crash would: an orderly end would wait for tools and readers."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _end_with_parent() -> None:
    """Let this worker end when its parent does, however that ends: a worker that stays would keep the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_for_parent() -> None:
        wait([parent.sentinel])
        _end_now(1)

    threading.Thread(target=wait_for_parent, name="parent", daemon=True).start()


def _log_task_failure(_loop: asyncio.AbstractEventLoop, failure: dict[str, Any]) -> None:
    """Log what asyncio reports about tasks that the application started and did not wait for, as one line."""
    task = failure.get("task") or failure.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else None
    log.error("task_failed", message=failure["message"], task=name, exc_info=failure.get("exception"))


class Server(uvicorn.Server):
    """Uvicorn, except that it prints where it listens, that a clean stop does not look like a kill, and that it can be
    interrupted while it starts.

    Attributes:
        interrupted: Whether a signal ended it while it was starting.
    """

    def __init__(self, config: uvicorn.Config, *, announce: bool = False) -> None:
        super().__init__(config)
        self.interrupted = False
        self._announce = announce
        self._serving: asyncio.Task[Any] | None = None

    @override
    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with suppress(asyncio.CancelledError):
            super().run(sockets)

    @override
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._serving = asyncio.current_task()
        await super().serve(sockets)

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
        if not self.started and self._serving is not None and not self.interrupted:
            self.interrupted = True
            # It would log the cancelled lifespan as a failure, with a traceback.
            logging.getLogger("uvicorn.error").disabled = True
            self._serving.get_loop().call_soon_threadsafe(self._serving.cancel)


def _config(
    settings: Settings,
    app: ASGIApp | str,
    *,
    host: str,
    port: int,
    workers: int | None = None,
    reload: bool = False,
) -> LimitedConfig:
    return LimitedConfig(
        app,
        limits=_limits(settings),
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=None if reload else workers,
        reload=reload,
        loop=_EVENT_LOOP,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=_GRACE,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # `web.forwarded` reads them, by BACKCHANNEL_TRUSTED_PROXIES.
        proxy_headers=False,
    )


def _limits(settings: Settings) -> ConnectionLimits:
    connections = settings.max_connections
    files = raise_open_files(connections + OTHER_FILES)
    if files is not None and files < connections + OTHER_FILES:
        connections = max(files - OTHER_FILES, files // 2)
        log.warning(
            "max_connections_lowered",
            connections=connections,
            hint=f"this process may open {files} files; see `ulimit -n`",
        )
    return ConnectionLimits(
        header_bytes=settings.max_header_bytes,
        header_seconds=settings.header_timeout_seconds,
        connections=connections,
        connections_per_address=settings.max_connections_per_address,
        exempt=TrustedProxies(settings.trusted_proxies).has,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. asyncio, the event loop on Windows, sets it only on sockets that name their protocol,
        # which these do not: a response whose head and body are written one after the other would take 40 ms more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise ConfigurationError(f"The server cannot listen on {host}:{port}: {error.strerror}.") from None


def _prepare_process(settings: Settings) -> None:
    style = settings.log_format or ("json" if settings.production else "console")
    configure_logging(style, settings.log_level)
    # The SDK would send every run's trace to OpenAI as soon as there is a key. `set_trace_processors` would first make
    # the exporter that does that, which loads all trusted certificates: a fifth of the CPU time of a start.
    set_trace_provider(DefaultTraceProvider())


async def _prepare_database(settings: Settings, migrations: Sequence[Migrations]) -> None:
    """Migrate before the workers start, which then only look; and report an unusable database in one line."""
    database = open_database(settings)
    try:
        bring_up_to_date = upgrade if settings.database_migrate else check_newest
        await bring_up_to_date(database, *migrations)
    finally:
        await database.close()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""Servers of the browser tests: real processes, with the offline model and a database of their own."""

import os
import signal
import time
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from backchannel.todo.tables import MIGRATIONS
from browser.held_server import CALLS_FILE, PAUSE_FILE
from databases import copy_tables
from processes import Process, free_port

START_SECONDS = 90
STOP_SECONDS = 15
DEFAULT_DATABASE = ".backchannel/backchannel.db"
TESTS = Path(__file__).parents[1]


# Tests send more requests from one address than people do.
UNLIMITED = {"rate_limit": "off", "rate_limit_address": "off"}


class Server:
    """`backchannel serve` at an address that stays the same when it is started again.

    Args:
        folder: For its database and its log.
        settings: `BACKCHANNEL_…`, by their names without that, in lower case.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._process = Process(folder / "server.log")
        self._pause = folder / "first-word-to-hold-back"
        self._calls = folder / "model-calls"
        self._environment = _environment() | {
            PAUSE_FILE: str(self._pause),
            CALLS_FILE: str(self._calls),
            **{f"BACKCHANNEL_{name.upper()}": value for name, value in (UNLIMITED | settings).items()},
        }
        copy_tables(folder / DEFAULT_DATABASE, MIGRATIONS)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._process.fork(
            ["serve", "--port", str(self.port)], self._environment, module="browser.held_server"
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.alive:
            try:
                with urlopen(f"{self.url}/health/ready", timeout=2) as response:
                    if response.status == 200:
                        return
            except (URLError, OSError):
                time.sleep(0.05)
        self.stop()
        pytest.fail(f"The server did not become ready. Its output:\n{self._process.told()[-4000:]}")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it with a signal, and wait for its end."""
        if not self._process.alive:
            return
        self._process.signal(by)
        deadline = time.monotonic() + STOP_SECONDS
        while self._process.alive:
            time.sleep(0.02)
            if time.monotonic() > deadline:
                self._process.signal(signal.SIGKILL)

    def hold_before_word(self, number: int) -> None:
        """Hold answers back from their word `number` on, counted from 0, until `go_on`."""
        # In one step: the server must never read half of it.
        written = self._pause.with_suffix(".new")
        written.write_text(str(number))
        written.replace(self._pause)

    def go_on(self) -> None:
        """Hold nothing back any more."""
        self._pause.unlink(missing_ok=True)

    def model_calls(self) -> int:
        """How many calls of the model are open."""
        return int(self._calls.read_text()) if self._calls.exists() else 0


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BACKCHANNEL_"))
    }
    return kept | {"BACKCHANNEL_MODEL": "offline", "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1"}

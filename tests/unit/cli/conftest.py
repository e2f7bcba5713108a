"""Commands in this process, and what processes of their own start with."""

import asyncio
import io
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from backchannel.cli import main
from backchannel.stores.sql.engine import Database


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of a command that ended with exit code 2."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        return line.removeprefix("backchannel: ")


type Command = Callable[..., Ended]


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Generator[Command]:
    """Runs `backchannel …` in an empty folder, with no settings but those given; `typed` is what somebody at a
    terminal types, `piped` what another program sends. Logging is afterwards as before."""
    for name in os.environ:
        if name.startswith(("BACKCHANNEL_", "OPENAI_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: str, typed: str | None = None, piped: str = "", **settings: str) -> Ended:
        with monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(f"BACKCHANNEL_{name.upper()}", value)
            patch.setattr(sys, "argv", ["backchannel", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(piped) if typed is None else Terminal(typed))
            capsys.readouterr()
            code: Any = 0
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
            return Ended(code, *capsys.readouterr())

    yield run
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


type UseDatabase = Callable[[str, Callable[[Database], Awaitable[Any]]], Any]


@pytest.fixture
def use_database() -> UseDatabase:
    """Does something with the database of an address, in an event loop of its own."""

    def use(url: str, work: Callable[[Database], Awaitable[Any]]) -> Any:
        async def open_and_close() -> Any:
            database = Database(url)
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(open_and_close())

    return use


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """No settings of Backchannel, a terminal that draws nothing, and compiled modules that later processes find."""
    dropped = ("BACKCHANNEL_", "OPENAI_", "PYTHONDONTWRITEBYTECODE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**clean, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}

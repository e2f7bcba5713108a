"""What is compared: the same agent, served in different ways, each as a user would run it."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.processes import ROOT, DidNotStartError, Measured

sys.path.insert(0, str(ROOT / "tests"))

from databases import empty_database

PLAIN = "plain"
PLAIN_SQLITE = "plain-sqlite"
BACKCHANNEL = "backchannel"

REDIS_URL = "redis://127.0.0.1:6379/0"

type Settings = Callable[[ExitStack, Path], Mapping[str, str]]
"""The environment of a contender; what it needs is made, and put away with the stack."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to serve the agent.

    Attributes:
        title: What a table calls it.
        arguments: What Python is run with.
        settings: Its environment, beside where the model is.
        needed: Whether a run without it is none.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    settings: Settings
    needed: bool = True


_UVICORN = ("-m", "uvicorn", "benchmarks.plain_app:app", "--port", "{port}")
_SERVE = ("-m", "backchannel", "serve", "benchmarks.agent:agent", "--port", "{port}")
# Counted as usual, and never reached.
_LIMITS = {"BACKCHANNEL_RATE_LIMIT": "1000000/minute", "BACKCHANNEL_RATE_LIMIT_ADDRESS": "1000000/minute"}


def _postgresql(stack: ExitStack, folder: Path) -> dict[str, str]:
    try:
        return {
            **_LIMITS,
            "BACKCHANNEL_DATABASE_URL": stack.enter_context(empty_database("postgresql", folder)),
        }
    except (pytest.skip.Exception, pytest.fail.Exception) as absent:
        raise DidNotStartError(str(absent)) from None


CONTENDERS = {
    each.name: each
    for each in (
        Contender(
            PLAIN, "plain pattern, in memory", _UVICORN, lambda _stack, _folder: {"PLAIN_STORE": "memory"}
        ),
        Contender(
            PLAIN_SQLITE,
            "plain pattern, SQLite",
            _UVICORN,
            lambda _stack, folder: {"PLAIN_STORE": str(folder / "plain.db")},
        ),
        Contender(BACKCHANNEL, "Backchannel, SQLite", _SERVE, lambda _stack, _folder: dict(_LIMITS)),
        Contender(
            "backchannel-untitled",
            "Backchannel, SQLite, titles by rule",
            _SERVE,
            lambda _stack, _folder: {**_LIMITS, "BACKCHANNEL_TITLES": "rule"},
        ),
        Contender("backchannel-postgresql", "Backchannel, PostgreSQL", _SERVE, _postgresql, needed=False),
        Contender(
            "backchannel-redis",
            "Backchannel, PostgreSQL and Redis",
            _SERVE,
            lambda stack, folder: {**_postgresql(stack, folder), "BACKCHANNEL_REDIS_URL": REDIS_URL},
            needed=False,
        ),
    )
}


def fake_model(folder: Path) -> Measured:
    """The model server that all contenders talk to."""
    return Measured("fake model", ("-m", "benchmarks.fake_model", "--port", "{port}"), folder / "model")


async def prepare(contender: Contender, model: Measured, stack: ExitStack, folder: Path) -> Measured:
    """The process of a contender, not yet started.

    Raises:
        DidNotStartError: A service that it needs is not there.
    """
    home = folder / contender.name
    home.mkdir(parents=True)
    settings = await asyncio.to_thread(contender.settings, stack, home)
    where = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "none"}
    return Measured(contender.name, contender.arguments, home, {**where, **settings})

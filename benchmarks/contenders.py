"""What is compared: the same agent, served in different ways, each as a user would run it."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.credentials import JWT_SECRET, Credentials, log_in, no_credentials, token
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
        credentials: Gives the headers with which a person is known to it, once it runs.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    settings: Settings
    needed: bool = True
    credentials: Credentials = no_credentials


_UVICORN = ("-m", "uvicorn", "benchmarks.plain_app:app", "--port", "{port}")
_SERVE = ("-m", "backchannel", "serve", "benchmarks.agent:agent", "--port", "{port}")


def _postgresql(stack: ExitStack, folder: Path) -> dict[str, str]:
    try:
        return {"BACKCHANNEL_DATABASE_URL": stack.enter_context(empty_database("postgresql", folder))}
    except (pytest.skip.Exception, pytest.fail.Exception) as absent:
        raise DidNotStartError(str(absent)) from None


_LIMITS = {
    "BACKCHANNEL_RATE_LIMIT": "1000000/minute",
    "BACKCHANNEL_RATE_LIMIT_ADDRESS": "1000000/minute",
    "BACKCHANNEL_MAX_CONCURRENT_RUNS": "1000",
}
_BUDGETS = {"BACKCHANNEL_TOKEN_BUDGET": "1000000000/day"}
_PASSWORD = {"BACKCHANNEL_AUTH": "password", "BACKCHANNEL_PASSWORD_HASH_MEMORY_MIB": "19"}
_JWT = {"BACKCHANNEL_AUTH": "jwt", "BACKCHANNEL_JWT_SECRET": JWT_SECRET}


def _redis(stack: ExitStack, folder: Path) -> dict[str, str]:
    return {**_postgresql(stack, folder), "BACKCHANNEL_REDIS_URL": REDIS_URL}


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
        Contender(BACKCHANNEL, "Backchannel, SQLite", _SERVE, lambda _stack, _folder: {}),
        Contender(
            "backchannel-untitled",
            "Backchannel, SQLite, titles by rule",
            _SERVE,
            lambda _stack, _folder: {"BACKCHANNEL_TITLES": "rule"},
        ),
        Contender("backchannel-postgresql", "Backchannel, PostgreSQL", _SERVE, _postgresql, needed=False),
        Contender(
            "backchannel-redis",
            "Backchannel, PostgreSQL and Redis",
            _SERVE,
            _redis,
            needed=False,
        ),
        Contender(
            "backchannel-session",
            "Backchannel, SQLite, session and limits",
            _SERVE,
            lambda _stack, _folder: {**_PASSWORD, **_LIMITS},
            credentials=log_in,
        ),
        Contender(
            "backchannel-jwt",
            "Backchannel, SQLite, JWT and limits",
            _SERVE,
            lambda _stack, _folder: {**_JWT, **_LIMITS},
            credentials=token,
        ),
        Contender(
            "backchannel-budget",
            "Backchannel, SQLite, token budget",
            _SERVE,
            lambda _stack, _folder: _BUDGETS,
        ),
        Contender(
            "backchannel-redis-session",
            "Backchannel, PostgreSQL and Redis, session and limits",
            _SERVE,
            lambda stack, folder: {**_redis(stack, folder), **_PASSWORD, **_LIMITS},
            needed=False,
            credentials=log_in,
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
    return Measured(
        contender.name, contender.arguments, home, {**where, **settings}, credentials=contender.credentials
    )

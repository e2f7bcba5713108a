"""A real server on a real port, in the test's own event loop, answering with whatever the test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import http_servers
from backchannel.app import Backchannel
from backchannel.hosting.fastapi import create_app
from backchannel.settings import Settings
from backchannel.testing import ChatKitClient
from backchannel.wiring import Target, build
from databases import KINDS, copy_tables, database_with_tables

WAIT_SECONDS = 10
DEFAULT_DATABASE = ".backchannel/backchannel.db"
"""Of the settings, in the working directory. Making the tables anew would take as long as most tests."""


@dataclass
class Served:
    """A running server.

    Attributes:
        person: A client with a cookie jar of its own, made by `someone()` before the test began.
    """

    url: str
    backchannel: Backchannel
    stack: AsyncExitStack
    person: ChatKitClient

    async def someone(self, token: str | None = None) -> ChatKitClient:
        """A client that is another person."""
        return await self.stack.enter_async_context(
            ChatKitClient(self.url, token=token, timeout=WAIT_SECONDS)
        )

    async def create(self, text: str = "hello") -> tuple[str, list[dict[str, Any]]]:
        """Start a thread; its id and the events of the answer."""
        events = await (await self.person.say(text)).events()
        return events[0]["thread"]["id"], events

    async def items(self, thread_id: str, **params: Any) -> list[dict[str, Any]]:
        """The thread's items, oldest first."""
        params = {"thread_id": thread_id, "order": "asc", "limit": 100, **params}
        return (await self.person.request("items.list", params))["data"]


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The address of a database with Backchannel's tables, of each kind in turn."""
    with database_with_tables(request.param, tmp_path) as url:
        yield url


type Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Start a server: `await serve(agent, heartbeat_seconds=1)`."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    copy_tables(tmp_path / DEFAULT_DATABASE)
    async with AsyncExitStack() as stack:

        async def start(target: Target, **settings: Any) -> Served:
            backchannel = build(Settings.load(**settings), target)
            url = await stack.enter_async_context(listening(backchannel))
            person = await stack.enter_async_context(ChatKitClient(url, timeout=WAIT_SECONDS))
            return Served(url, backchannel, stack, person)

        yield start


class listening:  # noqa: N801 - used like a function
    """Serve on a free port while the context is open."""

    def __init__(self, backchannel: Backchannel) -> None:
        self._backchannel = backchannel
        self._serving = http_servers.listening(
            create_app(backchannel), timeout_graceful_shutdown=WAIT_SECONDS
        )

    async def __aenter__(self) -> str:
        url, _ = await self._serving.__aenter__()
        return url

    async def __aexit__(self, *error: Any) -> None:
        # As the signal handler of `backchannel serve` does: answers end first, then connections.
        await self._backchannel.runs.drain(0)
        # Clients that have closed their connections: Uvicorn waits for each that it has not noticed.
        for _ in range(20):
            await asyncio.sleep(0)
        await self._serving.__aexit__(*error)


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait, for a bounded time, until a condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.005)
    assert holds(), what


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], bool], str], Awaitable[None]]:
    """`await eventually(lambda: condition, "what was expected")`."""
    return eventually

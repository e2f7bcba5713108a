"""Runs over a real database and a real ChatServer whose model is scripted."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from agents import Agent, ModelProvider, function_tool
from agents.models.multi_provider import MultiProvider

from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.server import ChatServer
from backchannel.context import Identity, RequestContext
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.ids import new_id
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.idempotency import SqlIdempotencyStore
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import ScriptedModel


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)


@pytest.fixture
def run_store(database: Database) -> SqlRuns:
    return SqlRuns(database)


@pytest.fixture
async def events() -> AsyncGenerator[MemoryEventLog]:
    log = MemoryEventLog(retention=60)
    yield log
    await log.aclose()


@function_tool
def add_todo(title: str) -> str:
    """Add a todo."""
    return f"added {title}"


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def chat_server(store: SqlStore, model: ScriptedModel) -> ChatServer:
    provider: ModelProvider = MultiProvider()
    return ChatServer(Agent(name="A", model=model, tools=[add_todo]), store, AnswerOptions(provider))


@pytest.fixture
def stores(database: Database, run_store: SqlRuns, events: MemoryEventLog) -> RunStores:
    return RunStores(run_store, run_store, SqlIdempotencyStore(database), SqlReplicas(database), events)


@pytest.fixture
async def runs(chat_server: ChatServer, stores: RunStores) -> AsyncGenerator[Runs]:
    runs = Runs(chat_server, stores)
    yield runs
    await runs.drain(0)


@pytest.fixture
def ann() -> RequestContext:
    return RequestContext(Identity("ann", tenant="acme"), request_id=new_id("request"))


@pytest.fixture
def eve() -> RequestContext:
    return RequestContext(Identity("eve", tenant="acme"), request_id=new_id("request"))


@pytest.fixture
def replay(events: MemoryEventLog) -> Callable[[str], Awaitable[list[dict[str, Any]]]]:
    """Everything a run says, up to its end."""

    async def follow(run_id: str) -> list[dict[str, Any]]:
        after, found = 0, list[dict[str, Any]]()
        while True:
            async with asyncio.timeout(10):
                batch = await events.read(run_id, after, wait=10)
            found += [json.loads(frame.event.body()) for frame in batch.frames if not frame.event.plain]
            after = batch.frames[-1].seq if batch.frames else after
            if batch.ended:
                return found

    return follow


@pytest.fixture
def hear(events: MemoryEventLog) -> Callable[[str, str], Awaitable[None]]:
    """Waits until a run has said something."""

    async def wait(run_id: str, text: str) -> None:
        after, said = 0, ""
        async with asyncio.timeout(10):
            while text not in said:
                batch = await events.read(run_id, after, wait=10)
                said += "".join(frame.event.text or "" for frame in batch.frames)
                after = batch.frames[-1].seq if batch.frames else after

    return wait

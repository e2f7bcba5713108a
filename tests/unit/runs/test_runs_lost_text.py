"""A process dies when a message is stored and a part of its text is not in the log: readers can still put it together.

Readers get text at once and the log is written every 0.1 seconds, so that the two differ at each moment.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import override

import pytest
from agents import Agent
from agents.models.multi_provider import MultiProvider

from backchannel import faultpoints, plain
from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.server import ChatServer
from backchannel.context import RequestContext
from backchannel.errors import UnavailableError
from backchannel.event_logs import flusher
from backchannel.event_logs.base import Event, EventLog, Frame
from backchannel.event_logs.durable import DurableEventLog
from backchannel.event_logs.sql import SqlStorage
from backchannel.event_logs.storage import WriteBatch
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.idempotency import SqlIdempotencyStore
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import Say, ScriptedModel
from unit.runs.requests import say

pytestmark = pytest.mark.row("R1")

WORDS = [f"word{number} " for number in range(12)]
SECONDS = 10


class SlowStorage(SqlStorage):
    """Takes longer to persist events than a message takes to be stored.

    Attributes:
        persisted: The text that is persisted.
        away: Nothing is persisted any more.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, retention=60, poll_seconds=0.01)
        self.persisted = ""
        self.away = False

    @override
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        await asyncio.sleep(0.1)
        if self.away:
            raise UnavailableError("It is away.")
        result = await super().append(batches)
        self.persisted += "".join(segment.text or "" for batch in batches for segment in batch.segments)
        return result


class Process:
    """A process: its event log and its runs."""

    def __init__(self, database: Database, server: ChatServer, storage: SqlStorage) -> None:
        self.events = DurableEventLog(storage)
        run_store = SqlRuns(database)
        self.runs = Runs(
            server,
            RunStores(
                run_store, run_store, SqlIdempotencyStore(database), SqlReplicas(database), self.events
            ),
        )


@pytest.fixture
async def processes(
    database: Database, store: SqlStore, model: ScriptedModel
) -> AsyncGenerator[Callable[[SqlStorage], Process]]:
    made: list[Process] = []
    server = ChatServer(Agent(name="A", model=model), store, AnswerOptions(MultiProvider(), titles=False))

    def make(storage: SqlStorage) -> Process:
        made.append(Process(database, server, storage))
        return made[-1]

    yield make
    for process in made:
        await process.runs.drain(0)
        await process.events.aclose()


@pytest.fixture
def reached() -> Generator[dict[str, Callable[[], None]]]:
    """What to do at points that are reached."""
    actions: dict[str, Callable[[], None]] = {}
    faultpoints.observe(lambda point: actions.get(point, lambda: None)())
    yield actions
    faultpoints.observe(None)


async def read(
    events: EventLog, run_id: str, after: int, *, until: Callable[[list[Frame]], bool]
) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(SECONDS):
        while True:
            batch = await events.read(run_id, after, wait=SECONDS)
            frames += batch.frames
            after = frames[-1].seq if frames else after
            if batch.ended or until(frames):
                return frames


def text_of(frames: Sequence[Frame]) -> str:
    return "".join(frame.event.text or "" for frame in frames)


def never(_frames: list[Frame]) -> bool:
    return False


def added_up(frames: Sequence[Frame]) -> list[tuple[str, str]]:
    """Of each assistant message in ChatKit's events: what its updates add up to, and its text when it is done."""
    texts: dict[str, str] = {}
    done: list[tuple[str, str]] = []
    for event in (json.loads(frame.event.body()) for frame in frames if not frame.event.plain):
        match event["type"], event.get("item", {}).get("type"):
            case "thread.item.added", "assistant_message":
                texts[event["item"]["id"]] = ""
            case "thread.item.removed", _:
                texts.pop(event["item_id"], None)
            case "thread.item.updated", _ if event["update"]["type"].endswith("text_delta"):
                texts[event["item_id"]] += event["update"]["delta"]
            case "thread.item.done", "assistant_message":
                item = event["item"]
                done.append((texts.pop(item["id"]), "".join(part["text"] for part in item["content"])))
            case _:
                pass
    return done


def added_up_plainly(run_id: str, frames: Sequence[Frame]) -> list[tuple[str, str]]:
    """The same in the plain API's events."""
    texts: dict[str, str] = {}
    done: list[tuple[str, str]] = []
    lines = plain.encode(run_id, frames).decode().split("\n")
    for event in (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")):
        match event["type"], event.get("item", {}).get("type"):
            case "conversation.item.created", "assistant_message":
                texts[event["item"]["id"]] = ""
            case "conversation.item.deleted", _:
                texts.pop(event["item_id"], None)
            case "conversation.item.updated", _ if event["delta"]["type"] == "text":
                texts[event["item_id"]] += event["delta"]["text"]
            case "conversation.item.completed", "assistant_message":
                item = event["item"]
                done.append((texts.pop(item["id"]), "".join(part["text"] for part in item["content"])))
            case _:
                pass
    return done


async def test_all_text_of_a_message_is_in_the_log_before_it_is_stored(
    database: Database,
    processes: Callable[[SqlStorage], Process],
    model: ScriptedModel,
    ann: RequestContext,
    reached: dict[str, Callable[[], None]],
):
    """get-convex/agent#323: the end of a fast answer was missing from the deltas, though the message was complete."""
    storage = SlowStorage(database)
    persisted_when_stored: list[str] = []
    reached["item.stored"] = lambda: persisted_when_stored.append(storage.persisted)
    process = processes(storage)
    model.add(Say(WORDS))
    run_id = await process.runs.start(say("count"), ann)
    frames = await read(process.events, run_id, 0, until=never)
    assert persisted_when_stored == ["".join(WORDS)]
    assert added_up(frames) == added_up_plainly(run_id, frames) == [("".join(WORDS), "".join(WORDS))]


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
async def test_text_that_the_log_has_lost_is_sent_again(
    database: Database,
    processes: Callable[[SqlStorage], Process],
    model: ScriptedModel,
    ann: RequestContext,
    reached: dict[str, Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    ended: bool,
):
    """The log cannot be written and the store can: other readers have other parts of the text."""
    monkeypatch.setattr(flusher, "TIMEOUT_SECONDS", 0.3)
    storage, stored, gate = SlowStorage(database), asyncio.Event(), asyncio.Event()
    reached["run.finished" if ended else "item.stored"] = stored.set
    victim = processes(storage)
    model.add(Say(WORDS[:6], until=gate))
    run_id = await victim.runs.start(say("count"), ann)
    seen = await read(victim.events, run_id, 0, until=lambda frames: len(text_of(frames)) > 0)
    storage.away = True
    gate.set()
    await asyncio.wait_for(stored.wait(), SECONDS)
    if not ended:
        run = victim.runs.worker.get(run_id)
        assert run is not None
        run.stop("fenced")
    heir = processes(SqlStorage(database, retention=60, poll_seconds=0.01))
    former = (await heir.runs.load(run_id, ann.identity)).replica
    await heir.runs.worker.take_over([run_id], former)
    readers = {
        "from the dead process": seen + await read(heir.events, run_id, seen[-1].seq, until=never),
        "from the beginning": await read(heir.events, run_id, 0, until=never),
    }
    for name, frames in readers.items():
        for text, done in added_up(frames) + added_up_plainly(run_id, frames):
            assert text == done, name
        assert added_up(frames)[-1][1] == "".join(WORDS[:6])


async def test_readers_of_a_stopped_answer_have_the_text_that_is_stored(
    database: Database,
    processes: Callable[[SqlStorage], Process],
    model: ScriptedModel,
    ann: RequestContext,
    monkeypatch: pytest.MonkeyPatch,
):
    """It is stopped after its process died: the log has less of the text than readers of that process."""
    monkeypatch.setattr(flusher, "TIMEOUT_SECONDS", 1)
    storage = SlowStorage(database)
    victim = processes(storage)
    model.add(Say(WORDS, until=asyncio.Event()))
    run_id = await victim.runs.start(say("count"), ann)
    begun = await read(victim.events, run_id, 0, until=lambda frames: len(text_of(frames)) > 0)
    await victim.events.flush(run_id)
    storage.away = True
    run = victim.runs.worker.get(run_id)
    assert run is not None
    assert run.task is not None
    head = next(frame.event.head for frame in begun if frame.event.text is not None)
    victim.events.append(run_id, Event(head, "and what the log has lost"))
    seen = begun + await read(
        victim.events, run_id, begun[-1].seq, until=lambda frames: "lost" in text_of(frames)
    )
    run.stop("fenced")
    await asyncio.wait([run.task], timeout=SECONDS)
    heir = processes(SqlStorage(database, retention=60, poll_seconds=0.01))
    await SqlRuns(database).request_stop(run_id, ann.identity, "cancelled")
    former = (await heir.runs.load(run_id, ann.identity)).replica
    assert await heir.runs.worker.take_over([run_id], former) == 1
    frames = seen + await read(heir.events, run_id, seen[-1].seq, until=never)
    for [(text, done)] in (added_up(frames), added_up_plainly(run_id, frames)):
        assert text == done
    assert (await heir.runs.load(run_id, ann.identity)).status == "cancelled"

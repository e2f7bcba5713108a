"""`kill -9` at every point of a turn at which it can leave something else behind (`backchannel.faultpoints`).

Somebody talks with a replica that dies at one of the points. Their client then goes on with another replica, or with
the same one after it was started again. What must hold, wherever it died:

- every message that was accepted is answered, once, and in order; none is there twice;
- a tool without a key never runs twice, an idempotent one runs at least once and with one key only;
- what models and tools had done and was kept is not asked for again;
- what the client was told, over all its connections, is what is kept;
- nothing is stuck: no run goes on, and the thread's next message is answered.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backchannel.errors import ModelQuotaError
from backchannel.faultpoints import POINTS
from faults.cluster import Cluster, Replica, running
from faults.model_server import ModelServer, whole
from faults.talker import UNKNOWN, Person, texts
from processes import until

pytestmark = pytest.mark.row("H1", "C4", "C6", "H7")

SECONDS = 90
"""For one conversation, beside others."""
AT_ONCE = 4
"""How many are held at the same time."""
LAST_STEPS_SECONDS = 3
"""For the points that come after the last answer was told."""
NOTE_CHARACTERS = 8000
SECOND_TIME = (
    "request.accepted",
    "queue.stored",
    "queue.claimed",
    "item.stored",
    "tool.journaled",
    "tool.returned",
    "run.finished",
)
"""Points that leave something else behind when they are reached for the second time."""
TALK_POINTS = tuple(
    point for point in POINTS if point not in {"stop.stored", "failure.stored", "part.stored"}
)
ROUNDS = [("sqlite", 1, TALK_POINTS), ("postgresql+redis", 2, SECOND_TIME)]
"""Kinds of database, how often a point is reached until the process dies, and which points."""
HEIRS_POINTS = ("item.stored", "tool.journaled", "tool.returned", "answer.completed", "run.finished")
"""Points at which a replica dies that goes on with the answer of another dead one."""


class Conversation:
    """What somebody says, how it is answered, and what must have come of it."""

    ANSWERS = (("work", 12), ("held", 12), ("queued0", 4), ("queued1", 4), ("ask", 3))
    """The messages, and the tokens of their answers."""
    MODEL_CALLS = 4 + 1 + 1 + 1 + 2

    def __init__(self, cluster: Cluster, ada: Person) -> None:
        self.cluster = cluster
        self.ada = ada
        self.label = ada.user

    async def hold(self) -> None:
        """Say everything."""
        ada, label = self.ada, self.label
        work = await ada.say(
            f"{label}-work: call record {label}-1 then call record_once {label}-2 then hand off to helper "
            "then tokens 12"
        )
        held = await ada.ask(f"{label}-held: tokens 12 hold {label} at 6", work)
        waiting = [await ada.ask(f"{label}-queued{number}: tokens 4", work) for number in range(2)]
        self.cluster.model.gate(label).set()
        in_turn = [await answer.finish() for answer in (held, *waiting)]
        asking = await ada.say(f"{label}-ask: call ask_page why then tokens 3", work)
        self.answers = [work, *in_turn, asking]
        # If the process died while the tool ran that asks the page, nobody knows whether it was asked.
        if asking.run["status"] == "waiting":
            self.answers.append(await (await ada.answer_tool(asking, {"because": 1})).finish())

    async def check(self, *, deaths: int) -> None:
        """See that everything holds."""
        ada, label, thread = self.ada, self.label, self.answers[0]
        said = texts(await ada.sees_what_is_kept(thread))
        assert len(said) == 2 * len(self.ANSWERS), said
        for (name, tokens), question, answer in zip(self.ANSWERS, said[::2], said[1::2], strict=True):
            assert question.startswith(f"{label}-{name}: "), said
            assert whole(answer, f"{label}-{name}", tokens), said
        assert [answer.errors for answer in self.answers] == [[]] * len(self.answers)
        statuses = {run["id"]: run["status"] for run in await ada.runs(thread)}
        assert statuses == {answer.run_id: "completed" for answer in self.answers}
        self._check_tools(deaths)
        # Each death cuts off one call of the model, at most, and that is made again.
        calls = [call for name, _ in self.ANSWERS for call in self.cluster.model.of(f"{label}-{name}")]
        assert len(calls) <= self.MODEL_CALLS + deaths, [(call.label, call.step) for call in calls]
        last = await ada.say(f"{label}-last: say still here", thread)
        assert texts(await ada.sees_what_is_kept(last))[-1] == "still here "
        assert await ada.runs(last, active=True) == []

    def _check_tools(self, deaths: int) -> None:
        label, ledger = self.label, self.cluster.ledger
        assert len(ledger("record", f"{label}-1")) <= 1
        once = ledger("record_once", f"{label}-2")
        assert 1 <= len(once) <= 1 + deaths
        assert len({line["key"] for line in once}) == 1
        outputs = list(self.cluster.model.of(f"{label}-work")[-1].outputs.values())
        assert f"recorded {label}-2 once" in outputs
        if f"recorded {label}-1" not in outputs:
            # The process died around it: the model is told that nobody knows whether it ran.
            assert any(UNKNOWN in output for output in outputs), outputs


@asynccontextmanager
async def talking(
    kind: str, folder: Path, model: ModelServer, name: str
) -> AsyncGenerator[tuple[Cluster, Conversation]]:
    """Replicas that are not started yet, one on SQLite and two elsewhere, and a conversation with the first of them."""
    async with running(kind, folder / name, model) as cluster:
        for _ in range(1 if kind == "sqlite" else 2):
            cluster.replica()
        async with explained(cluster), Person(cluster.urls, user=name) as ada:
            yield cluster, Conversation(cluster, ada)


@pytest.mark.parametrize(("kind", "number", "points"), ROUNDS, ids=[kind for kind, *_ in ROUNDS])
async def test_a_conversation_survives_a_death(
    model: ModelServer, tmp_path: Path, kind: str, number: int, points: Sequence[str]
):
    async def survive(point: str) -> None:
        name = f"{kind}-{number}-{point}".replace(".", "-")
        async with talking(kind, tmp_path, model, name) as (cluster, conversation):
            victim, *others = cluster.replicas
            await asyncio.gather(
                victim.start(FAULTS_KILL_AT=f"{point}:{number}"), *(other.start() for other in others)
            )
            async with asyncio.TaskGroup() as tasks:
                talk = tasks.create_task(conversation.hold())
                await until_dead(victim, talk)
                if not others:
                    await victim.start()
            await conversation.check(deaths=1)

    await each_survives(points, survive)


async def test_a_conversation_survives_the_death_of_the_heir_too(model: ModelServer, tmp_path: Path):
    """Its replica dies, and at one of the points the one that goes on with it."""

    async def survive(point: str) -> None:
        name = f"heir-{point}".replace(".", "-")
        async with talking("mariadb", tmp_path, model, name) as (cluster, conversation):
            first, heir = cluster.replicas
            await asyncio.gather(
                first.start(FAULTS_KILL_AT="tool.returned"), heir.start(FAULTS_KILL_AT=point)
            )
            async with asyncio.TaskGroup() as tasks:
                talk = tasks.create_task(conversation.hold())
                await until_dead(first, talk)
                await until_dead(heir, talk)
                await first.start()
            await conversation.check(deaths=2)

    await each_survives(HEIRS_POINTS, survive)


@pytest.mark.row("C5")
@pytest.mark.parametrize("point", ["stop.stored", "part.stored", "run.finished"])
async def test_a_stop_survives_a_death(model: ModelServer, tmp_path: Path, point: str):
    """What was shown is kept, once, and the run is stopped: its part does not pass for the whole answer."""
    async with talking("sqlite", tmp_path, model, f"stop-{point}".replace(".", "-")) as (cluster, talk):
        [victim], ada, label = cluster.replicas, talk.ada, talk.label
        await victim.start(FAULTS_KILL_AT=point)
        answer = await ada.ask(f"{label}: tokens 12 hold {label} at 6")
        await answer.until_said(":5 ")
        stopping = asyncio.create_task(ada.stop(answer.run_id))
        assert await victim.process.ended(SECONDS) == -9
        await victim.start()
        await stopping
        await answer.finish()
        assert (answer.run["status"], answer.errors) == ("cancelled", [])
        said = texts(await ada.sees_what_is_kept(answer))
        assert len(said) == 2, said
        assert whole(said[1], label, 6), said
        cluster.model.gate(label).set()
        last = await ada.say(f"{label}-last: say still here", answer)
        assert texts(await ada.sees_what_is_kept(answer, last))[-1] == "still here "
        shown = "".join(cluster.model.of(f"{label}-last")[-1].texts)
        assert shown.count("The user cancelled the stream") == 1, shown


@pytest.mark.row("C8")
@pytest.mark.parametrize("point", ["failure.stored", "part.stored", "run.finished"])
async def test_a_failure_survives_a_death(model: ModelServer, tmp_path: Path, point: str):
    """What was shown is kept, the failure is shown once, and the model is not called again."""
    async with talking("sqlite", tmp_path, model, f"cut-{point}".replace(".", "-")) as (cluster, talk):
        [victim], ada, label = cluster.replicas, talk.ada, talk.label
        await victim.start(FAULTS_KILL_AT=point)
        answer = await ada.ask(f"{label}: tokens 12 cut 6")
        assert await victim.process.ended(SECONDS) == -9
        await victim.start()
        await answer.finish()
        assert answer.run["status"] == "failed"
        assert len(answer.errors) == 1, answer.errors
        said = texts(await ada.sees_what_is_kept(answer))
        assert len(said) == 2, said
        assert whole(said[1], label, 6), said
        assert len(cluster.model.of(label)) == 1
        last = await ada.say(f"{label}-last: say still here", answer)
        assert texts(await ada.sees_what_is_kept(answer, last))[-1] == "still here "


@pytest.mark.row("A1")
@pytest.mark.parametrize("tool", ["record_last", "ask_page"])
async def test_an_answer_that_a_tool_ends_survives_a_death(model: ModelServer, tmp_path: Path, tool: str):
    """Between the output of the tool and what is shown of it: neither the model nor the tool is called again."""
    async with talking("sqlite", tmp_path, model, f"end-{tool}".replace("_", "-")) as (cluster, talk):
        [victim], ada, label = cluster.replicas, talk.ada, talk.label
        # The tool's output is the first item of the answer that is complete.
        await victim.start(FAULTS_KILL_AT="item.stored")
        answer = await ada.ask(f"{label}: call {tool} {label}")
        assert await victim.process.ended(SECONDS) == -9
        await victim.start()
        await answer.finish()
        assert answer.errors == []
        assert len(model.of(label)) == 1
        if tool == "ask_page":
            assert answer.run["status"] == "waiting"
            answer = await (await ada.answer_tool(answer, {"because": 1})).finish()
            assert list(model.of(label)[-1].outputs.values()) == ['{"because": 1}']
        else:
            assert len(cluster.ledger(tool, label)) == 1
            assert texts(await ada.sees_what_is_kept(answer)) == [
                f"{label}: call {tool} {label}",
                f"recorded {label}",
            ]
        assert answer.run["status"] == "completed"


async def until_dead(replica: Replica, talk: asyncio.Task[None]) -> None:
    """Wait until a process has died by itself, while somebody talks."""
    dying = asyncio.create_task(replica.process.ended(SECONDS))
    await asyncio.wait((talk, dying), return_when=asyncio.FIRST_COMPLETED)
    if talk.done():
        # What went wrong, if something did.
        await talk
        await asyncio.wait((dying,), timeout=LAST_STEPS_SECONDS)
    assert dying.done(), f"{replica.name} never reached the point at which it dies"
    assert await dying == -9, replica.process.told()[-3000:]


async def each_survives[Case](cases: Sequence[Case], survive: Callable[[Case], Awaitable[None]]) -> None:
    """Hold a conversation in each case, some at the same time.

    Raises:
        ExceptionGroup: What went wrong, with a note that names the case.
    """
    room = asyncio.Semaphore(AT_ONCE)

    async def outcome(case: Case) -> Exception | None:
        async with room:
            try:
                async with asyncio.timeout(SECONDS):
                    await survive(case)
            except Exception as error:
                error.add_note(f"died at {case}")
                return error
        return None

    errors = await asyncio.gather(*map(outcome, cases))
    if found := [error for error in errors if error is not None]:
        raise ExceptionGroup(f"{len(found)} of {len(cases)} conversations did not survive", found)


@asynccontextmanager
async def explained(cluster: Cluster) -> AsyncGenerator[None]:
    """Let an error tell what the processes wrote."""
    try:
        yield
    except BaseException as error:
        for replica in cluster.replicas:
            error.add_note(f"log of {replica.name}:\n{replica.process.told()[-NOTE_CHARACTERS:]}")
        raise


@pytest.mark.row("C8", "H1")
async def test_the_code_of_a_failure_outlives_the_process_that_stored_it(model: ModelServer, tmp_path: Path):
    """The row has ended, and the log lacks the error: its readers get the code that the row has."""
    async with running("sqlite", tmp_path / "failed", model) as cluster, Person([], user="ada") as ada:
        replica = cluster.replica()
        await replica.start(FAULTS_KILL_AT="run.finished")
        ada.replicas = cluster.urls
        answer = await ada.ask("failed: fail 402")
        await until(lambda: not replica.process.alive, "it dies")
        await replica.start()
        await answer.finish()
    assert (answer.run["status"], len(answer.errors)) == ("failed", 1)
    error = answer.errors[0]
    assert (error["reason"], error["allow_retry"]) == ("model_quota", False)
    assert error["message"] == ModelQuotaError.text

"""A second message while an answer is being made, on two replicas that know of each other only by the database.

What must hold: the same rules as on one replica. `reject` refuses it and keeps nothing. `enqueue` answers one after
the other, in the order in which they were taken in, also when all replicas die in between. `interrupt` stops the
answer, keeps what was said, and answers the new message.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from backchannel.testing import ServerError
from faults.cluster import Cluster, running
from faults.model_server import ModelServer, whole
from faults.talker import Answer, Person, texts
from processes import until, within

pytestmark = pytest.mark.row("C6", "H2")

KINDS = {"reject": "postgresql", "enqueue": "mariadb", "interrupt": "postgresql+redis"}

type Replicas = Callable[[str], Awaitable[Cluster]]


@pytest.fixture(scope="module")
async def replicas(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Replicas]:
    """Two replicas that follow a policy; the same ones for all tests of it."""
    known: dict[str, Cluster] = {}
    async with AsyncExitStack() as stack:

        async def following(policy: str) -> Cluster:
            if policy not in known:
                cluster = running(
                    KINDS[policy], tmp_path_factory.mktemp(policy), model, 2, while_running=policy
                )
                known[policy] = await stack.enter_async_context(cluster)
            return known[policy]

        yield following


@pytest.fixture
def label() -> str:
    """Names the messages of one test."""
    return f"m{secrets.token_hex(4)}"


async def held(ada: Person, cluster: Cluster, label: str) -> Answer:
    """An answer that is being made by the first replica."""
    answer = await ada.ask(f"{label}: tokens 20 hold {label} at 10", at=cluster.urls[:1])
    return await answer.until_said(":9 ")


@within(40)
async def test_rejected_messages_change_nothing(replicas: Replicas, label: str, model: ModelServer):
    cluster = await replicas("reject")
    async with Person(cluster.urls) as ada:
        first = await held(ada, cluster, label)
        for url in cluster.urls:
            with pytest.raises(ServerError) as error:
                await ada.ask(f"{label}more: say more", first, at=[url], key=f"{label}-more")
            assert (error.value.status, error.value.code) == (409, "conflict")
        model.gate(label).set()
        await first.finish()
        assert len(await ada.sees_what_is_kept(first)) == 2
        # The same request, with the same name, is taken in once there is room for it.
        more = await ada.say(f"{label}more: say more", first, at=cluster.urls[1:], key=f"{label}-more")
        assert texts(await ada.sees_what_is_kept(more))[2:] == [f"{label}more: say more", "more "]


@within(40)
async def test_of_two_messages_at_once_one_is_rejected(replicas: Replicas, label: str, model: ModelServer):
    cluster = await replicas("reject")
    async with Person(cluster.urls) as ada:
        first = await ada.say(f"{label}: say hello")
        asked = await asyncio.gather(
            *(
                ada.ask(f"{label}{n}: tokens 4 hold {label} at 2", first.thread_id, at=[url])
                for n, url in enumerate(cluster.urls)
            ),
            return_exceptions=True,
        )
        [accepted] = [each for each in asked if isinstance(each, Answer)]
        [refused] = [each for each in asked if isinstance(each, ServerError)]
        assert refused.status == 409
        model.gate(label).set()
        await accepted.finish()
        assert len(await ada.sees_what_is_kept(first, accepted)) == 4


@within(60)
async def test_messages_wait_in_the_order_in_which_they_came(
    replicas: Replicas, label: str, model: ModelServer
):
    cluster = await replicas("enqueue")
    async with Person(cluster.urls) as ada:
        first = await held(ada, cluster, label)
        waiting = [
            await ada.ask(f"{label}{n}: tokens 4", first.thread_id, at=[cluster.urls[n % 2]])
            for n in range(6)
        ]
        active = await ada.runs(first, active=True)
        assert [run["id"] for run in reversed(active)] == [first.run_id, *(each.run_id for each in waiting)]
        assert [run["status"] for run in active] == ["queued"] * 6 + ["running"]
        assert len(await ada.items(first)) <= 2
        assert (await ada.stop(waiting[2].run_id, at=cluster.urls[1:]))["status"] == "cancelled"
        model.gate(label).set()
        answers = await asyncio.gather(first.finish(), *(each.finish() for each in waiting))
        statuses = [answer.run["status"] for answer in answers]
        assert statuses == ["completed"] * 3 + ["cancelled"] + ["completed"] * 3
        said = texts(await ada.sees_what_is_kept(*answers))
        kept = [n for n in range(6) if n != 2]
        assert [text.partition(":")[0] for text in said[2::2]] == [f"{label}{n}" for n in kept]
        assert all(whole(text, f"{label}{n}", 4) for text, n in zip(said[3::2], kept, strict=True))
        assert not model.of(f"{label}2")


@pytest.mark.row("H1")
@within(60)
async def test_the_queue_survives_the_death_of_all_replicas(
    replicas: Replicas, label: str, model: ModelServer
):
    cluster = await replicas("enqueue")
    async with Person(cluster.urls) as ada:
        first = await held(ada, cluster, label)
        waiting = [
            await ada.ask(f"{label}{n}: tokens 4", first.thread_id, at=[cluster.urls[n % 2]])
            for n in range(5)
        ]
        await asyncio.gather(*(replica.process.kill() for replica in cluster.replicas))
        model.gate(label).set()
        await asyncio.gather(*(replica.start() for replica in cluster.replicas))
        answers = await asyncio.gather(first.finish(), *(each.finish() for each in waiting))
        assert [answer.run["status"] for answer in answers] == ["completed"] * 6
        assert [answer.errors for answer in answers] == [[]] * 6
        said = texts(await ada.sees_what_is_kept(*answers))
        assert [text.partition(":")[0] for text in said[::2]] == [label, *(f"{label}{n}" for n in range(5))]
        assert len(said) == 12


@within(60)
async def test_many_messages_at_once_are_answered_one_at_a_time(
    replicas: Replicas, label: str, model: ModelServer
):
    cluster = await replicas("enqueue")
    async with Person(cluster.urls) as ada:
        first = await ada.say(f"{label}: say hello")
        answers = await asyncio.gather(
            *(
                ada.say(f"{label}{n}: tokens 6 pace 100", first.thread_id, at=[cluster.urls[n % 2]])
                for n in range(12)
            )
        )
        assert [answer.errors for answer in answers] == [[]] * 12
        said = texts(await ada.sees_what_is_kept(first, *answers))
        labels = [text.partition(":")[0] for text in said[2::2]]
        assert sorted(labels) == sorted(f"{label}{n}" for n in range(12))
        # Each answer stands below its question.
        assert all(whole(text, name, 6) for text, name in zip(said[3::2], labels, strict=True))
        assert all(len(model.of(name)) == 1 for name in labels)
        assert await ada.runs(first, active=True) == []


@pytest.mark.row("C5")
@within(60)
async def test_a_message_interrupts_the_answer_of_another_replica(
    replicas: Replicas, label: str, model: ModelServer
):
    cluster = await replicas("interrupt")
    async with Person(cluster.urls) as ada:
        first = await held(ada, cluster, label)
        second = await ada.ask(f"{label}next: tokens 4", first.thread_id, at=cluster.urls[1:])
        [call] = model.of(label)
        await until(lambda: not call.open, "the first model call is closed", 3)
        await asyncio.gather(first.finish(), second.finish())
        assert first.run["status"] in {"interrupted", "cancelled"}
        assert second.run["status"] == "completed"
        assert (first.errors, second.errors) == ([], [])
        said = texts(await ada.sees_what_is_kept(first, second))
        assert said[1] == "".join(f"{label}.{call.number}:{n} " for n in range(10))
        assert said[2].startswith(f"{label}next: ")
        assert whole(said[3], f"{label}next", 4)
        assert said[1] in "".join(model.of(f"{label}next")[0].texts)


@within(60)
async def test_the_last_of_many_messages_is_answered(replicas: Replicas, label: str):
    cluster = await replicas("interrupt")
    async with Person(cluster.urls) as ada:
        first = await ada.say(f"{label}: say hello")
        answers = [
            await ada.ask(f"{label}{n}: tokens 200 pace 100", first.thread_id, at=[cluster.urls[n % 2]])
            for n in range(5)
        ]
        last = await ada.ask(f"{label}last: tokens 5", first.thread_id, at=cluster.urls[:1])
        await asyncio.gather(last.finish(), *(answer.finish() for answer in answers))
        assert last.run["status"] == "completed"
        assert {answer.run["status"] for answer in answers} <= {"interrupted", "cancelled"}
        said = texts(await ada.sees_what_is_kept(first, *answers, last))
        assert whole(said[-1], f"{label}last", 5)
        assert await ada.runs(first, active=True) == []


@pytest.mark.row("C5")
@within(60)
async def test_a_message_is_stopped_in_the_moment_when_its_turn_comes(
    replicas: Replicas, label: str, model: ModelServer
):
    """Whether it is still waiting then or already being answered: its stream ends, and the next one is answered."""
    cluster = await replicas("enqueue")
    async with Person(cluster.urls) as ada:
        first = await ada.say(f"{label}: say hello")
        answers = [first]
        for number in range(8):
            name = f"{label}{number}"
            held = await ada.ask(f"{name}: tokens 4 hold {name} at 2", first.thread_id)
            waiting = await ada.ask(f"{name}next: tokens 200 pace 50", first.thread_id, at=cluster.urls[1:])
            model.gate(name).set()
            await held.finish()
            stopped = await ada.stop(waiting.run_id, at=[cluster.urls[number % 2]])
            assert stopped["status"] == "cancelled"
            await waiting.finish()
            answers += [held, waiting]
        last = await ada.say(f"{label}last: say still here", first.thread_id)
        said = texts(await ada.sees_what_is_kept(*answers, last))
        assert said[-1] == "still here "
        assert await ada.runs(first, active=True) == []

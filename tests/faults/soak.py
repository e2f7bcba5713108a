"""Many people talk for a while with replicas of which one is killed every now and then.

```console
$ PYTHONPATH=tests uv run python -m faults.soak --seconds 600 --people 200 --replicas 3 --kill-every 30
```

Prints a report as JSON, and ends with 1 if a message was lost, something was done or said twice, something is stuck or
memory grew. `tests/faults/test_soak.py` runs it for half a minute. With `--odd 10` the model answers one message in ten
oddly (`faults.odd_answers`), and each replica changes the API with each start; what an oddity should end with
(`oddity_failures`) is then no loss.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backchannel.testing import ServerError
from faults.cluster import Cluster, Replica, running
from faults.model_server import ModelServer, model_server, whole
from faults.odd_answers import OddAnswers
from faults.talker import Answer, OutOfOrderError, Person
from oddity_failures import expected_failure

TURN_SECONDS = 90
"""A turn that takes longer is stuck."""
SILENCE_SECONDS = 15
"""How long a client waits for a server that says nothing. Two cores are busy with all this; the page waits as long."""
SETTLE_SECONDS = 60
"""How long everything may take to come to rest at the end."""
WARM_SECONDS = 20
"""The part of a process's life in which memory may grow."""
GROWTH_MIB = 48
"""How much memory may grow after that."""
TURNS = 15
"""How many messages a thread gets before the next one is begun."""
APIS = itertools.cycle(("responses", "chat_completions"))
ROLES = ("talk", "talk", "tool", "tool", "once", "approve", "twice", "drop", "stop")
"""What may happen in a turn."""


@dataclass
class Turn:
    """One message and what is expected of it."""

    label: str
    role: str
    tokens: int
    answer: Answer | None = None


@dataclass
class Report:
    """What happened."""

    seconds: float = 0
    people: int = 0
    replicas: int = 0
    kind: str = ""
    seed: int = 0
    kills: int = 0
    threads: int = 0
    messages: int = 0
    stopped: int = 0
    model_calls: int = 0
    cut_streams: int = 0
    requests_sent_again: int = 0
    first_event_ms: dict[str, float] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    odd_answers: dict[str, int] = field(default_factory=dict)
    odd_ends: dict[str, int] = field(default_factory=dict)
    memory: list[dict[str, Any]] = field(default_factory=list)
    memory_is_flat: bool = True

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.memory_is_flat and not (self.lost or self.twice or self.stuck or self.errors)


class Soak:
    """One soak, in the course of which the report is written."""

    def __init__(
        self, cluster: Cluster, report: Report, odd: OddAnswers, *, kill_every: float, chance: random.Random
    ) -> None:
        self.cluster = cluster
        self.model: ModelServer = cluster.model
        self.report = report
        self.odd = odd
        self.kill_every = kill_every
        self.chance = chance
        self.end = time.monotonic() + report.seconds
        self._over = asyncio.Event()
        self._firsts: list[float] = []
        self._lives: dict[tuple[str, int], list[tuple[float, int]]] = {}
        self._turns: list[list[Turn]] = []

    async def start(self, count: int) -> None:
        """Start the replicas."""
        replicas = [self.cluster.replica() for _ in range(count)]
        await asyncio.gather(*(replica.start(**self.api()) for replica in replicas))
        self.end = time.monotonic() + self.report.seconds

    async def run(self) -> None:
        """Let everybody talk until the end, and look at what is left."""
        killing = asyncio.create_task(self._kill())
        measuring = asyncio.create_task(self._measure())
        await asyncio.gather(*(self._person(number) for number in range(self.report.people)))
        # Which starts again what it has killed.
        self._over.set()
        await killing
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring
        self._judge()

    async def _person(self, number: int) -> None:
        chance = random.Random(self.chance.random())
        urls = self.cluster.urls
        async with Person(urls, user=f"soak-{number}", silence=SILENCE_SECONDS) as person:
            await asyncio.sleep(chance.uniform(0, min(5, self.report.seconds / 4)))
            thread, turns = None, list[Turn]()
            for count in range(1_000_000):
                person.replicas = chance.sample(urls, len(urls))
                if count % TURNS == 0:
                    if thread is not None:
                        await self._check(person, thread, turns)
                    thread, turns = None, []
                    self._turns.append(turns)
                label = f"s{number}-{count}"
                try:
                    async with asyncio.timeout(TURN_SECONDS):
                        thread = await self._turn(person, thread, turns, label, chance)
                except (OutOfOrderError, ServerError, AssertionError) as error:
                    kind = self.report.twice if isinstance(error, OutOfOrderError) else self.report.errors
                    self._complain(kind, f"{label}: {type(error).__name__}: {str(error)[:600]}")
                except TimeoutError:
                    self._complain(self.report.stuck, f"{label}: not answered within {TURN_SECONDS} s")
                if time.monotonic() > self.end:
                    break
                await asyncio.sleep(chance.uniform(0, 2))
            if thread is not None:
                await self._check(person, thread, turns)

    def _complain(self, kind: list[str], what: str) -> None:
        kind.append(what)
        print(f"after {self.report.seconds - (self.end - time.monotonic()):.0f} s: {what}", file=sys.stderr)

    async def _turn(
        self, person: Person, thread: Answer | None, turns: list[Turn], label: str, chance: random.Random
    ) -> Answer:
        role, tokens = chance.choice(ROLES), chance.randint(5, 60)
        pace = chance.choice((10, 20, 40))
        tools = {"tool": "record", "once": "record_once", "approve": "record_if_approved"}
        work = f"call {tools[role]} {label} then " if role in tools else ""
        asked = [Turn(label, role, tokens)]
        answers = [await self._ask(person, f"{label}: {work}tokens {tokens} pace {pace}", thread, asked[0])]
        turns.append(asked[0])
        if role == "twice":
            if not answers[0].view.thread:
                await answers[0].until(lambda answer: bool(answer.view.thread))
            also = Turn(f"{label}-also", role, 5)
            answers.append(await self._ask(person, f"{also.label}: tokens 5", answers[0].thread_id, also))
            turns.append(also)
        if role in {"drop", "stop"}:
            async for _ in answers[0].follow():
                if answers[0].text != "" or len(answers[0].events) > 2:
                    break
            await answers[0].drop()
            answers[0].replicas = chance.sample(person.replicas, len(person.replicas))
        if role == "stop":
            await person.stop(answers[0].run_id)
        for turn, begun in zip(turns[-len(answers) :], answers, strict=True):
            answer = await self._decided(person, await begun.finish())
            await person.adds_up_plainly(answer)
            self._note(answer, turn)
        # Views of one thread are told of different messages.
        for answer in answers[1:]:
            answers[0].view.items |= answer.view.items
        return answers[0]

    async def _decided(self, person: Person, answer: Answer) -> Answer:
        """The answer itself; or, if it waits for approval, what follows once that is given."""
        while answer.run["status"] == "waiting":
            [question] = [each for each in answer.view.items.values() if each.get("status") == "pending"]
            answers = {each["id"]: {"values": ["Approve"]} for each in question["inputs"]}
            params = {"thread_id": answer.thread_id, "item_id": question["id"], "input": {"answers": answers}}
            answer = await (await person.op("threads.add_structured_input", params, answer)).finish()
        return answer

    async def _ask(self, person: Person, text: str, thread: Answer | str | None, turn: Turn) -> Answer:
        asked = time.monotonic()
        turn.answer = await person.ask(text, thread)
        self.report.messages += 1
        self._firsts.append(time.monotonic() - asked)
        return turn.answer

    def _note(self, answer: Answer, turn: Turn) -> None:
        report, oddity = self.report, self.odd.given.get(turn.label, "")
        report.cut_streams += answer.cuts
        report.requests_sent_again += answer.retries
        is_stopped = turn.role == "stop" and answer.run["status"] == "cancelled"
        failure = None if is_stopped else expected_failure(oddity)
        ends = [(error["reason"], error["allow_retry"]) for error in answer.errors]
        for code, _ in ends:
            report.odd_ends[code] = report.odd_ends.get(code, 0) + 1
        if ends != ([failure] if failure else []):
            report.errors.append(
                f"{answer.run_id}: {turn.label} {oddity}: expected {failure}: {json.dumps(answer.errors)[:600]}"
            )
        expected = {"cancelled"} if is_stopped else {"failed"} if failure else {"completed"}
        report.stopped += answer.run["status"] == "cancelled"
        if answer.run["status"] not in expected:
            report.lost.append(f"{answer.run_id}: {turn.label} {oddity} is {answer.run['status']}")

    async def _check(self, person: Person, thread: Answer, turns: list[Turn]) -> None:
        """Compare what was said in a thread with what is kept of it."""
        report = self.report
        report.threads += 1
        name = thread.thread_id
        active = await person.runs(thread, active=True)
        if active:
            report.stuck.append(f"{name}: {active}")
        kept = await person.items(thread)
        seen = thread.view.items
        for item in kept:
            if item["id"] not in seen:
                report.lost.append(f"{name}: nobody was told of {json.dumps(item)[:300]}")
            elif seen[item["id"]] != item:
                report.errors.append(f"{name}: told {seen[item['id']]!r}, kept {item!r}"[:900])
        for item_id in set(seen) - {item["id"] for item in kept}:
            report.lost.append(f"{name}: not kept: {json.dumps(seen[item_id])[:300]}")
        self._check_texts(name, kept, turns)

    def _check_texts(self, name: str, kept: list[dict[str, Any]], turns: list[Turn]) -> None:
        report = self.report
        answers: dict[str, list[str]] = {}
        label = ""
        for item in kept:
            if '"loading"' in json.dumps(item) or item.get("status") == "pending":
                report.stuck.append(f"{name}: {json.dumps(item)[:300]}")
            text = "".join(part["text"] for part in item.get("content", ()))
            if item["type"] == "user_message":
                label = text.partition(":")[0]
                if label in answers:
                    report.twice.append(f"{name}: message {label}")
                answers[label] = []
            elif item["type"] == "assistant_message":
                answers[label].append(text)
                if not text.strip() or "think>" in text:
                    report.errors.append(f"{name}: {label} has the text {text[:80]!r}")
        for turn in turns:
            said = answers.get(turn.label)
            if said is None:
                report.lost.append(f"{name}: message {turn.label}")
            elif (
                turn.role == "stop"
                and turn.answer is not None
                and turn.answer.run.get("status") == "cancelled"
            ):
                continue
            elif self.odd.given.get(turn.label):
                said = [text for text in said if text.startswith(f"{turn.label}.")]
                if len(said) > 1 or not all(whole(text, turn.label, turn.tokens) for text in said):
                    report.twice.append(f"{name}: {turn.label} was answered {said!r}"[:600])
            elif len(said) != 1 or not whole(said[0], turn.label, turn.tokens):
                kind = report.twice if len(said) > 1 else report.lost
                kind.append(f"{name}: {turn.label} was answered {said!r}"[:600])

    async def _kill(self) -> None:
        while not await self._is_over(self.kill_every):
            replica = self.chance.choice(self.cluster.replicas)
            if not replica.process.alive:
                continue
            await replica.process.kill()
            self.report.kills += 1
            await asyncio.sleep(self.chance.uniform(0, 3))
            await replica.start(**self.api())

    async def _is_over(self, seconds: float) -> bool:
        """Whether everybody has talked to the end within so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        return self._over.is_set()

    def api(self) -> dict[str, str]:
        """The variables of one start of a replica."""
        return {"BACKCHANNEL_MODEL_API": next(APIS)} if self.odd.every else {}

    async def _measure(self) -> None:
        while True:
            for replica in self.cluster.replicas:
                self._measure_one(replica)
            await asyncio.sleep(2)

    def _measure_one(self, replica: Replica) -> None:
        if replica.process.alive:
            life = self._lives.setdefault((replica.name, replica.process.pid), [])
            with suppress(OSError, IndexError, ValueError):
                life.append((time.monotonic(), replica.process.rss))

    def _judge(self) -> None:
        report, cluster = self.report, self.cluster
        report.model_calls = len(self.model.calls)
        report.odd_answers = dict(sorted(self.odd.counts.items()))
        report.errors += self.odd.refused[:20]
        for turn in (turn for turns in self._turns for turn in turns):
            tool = {"tool": "record", "approve": "record_if_approved"}.get(turn.role)
            if tool is not None and len(cluster.ledger(tool, turn.label)) > 1:
                report.twice.append(f"{turn.label}: {tool} ran twice")
            keys = {line["key"] for line in cluster.ledger("record_once", turn.label)}
            is_odd = turn.label in self.odd.given
            if turn.role == "once" and len(keys) != 1 and not (is_odd and not keys):
                report.twice.append(f"{turn.label}: the idempotent tool had the keys {keys}")
        for replica in cluster.replicas:
            if not replica.process.alive:
                report.errors.append(f"{replica.name} has ended: {replica.process.told()[-600:]}")
        for (name, pid), samples in self._lives.items():
            warm = [rss for at, rss in samples if at - samples[0][0] >= WARM_SECONDS]
            life: dict[str, Any] = {
                "replica": name,
                "pid": pid,
                "seconds": round(samples[-1][0] - samples[0][0]),
            }
            life["rss_mib"] = [round(rss / 2**20) for _, rss in samples[:: max(1, len(samples) // 10)]]
            if warm:
                life["growth_mib"] = round(
                    (max(warm[len(warm) // 2 :]) - max(warm[: len(warm) // 2 + 1])) / 2**20, 1
                )
                report.memory_is_flat &= life["growth_mib"] < GROWTH_MIB
            report.memory.append(life)
        if firsts := sorted(self._firsts):
            report.first_event_ms = {
                name: round(firsts[int(len(firsts) * part)] * 1000, 1)
                for name, part in (("median", 0.5), ("p99", 0.99))
            }


async def soak(
    folder: Path,
    *,
    seconds: float,
    people: int,
    replicas: int = 3,
    kind: str = "postgresql+redis",
    kill_every: float = 30,
    seed: int = 1,
    odd: int = 0,
) -> Report:
    """Soak; what happened."""
    report = Report(seconds=seconds, people=people, replicas=replicas, kind=kind, seed=seed)
    async with model_server() as model, running(kind, folder, model) as cluster:
        chance = random.Random(seed)
        odd_answers = OddAnswers(odd, seed)
        model.odd = odd_answers.reply
        soaking = Soak(cluster, report, odd_answers, kill_every=kill_every, chance=chance)
        await soaking.start(replicas)
        async with asyncio.timeout(seconds + TURN_SECONDS + SETTLE_SECONDS):
            await soaking.run()
    return report


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--kind", default="postgresql+redis")
    parser.add_argument("--kill-every", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--odd", type=int, default=0, help="one message in so many is answered oddly")
    parser.add_argument("--folder", type=Path, default=None, help="for logs; a temporary one by default")
    options = vars(parser.parse_args())
    folder = options.pop("folder") or Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"logs are in {folder}", file=sys.stderr)
    report = asyncio.run(soak(folder / "replicas", **options))
    print(json.dumps({**vars(report), "good": report.good}, indent=2))
    raise SystemExit(0 if report.good else 1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()

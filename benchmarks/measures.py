"""What is measured of a server: the CPU time of its process, its memory, and how long people wait."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.load import Answer, Person, WrongAnswerError
from benchmarks.processes import Measured

PACE = 20
"""Tokens a second of a stream: about what a model says."""

LONGEST_LEAD = 12.0
"""Seconds after which all streams must have begun."""

SETTLE_SECONDS = 0.1
"""What a server does after an answer, such as booking it, belongs to what the answer costs."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: How often all servers are started anew.
        repeats: How often each measure is taken in a round.
        flood: Tokens of a flood.
        streams: Streams that are open at once, for what paced tokens cost.
        window: Seconds for which they are watched.
        turns: Turns whose cost is averaged.
        idle: Streams that are open at once, for what one needs in memory.
    """

    rounds: int = 5
    repeats: int = 2
    flood: int = 2_000
    streams: int = 30
    window: float = 3.0
    turns: int = 9
    idle: int = 100


QUICK = Sizes(rounds=1, repeats=4, streams=30, window=2.0, turns=5, idle=40)

type Values = dict[str, float]
type Measure = Callable[[Sequence[Measured], Sizes], Awaitable[list[Values]]]
"""Measures servers, and gives the values of each by name."""


def in_turns(measure: Callable[[Measured, Sizes], Awaitable[Values]]) -> Measure:
    """Measures one server after the other."""

    async def each(servers: Sequence[Measured], sizes: Sizes) -> list[Values]:
        return [await measure(server, sizes) for server in servers]

    return each


@dataclass(frozen=True, slots=True)
class Figure:
    """One value that is compared, as tables name it."""

    title: str
    unit: str


FIGURES = {
    "flood_cpu": Figure("CPU per token, flooded", "µs"),
    "paced_cpu": Figure(f"CPU per token, at {PACE} a second", "µs"),
    "turn_cpu": Figure("CPU of a turn", "ms"),
    "first_turn_cpu": Figure("CPU of a first turn, with a new thread", "ms"),
    "first_byte": Figure("wait for the first byte", "ms"),
    "first_token": Figure("wait for the first token", "ms"),
    "turn_wall": Figure("a turn from end to end", "ms"),
    "stream_memory": Figure("memory of an open stream", "kB"),
}


async def warm(server: Measured, _sizes: Sizes) -> None:
    """Have everything loaded that a server loads when it is first used."""
    for _ in range(2):
        async with Person(server.url, server.headers) as person:
            await person.say("flood 1", 1)
            await person.say("flood 500", 500)
            await person.say("flood 1", 1)


async def flood(server: Measured, sizes: Sizes) -> Values:
    """A long answer, as fast as the model can write it."""
    async with Person(server.url, server.headers) as person:
        # The first turn also makes a thread and may find a title for it.
        await person.say("flood 1", 1)
        await asyncio.sleep(SETTLE_SECONDS)
        before = server.cpu()
        await person.say(f"flood {sizes.flood}", sizes.flood)
        await asyncio.sleep(SETTLE_SECONDS)
        return {"flood_cpu": (server.cpu() - before) / sizes.flood * 1e6}


async def paced(servers: Sequence[Measured], sizes: Sizes) -> list[Values]:
    """Many streams of each server at a model's pace, watched in their middle: no beginning and no end of a turn is in
    it. All servers are watched at the same time, so that whatever else the machine does meets all of them."""
    lead = 0.6 + sizes.streams * len(servers) * 0.04
    while True:
        values = await _watched(servers, sizes, int((lead + sizes.window) * PACE))
        if values is not None:
            return [{"paced_cpu": value} for value in values]
        if lead > LONGEST_LEAD:
            raise WrongAnswerError(
                "The first stream had ended before the last one was watched: too busy a machine."
            )
        lead *= 2


async def _watched(servers: Sequence[Measured], sizes: Sizes, tokens: int) -> list[float] | None:
    """Microseconds of a token that arrived, by server; `None` if not all streams went on all the while."""
    async with AsyncExitStack() as stack:
        groups = [
            [
                await stack.enter_async_context(Person(server.url, server.headers))
                for _ in range(sizes.streams)
            ]
            for server in servers
        ]
        # What a new thread entails goes on for a while, and is no token's cost.
        await asyncio.gather(*(person.say("flood 1", 1) for people in groups for person in people))
        await asyncio.sleep(SETTLE_SECONDS)
        answers = [[person.ask(f"paced {tokens} at {PACE}") for person in people] for people in groups]
        await _all_began([answer for each in answers for answer in each])
        await asyncio.sleep(3 * SETTLE_SECONDS)
        before = [_state(server, each) for server, each in zip(servers, answers, strict=True)]
        await asyncio.sleep(sizes.window)
        after = [_state(server, each) for server, each in zip(servers, answers, strict=True)]
        broken_off = any(answer.ended.done() for each in answers for answer in each)
        for people, each in zip(groups, answers, strict=True):
            for person, answer in zip(people, each, strict=True):
                await person.hear(answer, tokens)
    if broken_off:
        return None
    return [
        (cpu - cpu_before) / (_arrived(each, sizes_now) - _arrived(each, sizes_before)) * 1e6
        for each, (cpu, sizes_now), (cpu_before, sizes_before) in zip(answers, after, before, strict=True)
    ]


def _state(server: Measured, answers: Sequence[Answer]) -> tuple[float, list[int]]:
    return server.cpu(), [answer.size for answer in answers]


def _arrived(answers: Sequence[Answer], sizes: Sequence[int]) -> int:
    return sum(answer.tokens_until(size) for answer, size in zip(answers, sizes, strict=True))


async def turns(server: Measured, sizes: Sizes) -> Values:
    """Short answers in a thread that has some."""
    async with Person(server.url, server.headers) as person:
        await person.say("flood 1", 1)
        await asyncio.sleep(SETTLE_SECONDS)
        before = server.cpu()
        answers = [await person.say("flood 1", 1) for _ in range(sizes.turns)]
        await asyncio.sleep(SETTLE_SECONDS)
        cost = server.cpu() - before
    waits = {
        "first_byte": [answer.first_byte for answer in answers],
        "first_token": [answer.first_token for answer in answers],
        "turn_wall": [answer.seconds for answer in answers],
    }
    medians = {name: statistics.median(values) * 1e3 for name, values in waits.items()}
    return {"turn_cpu": cost / sizes.turns * 1e3, **medians}


async def first_turns(server: Measured, sizes: Sizes) -> Values:
    """Short answers, each in a new thread."""
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(Person(server.url, server.headers)) for _ in range(sizes.turns)
        ]
        before = server.cpu()
        for person in people:
            await person.say("flood 1", 1)
        await asyncio.sleep(SETTLE_SECONDS)
        return {"first_turn_cpu": (server.cpu() - before) / sizes.turns * 1e3}


async def memory(servers: Sequence[Measured], sizes: Sizes) -> list[Values]:
    """Streams that wait for their second token. Only a fresh process tells: later, what was freed is used again. What
    others do at the same time changes nothing of it."""
    seconds = 2.0 + sizes.idle * len(servers) * 0.04
    values = await asyncio.gather(*(_memory(server, sizes.idle, seconds) for server in servers))
    return [{"stream_memory": value} for value in values]


async def _memory(server: Measured, streams: int, seconds: float) -> float:
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(Person(server.url, server.headers)) for _ in range(streams)]
        before = server.memory()
        answers = [person.ask(f"paced 2 at {1 / seconds:.3f}") for person in people]
        await _all_began(answers)
        await asyncio.sleep(SETTLE_SECONDS)
        more = server.memory() - before
        if any(answer.ended.done() for answer in answers):
            raise WrongAnswerError("The first stream had ended before the last one was open.")
        for person, answer in zip(people, answers, strict=True):
            await person.hear(answer, 2)
    return more / streams / 1e3


ONCE: dict[str, Measure] = {"memory": memory}
"""Taken once a round, first."""

REPEATED: dict[str, Measure] = {
    "flood": in_turns(flood),
    "paced": paced,
    "turns": in_turns(turns),
    "first turns": in_turns(first_turns),
}


async def _all_began(answers: Sequence[Answer]) -> None:
    try:
        await asyncio.gather(*(answer.began for answer in answers))
    except ConnectionError as error:
        raise WrongAnswerError(f"A stream broke off before it began: {error!r}") from error

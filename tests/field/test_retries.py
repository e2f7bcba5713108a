"""Retries: they end with their task, spread out, notice the end of an outage, and do not multiply."""

import asyncio
import statistics
from typing import Any

import pytest
from agents import Agent, function_tool

from backchannel.errors import UnavailableError
from backchannel.retry import OUTAGE, Backoff, retry, retry_until_available
from backchannel.stores.sql.engine import Database, TransactionAbortedError
from backchannel.stores.sql.transactions import MAX_TRIES, retryable
from backchannel.testing import Call, Say, ScriptedModel

pytestmark = pytest.mark.row("D2")

NEVER = Backoff(initial=3600, maximum=3600)
AT_ONCE = Backoff(initial=0, maximum=0)


class Service:
    """Something that is away for the first `failures` calls."""

    def __init__(self, failures: float, error: type[BaseException] = UnavailableError) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error("away")
        return "here"


def always(_error: UnavailableError, _failures: int) -> bool:
    return True


async def test_cancelling_ends_a_pause_at_once():
    """litl/backoff#47, strands-agents/harness-sdk#4250: the pause was waited for, and one more attempt made."""
    service = Service(float("inf"))
    task = asyncio.create_task(retry(service, NEVER, always))
    while not service.calls:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([task])
    assert task.cancelled()
    assert service.calls == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyError, TimeoutError])
async def test_only_what_is_away_is_tried_again(error: type[BaseException]):
    """jd/tenacity#529: `CancelledError` was retried, so that time limits were exceeded."""
    service = Service(1, error)
    with pytest.raises(error):
        await retry(service, AT_ONCE, always)
    assert service.calls == 1


def test_those_who_wait_do_not_wake_together():
    """microsoft/agent-governance-toolkit PR#2144: everybody came back in the same moment."""
    for failures in (1, 3, 10):
        pauses = [OUTAGE.delay(failures) for _ in range(200)]
        assert statistics.stdev(pauses) > 0.1 * statistics.mean(pauses)
        assert max(pauses) <= 1.5 * OUTAGE.maximum


async def test_the_end_of_an_outage_is_noticed_soon():
    """HomericIntelligence/Scylla#1219: pauses doubled without end."""
    service = Service(3)
    async with asyncio.timeout(5):
        assert await retry_until_available(service, seconds=60) == "here"
    assert service.calls == 4


class Tables:
    """Retried transactions that call each other."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.calls = 0

    @retryable
    async def outer(self) -> None:
        await self.middle()

    @retryable
    async def middle(self) -> None:
        await self.inner()

    @retryable
    async def inner(self) -> None:
        self.calls += 1
        raise TransactionAbortedError("conflict")


async def test_retries_inside_of_retries_do_not_multiply(monkeypatch: pytest.MonkeyPatch):
    """livekit/agents PR#5335, mpfaffenberger/code_puppy PR#317: 9 and 45 requests instead of 3 and 5."""
    monkeypatch.setattr("backchannel.stores.sql.transactions.CONFLICT", AT_ONCE)
    tables = Tables(Database("sqlite://"))
    with pytest.raises(TransactionAbortedError):
        await tables.outer()
    assert tables.calls == MAX_TRIES
    await tables.database.close()


async def test_a_tool_is_not_called_again_because_a_database_was_away(serve: Any):
    """langchain-ai/langgraph#8702: a step was done again after a passing error, and paid twice."""
    calls = list[str]()

    @function_tool
    async def pay() -> str:
        """Pay."""
        calls.append("paid")
        raise UnavailableError("The server's database cannot be reached.")

    agent = Agent(name="A", model=ScriptedModel(Call("pay"), Say("It failed.")), tools=[pay])
    served = await serve(agent)
    _, events = await served.create()
    assert events[-1]["item"]["content"][0]["text"] == "It failed."
    assert calls == ["paid"]

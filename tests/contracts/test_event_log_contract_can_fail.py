"""Every check of the contract of event logs finds at least one fault, and finds none where there is none."""

import inspect
from typing import Any

import pytest

from backchannel.testing.contracts import (
    event_log_base,
    event_log_catch_up,
    event_log_ends,
    event_log_readers,
    event_log_writers,
)
from backchannel.testing.contracts.event_log import EventLogContract
from contracts.broken_event_logs import BROKEN, Sound
from contracts.event_log_storage import Server
from contracts.event_log_windows import PageWindow

pytestmark = pytest.mark.row("C4", "H2")

CHECKS = {name for name, _ in inspect.getmembers(EventLogContract, callable) if name.startswith("test_")}

ARGUMENTS = {"after": 1, "ended": True, "fence": 0}


async def outcome(name: str, maker: Sound) -> BaseException | None:
    """Run one test of the contract, as pytest would; what it raised, if anything."""
    contract, server = EventLogContract(), Server()
    contract.rounds, contract.windows = 512, 1024
    test = getattr(contract, name)
    another = maker.make(
        server, cache_seconds=0 if name == "test_no_event_is_lost_between_replay_and_live" else 5
    )
    given: dict[str, Any] = {
        "event_log": maker.make(server),
        "another_log": another,
        "expiring_log": maker.make(server, retention=0.05),
        "window": PageWindow(another),
        **ARGUMENTS,
    }
    try:
        await test(**{each: given[each] for each in inspect.signature(test).parameters})
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as raised:
        return raised
    finally:
        for log in (given["event_log"], another, given["expiring_log"]):
            await log.aclose()
    return None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken log is not waited for very long."""
    for module in (
        event_log_base,
        event_log_ends,
        event_log_catch_up,
        event_log_readers,
        event_log_writers,
    ):
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("broken", "name"), BROKEN)
async def test_a_broken_log_is_found_out(broken: type[Sound], name: str) -> None:
    raised = await outcome(name, broken())
    assert isinstance(raised, Exception | pytest.fail.Exception)
    # A slip in a broken log itself would be found by any test, and prove nothing of this one.
    assert not isinstance(raised, NameError | AttributeError)


@pytest.mark.parametrize("name", sorted(CHECKS))
async def test_a_sound_log_passes(name: str) -> None:
    assert await outcome(name, Sound()) is None


def test_every_check_is_shown_to_fail() -> None:
    assert {name for _, name in BROKEN} == CHECKS

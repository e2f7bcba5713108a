"""What the dispatcher says of a listener that is too slow."""

import asyncio

import pytest
from structlog.testing import capture_logs

from backchannel import hook_dispatcher
from backchannel.context import Identity
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import HandOff, Hooks

pytestmark = pytest.mark.row("H14")

EVENT = HandOff(
    run_id="run_1",
    thread_id="thr_1",
    identity=Identity("ann"),
    request_id="req_1",
    from_agent="A",
    to_agent="B",
)


async def test_an_overloaded_listener_is_logged_ever_more_rarely(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hook_dispatcher, "MAX_PENDING", 1)

    class Hanging(Hooks):
        async def hand_off(self, event: HandOff) -> None:
            await asyncio.Event().wait()

    hooks = HookDispatcher([Hanging()])
    with capture_logs() as logs:
        for _ in range(101):
            hooks.emit(EVENT)
        await hooks.aclose(0)
    dropped = [line["dropped"] for line in logs if line["event"] == "hook_overloaded"]
    assert dropped == [1, 2, 4, 8, 16, 32, 64]

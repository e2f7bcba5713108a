"""What the dispatcher says of a listener that is too slow."""

import asyncio

import pytest
from structlog.testing import capture_logs

from backchannel import hook_dispatcher
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import HandOff, Hooks
from hook_events import HAND_OFF

pytestmark = pytest.mark.row("H14")


async def test_an_overloaded_listener_is_logged_ever_more_rarely(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hook_dispatcher, "MAX_PENDING", 1)

    class Hanging(Hooks):
        async def hand_off(self, event: HandOff) -> None:
            await asyncio.Event().wait()

    hooks = HookDispatcher([Hanging()])
    with capture_logs() as logs:
        for _ in range(101):
            hooks.emit(HAND_OFF)
        await hooks.aclose(0)
    dropped = [line["dropped"] for line in logs if line["event"] == "hook_overloaded"]
    assert dropped == [1, 2, 4, 8, 16, 32, 64]

"""What is remembered of requests whose response has not begun, and for how long."""

import asyncio
from typing import Any, cast

import pytest
from chatkit.types import ThreadsCreateReq
from starlette.requests import Request

from backchannel.context import Identity
from backchannel.http.repetitions import UnansweredRequests
from backchannel.testing import user_message

pytestmark = pytest.mark.row("K10")

ADA = Identity("ada")


class Client:
    """A request whose connection is open, or has been closed."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone

    async def is_disconnected(self) -> bool:
        return self.gone


def message(text: str) -> ThreadsCreateReq:
    return ThreadsCreateReq.model_validate(
        {"type": "threads.create", "params": {"input": user_message(text)}, "metadata": {}}
    )


async def active(_run_id: str) -> bool:
    return True


async def start(requests: UnansweredRequests, client: Client, text: str, run_id: str) -> str:
    async def begin() -> str:
        await asyncio.sleep(0)
        return run_id

    return await requests.start(message(text), ADA, cast("Request", client), begin, active)


async def test_a_run_that_is_read_while_it_starts_is_answered() -> None:
    requests, gate = UnansweredRequests(), asyncio.Event()

    async def begin() -> str:
        await gate.wait()
        return "run_1"

    client = Client(gone=True)
    starting = asyncio.create_task(requests.start(message("hi"), ADA, cast("Request", client), begin, active))
    await asyncio.sleep(0)
    requests.answered("run_1")
    gate.set()
    assert await starting == "run_1"
    assert await start(requests, client, "hi", "run_2") == "run_2"


async def test_what_others_read_meanwhile_is_not_remembered_for_ever() -> None:
    """Under load there is always a request that is just starting a run."""
    requests = UnansweredRequests()
    gates = [asyncio.Event() for _ in range(20)]

    async def hold(number: int) -> str:
        async def begin() -> str:
            await gates[number].wait()
            return f"run_{number}"

        return await requests.start(message(f"{number}"), ADA, cast("Request", Client()), begin, active)

    before: asyncio.Task[str] | None = None
    for number in range(len(gates)):
        following = asyncio.create_task(hold(number))
        await asyncio.sleep(0)
        for reader in range(50):
            requests.answered(f"run_of_{number}_{reader}")
        if before is not None:
            gates[number - 1].set()
            await before
        before = following
        assert _remembered(requests) <= 100
    gates[-1].set()
    assert before is not None
    await before
    assert _remembered(requests) == 0


def _remembered(value: Any) -> int:
    """How many ids of runs an object keeps."""
    if isinstance(value, str):
        return int(value.startswith("run_"))
    if isinstance(value, dict):
        return sum(map(_remembered, (*value.keys(), *value.values())))
    if isinstance(value, set | list | tuple):
        return sum(map(_remembered, value))
    fields = getattr(value, "__dict__", {})
    return sum(_remembered(each) for name, each in fields.items() if name != "request")

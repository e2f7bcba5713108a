"""The machine itself: a disk that is full, clocks that are wrong or jump.

What must hold: a full disk refuses what it cannot keep, visibly, and nothing else happens; once there is room again
everything goes on. Clocks decide nothing: a replica whose clock is an hour off takes nothing from the living, and is
itself replaced when it dies, as fast as any.
"""

import asyncio
import os
import secrets
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from backchannel.testing import user_message
from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.talker import Person, texts
from processes import unavailable, until, within

LEASE_SECONDS = 2
DISK_BYTES = 6 * 1024 * 1024


@pytest.fixture
def label() -> str:
    """Names the messages of one test."""
    return f"m{secrets.token_hex(4)}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of its own that soon is full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        unavailable(f"No file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Leave no room at all."""
    ballast = disk / "ballast"
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    os.write(file, b"\\0" * size)
            except OSError:
                pass
    finally:
        os.close(file)
    return ballast


@pytest.mark.row("D2", "H1", "A3")
@within(60)
async def test_a_full_disk_refuses_and_forgets_nothing(
    small_disk: Path, model: ModelServer, tmp_path: Path, label: str
):
    url = f"sqlite:///{small_disk / 'test.db'}"
    async with (
        running(url, tmp_path / "replica", model, 1) as cluster,
        Person(cluster.urls) as ada,
    ):
        before = await ada.say(f"{label}: call record {label} then tokens 20")
        held = await ada.ask(f"{label}held: tokens 2000 hold {label} at 10")
        await held.until_said(":9 ")
        ballast = fill(small_disk)
        params = {"thread_id": before.thread_id, "input": user_message("x" * 20_000)}
        # It is tried again for two seconds, which a busy machine makes more of.
        refused = await ada.http.post(
            f"{cluster.urls[0]}/api/chatkit",
            json={"type": "threads.add_user_message", "params": params},
            timeout=30,
        )
        assert refused.status_code in {500, 503, 507}, refused.text
        assert refused.json()["message"]
        # What is there can be read.
        assert len(texts(await ada.sees_what_is_kept(before))) == 2
        model.gate(label).set()
        await model.reached(f"{label}held", 2000)
        ballast.unlink()
        await held.finish()
        said = texts(await ada.sees_what_is_kept(held))
        if held.run["status"] == "completed":
            assert (held.errors, whole(said[1], f"{label}held", 2000)) == ([], True)
        else:
            # Ended visibly: with an error that says that asking again may help.
            assert held.run["status"] in {"failed", "interrupted"}
            assert [error["allow_retry"] for error in held.errors] == [True]
        for thread in (before, held):
            last = await ada.say(f"{label}last: say still here", thread)
            assert texts(await ada.sees_what_is_kept(last))[-1] == "still here "
            assert await ada.runs(last, active=True) == []
        assert len(texts(await ada.items(before))) == 4
        await cluster.replicas[0].restart()
        assert len(texts(await ada.items(before))) == 4


def faketime(shift: str | Path) -> dict[str, str]:
    """The environment of a process whose clock is shifted, by so much or by what a file says at the time."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        unavailable("There is no libfaketime here; Debian has it in the package faketime.")
    how = {"FAKETIME_TIMESTAMP_FILE": str(shift)} if isinstance(shift, Path) else {"FAKETIME": shift}
    return {
        "LD_PRELOAD": str(found[0]),
        # A machine's clock jumps; the counter that runs since its start does not.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
        **how,
    }


@pytest.mark.row("H1", "H2")
@within(60)
async def test_clocks_that_are_wrong_or_jump(model: ModelServer, tmp_path: Path, label: str):
    """Two things that take as long as leases do, at the same time, each with a database and replicas of its own."""
    async with asyncio.TaskGroup() as both:
        both.create_task(a_replica_with_a_wrong_clock_is_one_like_any_other(model, tmp_path, f"{label}wrong"))
        both.create_task(a_clock_jumps_in_the_middle_of_an_answer(model, tmp_path, f"{label}jumps"))


async def a_replica_with_a_wrong_clock_is_one_like_any_other(
    model: ModelServer, tmp_path: Path, label: str
) -> None:
    async with running("postgresql", tmp_path / "wrong", model, lease_seconds=LEASE_SECONDS) as cluster:
        right, wrong = cluster.replica(), cluster.replica()
        await asyncio.gather(right.start(), wrong.start(fresh=True, **faketime("+1h")))
        async with Person(cluster.urls) as ada:
            # Each takes longer than a lease: if clocks were compared, somebody would take the other's for dead.
            tokens = f"tokens {LEASE_SECONDS * 3 // 2 * 40} pace 40"
            one, other = await asyncio.gather(
                ada.say(f"{label}one: {tokens}", at=[right.url]),
                ada.say(f"{label}other: {tokens}", at=[wrong.url]),
            )
            assert (one.run["fence"], other.run["fence"]) == (1, 1)
            assert (one.cuts, other.cuts) == (0, 0)
            # Turns stand in the order in which they were said, whatever the clocks say.
            for number in range(4):
                url = (right, wrong)[number % 2].url
                await ada.say(f"{label}turn{number}: say turn {number}", one, at=[url])
            said = texts(await ada.sees_what_is_kept(one))
            assert said[3::2] == [f"turn {number} " for number in range(4)]
            held = await ada.ask(f"{label}held: tokens 40 hold {label} at 20", at=[wrong.url, right.url])
            await held.until_said(":19 ")
            await wrong.process.kill()
            model.gate(label).set()
            await held.finish()
            assert (held.errors, held.run["status"]) == ([], "completed")
            assert whole(held.text, f"{label}held", 40)
            await ada.sees_what_is_kept(held)


async def a_clock_jumps_in_the_middle_of_an_answer(model: ModelServer, tmp_path: Path, label: str) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    async with running("postgresql", tmp_path / "jumps", model, lease_seconds=LEASE_SECONDS) as cluster:
        jumping, other = cluster.replica(), cluster.replica()
        await asyncio.gather(jumping.start(fresh=True, **faketime(clock)), other.start())
        async with Person(cluster.urls) as ada:
            answer = await ada.ask(f"{label}: tokens {LEASE_SECONDS * 3 * 40} pace 40")
            await answer.until_said(":20 ")
            for shift, token in (("+1h", 100), ("-1h", 180)):
                clock.write_text(shift)
                await answer.until_said(f":{token} ")
            await answer.finish()
            assert (answer.errors, answer.cuts, answer.run["fence"]) == ([], 0, 1)
            assert whole(answer.text, label, LEASE_SECONDS * 3 * 40)
            last = await ada.say(f"{label}last: say still here", answer)
            assert texts(await ada.sees_what_is_kept(last))[-1] == "still here "
            calls = [*model.of(label), *model.of(f"{label}last")]
            assert len(calls) >= 2
            await until(lambda: not [call for call in calls if call.open], "nothing goes on")

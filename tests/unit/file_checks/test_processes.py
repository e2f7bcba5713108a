"""The process that opens a file: its limits, its end, and whose fault a failure is. Programs of a line stand for parsers
that go wrong."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from backchannel.errors import UnavailableError
from backchannel.file_checks import processes
from backchannel.file_checks.processes import MAX_PROCESSES, Openers

pytestmark = pytest.mark.row("E2")

SECONDS = 20.0
MEMORY = 512 << 20
PRELUDE = "import sys; sys.path[len(sys.path):] = sys.argv[2:]; from opening.limits import run, report\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"content")
    return tmp_path / "f"


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch):
    """Makes a parser of the lines of a function of the file, the options and `report`."""

    def make(*lines: str) -> None:
        body = "".join(f"    {line}\n" for line in lines)
        program = f"{PRELUDE}def parse(file, options, report):\n{body}run(parse)"
        monkeypatch.setattr(processes, "_PROGRAM", program.replace("{", "{{").replace("}", "}}"))

    return make


async def test_it_gets_the_file_and_reports(path: Path, parser):
    parser("report({'read': file.read().decode(), 'asked': options['asked']})")
    opened = await Openers(SECONDS, MEMORY).open(path, "images", {"asked": "{}"})
    assert (opened.outcome, opened.reports) == ("done", [{"read": "content", "asked": "{}"}])


async def test_it_has_no_environment_no_package_of_ours_and_no_other_descriptor(
    path: Path, parser, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    parser(
        "import os",
        "report({'environment': dict(os.environ), 'ours': 'backchannel' in sys.modules})",
        "report({'open': sorted(os.listdir('/proc/self/fd'))})",
    )
    opened = await Openers(SECONDS, MEMORY).open(path, "images", {})
    assert set(opened.value("environment")) <= {"LC_CTYPE"}
    assert opened.value("ours") is False
    # The fourth is that of the folder that is listed.
    assert len(opened.value("open")) == 4


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        (["report({'a': 1})", "raise ValueError"], "damaged"),
        (["report({'a': 1})", "def f(): f()", "f()"], "damaged"),
        (["report({'a': 1})", "bytearray(700 << 20)"], "no_memory"),
        (["report({'a': 1})", "import os, signal", "os.kill(os.getpid(), signal.SIGSEGV)"], "crashed"),
        (["report({'a': 1})", "import os", "os.abort()"], "crashed"),
    ],
)
async def test_what_is_the_files_fault_is_an_outcome(path: Path, parser, lines: list[str], outcome: str):
    parser(*lines)
    opened = await Openers(SECONDS, MEMORY).open(path, "images", {})
    assert (opened.outcome, opened.reports) == (outcome, [{"a": 1}])


@pytest.mark.parametrize(
    "lines",
    [
        # A parser that swallows every error.
        ["while True:", "    try:", "        pass", "    except Exception:", "        pass"],
        # Native code, in which no exception can be raised.
        ["import hashlib", "hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)"],
    ],
)
async def test_a_loop_ends_with_its_cpu_time_and_what_was_reported_counts(
    path: Path, parser, lines: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "CPU_SHARE", 1 / SECONDS)
    parser("report({'a': 1})", *lines)
    opened = await Openers(SECONDS, MEMORY).open(path, "images", {})
    assert (opened.outcome, opened.reports) == ("time", [{"a": 1}])


@pytest.mark.parametrize(
    "lines",
    [
        [
            "import os, signal",
            "os.kill(os.getpid(), signal.SIGKILL)",
        ],  # as the system does if there is no memory
        ["import os", "os._exit(1)"],
        ["import os", "os._exit(0)"],
    ],
)
async def test_what_is_not_the_files_fault_is_unavailable(path: Path, parser, lines: list[str]):
    parser(*lines)
    with pytest.raises(UnavailableError) as failed:
        await Openers(SECONDS, MEMORY).open(path, "images", {})
    assert failed.value.retry_after


async def test_waiting_without_work_is_unavailable(path: Path, parser):
    parser("import time", "time.sleep(600)")
    with pytest.raises(UnavailableError):
        await Openers(1, MEMORY).open(path, "images", {})
    assert not await children()


async def test_no_file_can_be_written(path: Path, parser, tmp_path: Path):
    parser(f"with open({str(tmp_path / 'written')!r}, 'w') as other: other.write('x')")
    opened = await Openers(SECONDS, MEMORY).open(path, "images", {})
    assert opened.outcome == "damaged"
    assert not [each for each in os.scandir(tmp_path) if each.name == "written" and each.stat().st_size]


async def test_a_flood_of_reports_ends(path: Path, parser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "MAX_REPORT_BYTES", 1 << 20)
    parser("while True: report({'a': 'x' * 100_000})")
    with pytest.raises(UnavailableError):
        await Openers(SECONDS, MEMORY).open(path, "images", {})
    assert not await children()


async def test_a_python_that_cannot_be_started_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(UnavailableError):
        await Openers(SECONDS, MEMORY).open(path, "images", {})


async def test_a_library_that_is_missing_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "_folder_of", lambda _library: "/nowhere")
    with pytest.raises(UnavailableError):
        await Openers(SECONDS, MEMORY).open(path, "pdfs", {"max_text_chars": 100})


async def test_a_cancelled_call_has_ended_its_process(path: Path, parser):
    parser("import time", "time.sleep(600)")
    call = asyncio.create_task(Openers(SECONDS, MEMORY).open(path, "images", {}))
    async with asyncio.timeout(SECONDS):
        while not await children():  # noqa: ASYNC110 - a process that starts sets no event
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not await children()


async def test_some_at_a_time_and_others_wait_so_long(path: Path, parser):
    parser("import time", "time.sleep(600)")
    openers = Openers(1.0, MEMORY)
    calls = [asyncio.create_task(openers.open(path, "images", {})) for _ in range(MAX_PROCESSES + 2)]
    most = 0
    while not all(each.done() for each in calls):
        most = max(most, len(await children()))
        await asyncio.sleep(0.02)
    assert most == MAX_PROCESSES
    for each in calls:
        assert isinstance(each.exception(), UnavailableError)


async def test_a_turn_comes_back_whatever_happens(path: Path, parser):
    openers = Openers(SECONDS, MEMORY)
    for line in ("raise ValueError", "import os; os._exit(1)", "pass"):
        parser(line)
        for _ in range(MAX_PROCESSES):
            await asyncio.gather(openers.open(path, "images", {}), return_exceptions=True)
    assert (await openers.open(path, "images", {})).outcome == "done"


async def children() -> list[str]:
    """The processes that this one has started with our program, and that have not been waited for."""
    return await asyncio.to_thread(_children)


def _children() -> list[str]:
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        # Threads and processes may end while they are looked at.
        with contextlib.suppress(OSError):
            mine = (task / "children").read_text().split()
            found += [each for each in mine if b"opening" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return found

"""Log lines are JSON that parses, carry the ids in force, and never what people said or secrets."""

import io
import json
import logging
import sys
from collections.abc import Callable, Generator
from typing import Any, Literal

import pytest
import structlog

from backchannel.observability.logging import configure_logging

pytestmark = pytest.mark.row("G3", "A2")

SECRET = "sk-hunter2"
MESSAGE = "please cancel my order"
LIBRARIES = ["httpx2", "openai.agents", "uvicorn.access", "chatkit"]


type Start = Callable[..., io.StringIO]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Generator[Start]:
    """Starts logging into memory; afterwards all is as before."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    structlog.contextvars.clear_contextvars()

    def begin(style: Literal["json", "console"] = "json", level: str = "info") -> io.StringIO:
        written = io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", written)
            configure_logging(style, level)
        return written

    yield begin
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before)
    root.handlers, root.level = handlers, level
    for name, kept in levels.items():
        logging.getLogger(name).setLevel(kept)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().split("\n") if line]


def fail(message: str) -> None:
    """Raise with a person's message and a key among the local variables."""
    headers = {"authorization": SECRET}
    raise ValueError(f"no model for {len(message) + len(headers)}")


def test_a_line_is_json_with_its_event_level_time_and_fields(start: Start):
    written = start()
    structlog.get_logger("backchannel.test").info("run_started", operation="threads.create", n=1)
    (line,) = lines(written)
    assert line["event"] == "run_started"
    assert (line["level"], line["logger"]) == ("info", "backchannel.test")
    assert (line["operation"], line["n"]) == ("threads.create", 1)
    assert line["timestamp"].endswith("Z")


def test_lines_carry_the_ids_in_force(start: Start):
    written = start()
    log = structlog.get_logger("backchannel.test")
    ids = {"request_id": "req_1", "run_id": "run_1", "thread_id": "thr_1", "user_id": "ann"}
    with structlog.contextvars.bound_contextvars(**ids):
        log.info("inside")
        logging.getLogger("some.library").warning("from a %s", "library")
    log.info("outside")
    inside, library, outside = lines(written)
    assert ids.items() <= inside.items()
    assert ids.items() <= library.items()
    assert library["event"] == "from a library"
    assert not ids.keys() & outside.keys()


@pytest.mark.parametrize("text", ["two\nlines", 'quote "', "\x00\x1b[31m", "\u2028", "é😀", "{}"])
def test_no_value_breaks_a_line(start: Start, text: str):
    written = start()
    structlog.get_logger("backchannel.test").info("request", path=text)
    (line,) = lines(written)
    assert line["path"] == text


def test_an_exception_is_told_without_the_values_of_variables(start: Start):
    written = start()
    log = structlog.get_logger("backchannel.test")
    try:
        fail(MESSAGE)
    except ValueError:
        log.exception("turn_failed", code="internal_error")
    except Exception:
        raise AssertionError("another error was expected") from None
    (line,) = lines(written)
    told = json.dumps(line)
    assert "ValueError" in told
    assert "no model for" in told
    assert "fail" in told
    assert SECRET not in told
    assert MESSAGE not in told


def test_on_the_console_neither(start: Start):
    written = start("console")
    try:
        fail(MESSAGE)
    except ValueError:
        structlog.get_logger("backchannel.console").exception("turn_failed")
    told = written.getvalue()
    assert "turn_failed" in told
    assert "ValueError" in told
    assert SECRET not in told
    assert MESSAGE not in told


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_less_severe_lines_are_left_out(start: Start, level: str, count: int):
    written = start("json", level)
    log = structlog.get_logger(f"backchannel.level.{level}")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("line")
    assert len(lines(written)) == count


@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries_that_tell_contents_or_repeat_us_are_quiet(
    start: Start, name: str, monkeypatch: pytest.MonkeyPatch
):
    # A server that another test ran in this process may have silenced it altogether.
    monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    written = start()
    logging.getLogger(name).info("POST https://api.openai.com %s", SECRET)
    assert lines(written) == []
    logging.getLogger(name).warning("trouble")
    assert len(lines(written)) == 1

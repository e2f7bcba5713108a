"""Ids do not collide, sort by time, and say what they are of."""

import re
import time
from typing import get_args

import pytest

from backchannel.ids import IdKind, new_id, prefixed_id

pytestmark = pytest.mark.row("A2")

PREFIXES: dict[IdKind, str] = {
    "request": "req",
    "run": "run",
    "thread": "thr",
    "message": "msg",
    "tool_call": "tc",
    "task": "tsk",
    "workflow": "wf",
    "attachment": "atc",
    "sdk_hidden_context": "shcx",
    "hidden_context": "hcx",
    "user": "usr",
    "replica": "rep",
    "session": "ses",
    "family": "fam",
    "reservation": "bres",
}


@pytest.mark.parametrize(("kind", "prefix"), PREFIXES.items())
def test_prefix_and_length(kind: IdKind, prefix: str):
    assert re.fullmatch(rf"{prefix}_[0-9a-f]{{32}}", new_id(kind))


def test_an_application_has_prefixes_of_its_own():
    assert re.fullmatch(r"note_[0-9a-f]{32}", prefixed_id("note"))
    assert prefixed_id("note") != prefixed_id("note")


def test_every_kind_has_a_prefix_of_its_own():
    assert set(PREFIXES) == set(get_args(IdKind.__value__))
    assert len(set(PREFIXES.values())) == len(PREFIXES)


@pytest.mark.row("P10")
def test_300_000_ids_of_the_same_millisecond_differ(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_000_000_000_000_000)
    assert len({new_id("thread") for _ in range(300_000)}) == 300_000


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch):
    ids: list[str] = []
    # From 1970 to beyond the year 5000, across every place where a digit is carried.
    for milliseconds in [0, 1, 15, 16, 255, 256, 1 << 32, (1 << 40) - 1, 1 << 40, 1_795_000_000_000, 1 << 47]:
        monkeypatch.setattr(time, "time_ns", lambda at=milliseconds: at * 1_000_000)
        ids.append(new_id("run"))
    assert ids == sorted(ids)
    assert len(set(map(len, ids))) == 1


def test_the_time_of_an_id_is_now():
    before = time.time_ns() // 1_000_000
    made = int(new_id("message").removeprefix("msg_")[:12], 16)
    assert before <= made <= time.time_ns() // 1_000_000

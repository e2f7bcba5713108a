"""Frames as an event stream: nothing is lost or reordered, and idle streams beat."""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.event_logs.base import Batch, Event, EventLog, Frame
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.sse import HEADERS, HEARTBEAT, coalesce, encode, parse_last_event_id, stream

pytestmark = pytest.mark.row("C1", "C3", "C4")

RUN = "run_0198"


def whole(name: str) -> Event:
    return Event(json.dumps({"type": name}).encode())


def delta(text: str, part: int = 0) -> Event:
    return Event(f'{{"update":{{"part":{part},"delta":'.encode(), text)


def numbered(events: Sequence[Event], first: int = 1) -> list[Frame]:
    return [Frame(seq, event) for seq, event in enumerate(events, first)]


def test_deltas_of_one_part_are_joined_and_keep_the_last_number():
    frames = numbered([whole("a"), delta("one "), delta("two "), delta("three"), whole("b")])
    assert list(coalesce(frames)) == [
        Frame(1, whole("a")),
        Frame(4, delta("one two three")),
        Frame(5, whole("b")),
    ]


def test_deltas_of_different_parts_are_not_joined():
    frames = numbered([delta("a", 0), delta("b", 1), delta("c", 1), delta("d", 0)])
    assert list(coalesce(frames)) == [
        Frame(1, delta("a", 0)),
        Frame(3, delta("bc", 1)),
        Frame(4, delta("d", 0)),
    ]


def test_an_empty_delta_is_joined_too():
    assert list(coalesce(numbered([delta(""), delta("x"), delta("")]))) == [Frame(3, delta("x"))]
    assert list(coalesce([])) == []


events = st.lists(
    st.one_of(
        st.builds(whole, st.sampled_from(["a", "b"])),
        st.builds(delta, st.text(max_size=4), st.integers(0, 2)),
    ),
    max_size=30,
)


def told(frames: Sequence[Frame]) -> list[tuple[bytes, str | None]]:
    """What a client knows at the end: other events in order, and between them the text of each part in turn."""
    known: list[tuple[bytes, str | None]] = []
    for frame in frames:
        head, text = frame.event.head, frame.event.text
        if text is not None and known and known[-1][0] == head and known[-1][1] is not None:
            known[-1] = (head, known[-1][1] + text)
        else:
            known.append((head, text))
    return known


@given(events, st.lists(st.integers(0, 30), max_size=6))
@example([delta("a"), delta("b"), whole("a"), delta("c")], [1, 1, 3])
def test_any_split_into_batches_tells_the_same(sent: list[Event], cuts: list[int]):
    frames = numbered(sent)
    edges = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]
    batches = [frames[begin:end] for begin, end in pairwise(edges)]
    received = [frame for batch in batches for frame in coalesce(batch)]
    assert told(received) == told(frames)
    for batch in batches:
        joined = list(coalesce(batch))
        assert [frame.seq for frame in joined[-1:]] == [frame.seq for frame in batch[-1:]]
        # Resuming after any id that was sent must neither skip nor repeat text.
        assert [frame.seq for frame in joined] == sorted({frame.seq for frame in joined})
        for frame in joined:
            earlier = [each for each in batch if each.seq <= frame.seq]
            assert told([each for each in joined if each.seq <= frame.seq]) == told(earlier)


def test_frames_on_the_wire():
    frames = numbered([whole("a"), Event(b'{"d":{"delta":', 'say "hi"\n\u2028é')], 7)
    assert encode(RUN, frames) == (
        b'id: run_0198:7\ndata: {"type": "a"}\n\n'
        b'id: run_0198:8\ndata: {"d":{"delta":"say \\"hi\\"\\n\xe2\x80\xa8\xc3\xa9"}}\n\n'
    )
    assert encode(RUN, []) == b""


@given(st.text())
@example("\r\n\x00\x85\u2028\u2029 data: x\n\nid: 1")
def test_no_text_breaks_a_frame(text: str):
    frame = encode(RUN, numbered([Event(b'{"d":{"delta":', text)]))
    assert frame.count(b"\n") == 3
    assert b"\r" not in frame
    assert json.loads(frame.split(b"data: ", 1)[1])["d"]["delta"] == text


def test_half_a_surrogate_pair_does_not_end_the_stream():
    body = Event(b'{"d":{"delta":', "a\ud83dz").body()
    assert json.loads(body) == {"d": {"delta": "a?z"}}


def test_headers_keep_proxies_from_buffering():
    assert HEADERS["Content-Type"].startswith("text/event-stream")
    assert HEADERS["X-Accel-Buffering"] == "no"
    assert "no-transform" in HEADERS["Cache-Control"]
    assert HEADERS["X-Content-Type-Options"] == "nosniff"


class ScriptedLog(EventLog):
    """A log whose reads give the next batch of a script, and remembers what was asked."""

    def __init__(self, *batches: Batch) -> None:
        self._batches = list(batches)
        self.reads: list[tuple[int, float]] = []

    def open(self, run_id: str) -> None: ...

    def append(self, run_id: str, event: Event) -> None: ...

    def close(self, run_id: str) -> None: ...

    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        self.reads.append((after, wait))
        return self._batches.pop(0)

    async def aclose(self) -> None: ...


async def test_a_silent_stream_beats_with_a_single_newline():
    log = ScriptedLog(Batch([], ended=False), Batch([], ended=False), Batch([], ended=True))
    assert [chunk async for chunk in stream(log, RUN, 0, heartbeat=15)] == [b": ping\n", b": ping\n"]
    assert HEARTBEAT == b": ping\n"
    assert log.reads == [(0, 15), (0, 15), (0, 15)]


async def test_a_stream_goes_on_where_the_last_batch_ended():
    frames = numbered([whole("a"), delta("x"), delta("y"), whole("b")], 3)
    log = ScriptedLog(Batch(frames[:3], ended=False), Batch(frames[3:], ended=True))
    chunks = [chunk async for chunk in stream(log, RUN, 2, heartbeat=1)]
    assert [after for after, _ in log.reads] == [2, 5]
    assert b"".join(chunks) == encode(RUN, [frames[0], Frame(5, delta("xy")), frames[3]])


async def test_a_stream_ends_with_its_run():
    log = MemoryEventLog(retention=60)
    log.open(RUN)
    log.append(RUN, whole("a"))

    async def follow() -> bytes:
        return b"".join([chunk async for chunk in stream(log, RUN, 0, heartbeat=30)])

    following = asyncio.create_task(follow())
    for name in ("b", "c"):
        await asyncio.sleep(0)
        log.append(RUN, whole(name))
    log.close(RUN)
    assert await asyncio.wait_for(following, 5) == encode(RUN, numbered([whole("a"), whole("b"), whole("c")]))
    resumed = [chunk async for chunk in stream(log, RUN, 2, heartbeat=30)]
    assert resumed == [encode(RUN, numbered([whole("c")], 3))]
    assert [chunk async for chunk in stream(log, RUN, 3, heartbeat=30)] == []
    await log.aclose()


async def test_an_unknown_run_is_a_lookup_error():
    with pytest.raises(LookupError):
        await anext(stream(MemoryEventLog(retention=60), RUN, 0, heartbeat=1))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("run_0198:0", ("run_0198", 0)),
        ("run_0198:42", ("run_0198", 42)),
        (" run_0198:42 ", ("run_0198", 42)),
        ("run_0198:000000000000042", ("run_0198", 42)),
        ("run_a:b:42", ("run_a:b", 42)),
        ("", None),
        (":", None),
        ("42", None),
        ("run_0198", None),
        ("run_0198:", None),
        ("run_0198:-1", None),
        ("run_0198:+1", None),
        ("run_0198:1.5", None),
        ("run_0198:0x1", None),
        ("run_0198:1_000", None),
        ("run_0198:٤٢", None),
        ("run_0198:²", None),
        ("run_0198:" + "9" * 16, None),
        ("thr_0198:42", None),
        ("1732276431", None),
    ],
)
def test_last_event_id(value: str, place: tuple[str, int] | None):
    assert parse_last_event_id(value) == place


@given(st.text())
def test_no_last_event_id_is_an_error(value: str):
    place = parse_last_event_id(value)
    assert place is None or place[0].startswith("run_")


@given(st.integers(0, 10**15 - 1))
def test_every_id_that_is_sent_is_read(seq: int):
    sent = encode(RUN, [Frame(seq, whole("a"))]).partition(b"\n")[0].removeprefix(b"id: ")
    assert parse_last_event_id(sent.decode()) == (RUN, seq)

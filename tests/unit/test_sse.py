"""Frames as an event stream: nothing is lost or reordered, and idle streams beat."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.client import Remarks, ServerSentEvent, parse_events
from backchannel.context import Identity
from backchannel.event_logs.base import Batch, Event, EventLog, Frame
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.settings import Settings
from backchannel.sse import (
    DEFAULT_HEARTBEAT_SECONDS,
    END,
    HEADERS,
    HEARTBEAT,
    MAX_SEQ,
    RECONNECT,
    encode,
    parse_heartbeat,
    parse_last_event_id,
    silence_limit,
    stream,
)

pytestmark = pytest.mark.row("C1", "C3", "C4")

RUN = "run_0198"


def whole(name: str) -> Event:
    return Event(json.dumps({"type": name}).encode())


def delta(text: str, part: int = 0) -> Event:
    return Event(f'{{"update":{{"part":{part},"delta":'.encode(), text)


def numbered(events: Sequence[Event], first: int = 1) -> list[Frame]:
    return [Frame(seq, event) for seq, event in enumerate(events, first)]


def test_frames_on_the_wire():
    frames = numbered([whole("a"), Event(b'{"d":{"delta":', 'say "hi"\n\u2028é')], 7)
    assert encode(RUN, frames) == (
        b'data: {"type": "a"}\nid: run_0198:7\n\n'
        b'data: {"d":{"delta":"say \\"hi\\"\\n\\u2028\xc3\xa9"}}\nid: run_0198:8\n\n'
    )
    assert encode(RUN, []) == b""


@given(st.text())
@example("\r\n\x00\x85\u2028\u2029 data: x\n\nid: 1")
def test_no_text_breaks_a_frame(text: str):
    frame = encode(RUN, numbered([Event(b'{"d":{"delta":', text)]))
    assert frame.count(b"\n") == 3
    assert b"\r" not in frame
    data = frame.split(b"data: ", 1)[1].rpartition(b"\nid: ")[0]
    assert json.loads(data)["d"]["delta"] == text
    # As `iter_lines` of HTTP clients splits.
    assert frame.decode().splitlines()[0] == "data: " + data.decode()


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

    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        return 0

    def append(self, run_id: str, event: Event) -> None: ...

    async def flush(self, run_id: str) -> None: ...

    async def end(self, run_id: str) -> None: ...

    async def release(self, run_id: str) -> None: ...

    def disconnect_readers(self) -> None: ...

    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        self.reads.append((after, wait))
        return self._batches.pop(0)

    async def check(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.fixture
async def log() -> AsyncGenerator[MemoryEventLog]:
    """A log whose run `RUN` has begun."""
    log = MemoryEventLog(retention=60)
    await log.begin(RUN, Identity("ada"), fence=1)
    yield log
    await log.aclose()


@pytest.mark.row("P6")
async def test_a_silent_stream_beats_with_a_single_newline():
    log = ScriptedLog(Batch([], ended=False), Batch([], ended=False), Batch([], ended=True))
    assert [chunk async for chunk in stream(log, RUN, 0, heartbeat=15)] == [
        b": ping\n",
        b": ping\n",
        b": end\n",
    ]
    assert (HEARTBEAT, END) == (b": ping\n", b": end\n")
    assert log.reads == [(0, 15), (0, 15), (0, 15)]


async def test_a_stream_goes_on_where_the_last_batch_ended():
    frames = numbered([whole("a"), delta("xy"), whole("b")], 3)
    log = ScriptedLog(Batch(frames[:2], ended=False), Batch(frames[2:], ended=True))
    chunks = [chunk async for chunk in stream(log, RUN, 2, heartbeat=1)]
    assert [after for after, _ in log.reads] == [2, 4]
    assert b"".join(chunks) == encode(RUN, frames) + END


async def test_a_stream_ends_with_its_run(log: MemoryEventLog):
    log.append(RUN, whole("a"))

    async def follow() -> bytes:
        return b"".join([chunk async for chunk in stream(log, RUN, 0, heartbeat=30)])

    following = asyncio.create_task(follow())
    for name in ("b", "c"):
        await asyncio.sleep(0)
        log.append(RUN, whole(name))
    await log.end(RUN)
    sent = encode(RUN, numbered([whole("a"), whole("b"), whole("c")])) + END
    assert await asyncio.wait_for(following, 5) == sent
    resumed = [chunk async for chunk in stream(log, RUN, 2, heartbeat=30)]
    assert resumed == [encode(RUN, numbered([whole("c")], 3)) + END]
    assert [chunk async for chunk in stream(log, RUN, 3, heartbeat=30)] == [END]


async def test_a_reader_that_was_slow_gets_less_instead_of_more(log: MemoryEventLog):
    words = [f"word {number} " for number in range(20_000)]
    log.append(RUN, whole("a"))
    for word in words:
        log.append(RUN, delta(word))
    log.append(RUN, whole("b"))
    await log.end(RUN)
    chunks = [chunk async for chunk in stream(log, RUN, 0, heartbeat=30)]
    assert chunks == [
        encode(RUN, [Frame(1, whole("a")), Frame(20_001, delta("".join(words))), Frame(20_002, whole("b"))])
        + END
    ]


async def test_what_is_for_programs_only_is_not_sent_and_does_not_stop_the_beating():
    hidden = Event(b'{"type":"tool_call.started"}', plain=True)
    frames = numbered([hidden, whole("a"), hidden])
    log = ScriptedLog(
        Batch(frames[:1], ended=False), Batch(frames[1:2], ended=False), Batch(frames[2:], ended=True)
    )
    chunks = [chunk async for chunk in stream(log, RUN, 0, heartbeat=1)]
    assert chunks == [HEARTBEAT, encode(RUN, [Frame(2, whole("a"))]), END]
    assert [after for after, _ in log.reads] == [0, 1, 2]
    assert encode(RUN, frames) == encode(RUN, frames[1:2])


async def test_a_stream_that_this_process_lets_go_of_says_that_it_is_not_the_end(log: MemoryEventLog):
    log.append(RUN, whole("a"))
    following = stream(log, RUN, 0, heartbeat=30)
    assert await anext(following) == encode(RUN, numbered([whole("a")]))
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    log.disconnect_readers()
    assert await asyncio.wait_for(waiting, 5) == RECONNECT
    assert [chunk async for chunk in following] == []


@pytest.mark.row("P6")
async def test_the_last_lines_of_a_stream_are_no_event():
    """Clients that dispatch on blank lines must not see an empty one."""

    async def events(sent: bytes) -> tuple[list[ServerSentEvent], Remarks]:
        async def chunks() -> AsyncGenerator[bytes]:
            yield sent

        remarks = Remarks()
        return [event async for event in parse_events(chunks(), remarks)], remarks

    frames = encode(RUN, numbered([whole("a")]))
    event = ServerSentEvent(f"{RUN}:1", "message", '{"type": "a"}')
    for last, remarks in ((END, Remarks("end")), (RECONNECT, Remarks("reconnect", 0.25))):
        assert last.count(b"\n\n") == 0
        assert last.endswith(b"\n")
        assert await events(frames + last) == ([event], remarks)


async def test_an_encoder_of_ones_own_and_its_last_words():
    asked: list[int] = []

    def told(run_id: str, frames: Iterable[Frame]) -> bytes:
        return b"".join(f"{run_id} {frame.seq}\n".encode() for frame in frames)

    async def trailer(seq: int) -> bytes:
        asked.append(seq)
        return b"that was all\n"

    frames = numbered([whole("a"), whole("b")])
    for batches, after, sent in (
        ([Batch(frames, ended=True)], 0, [b"run_0198 1\nrun_0198 2\n", b"that was all\n" + END]),
        (
            [Batch(frames, ended=False), Batch([], ended=True)],
            0,
            [b"run_0198 1\nrun_0198 2\n", b"that was all\n" + END],
        ),
        ([Batch([], ended=True)], 7, [b"that was all\n" + END]),
        ([Batch([], ended=False, released=True)], 0, [RECONNECT]),
    ):
        chunks = stream(ScriptedLog(*batches), RUN, after, heartbeat=1, encode=told, trailer=trailer)
        assert [chunk async for chunk in chunks] == sent
    assert asked == [2, 2, 7]


async def test_an_unknown_run_is_a_lookup_error():
    with pytest.raises(LookupError):
        await anext(stream(MemoryEventLog(retention=60), RUN, 0, heartbeat=1))


@pytest.mark.row("K11")
def test_how_long_a_stream_may_be_silent():
    """longer than any heartbeat that the server may be set to."""
    assert [silence_limit(seconds) for seconds in (0.5, 15, 120)] == [6.5, 50, 365]
    assert Settings.model_fields["heartbeat_seconds"].default == DEFAULT_HEARTBEAT_SECONDS == 15


@pytest.mark.row("K11")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("15", 15),
        ("0.5", 0.5),
        ("120", 120),
        ("1e-05", 1e-05),
        *((value, 15) for value in (None, "", "0", "-1", "3601", "inf", "nan", "soon", "20, 20")),
    ],
)
def test_the_heartbeat_that_a_server_names(value: str | None, seconds: float):
    assert parse_heartbeat(value) == seconds


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
        (" run_1%3A5 ", ("run_1", 5)),
        ("run_1:999999999999999", ("run_1", MAX_SEQ)),
        ("run_1:1000000000000000", None),
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
    sent = encode(RUN, [Frame(seq, whole("a"))]).rstrip().rpartition(b"\nid: ")[2]
    assert parse_last_event_id(sent.decode()) == (RUN, seq)

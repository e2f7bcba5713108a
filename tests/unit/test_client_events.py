"""Event streams are read as the WHATWG standard says, wherever their bytes are cut."""

from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.client import MAX_RETRY_SECONDS, Remarks, ServerSentEvent, parse_events

pytestmark = pytest.mark.row("C1", "H5")


async def read(*chunks: bytes) -> list[ServerSentEvent]:
    async def send() -> AsyncGenerator[bytes]:
        for chunk in chunks:
            yield chunk

    return [event async for event in parse_events(send())]


def event(data: str, *, id: str = "", kind: str = "message") -> ServerSentEvent:
    return ServerSentEvent(id, kind, data)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [event("a"), event("b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [event("a"), event("b")]),
        (b"data: a\r\rdata: b\r\r", [event("a"), event("b")]),
        (b"data: a\r\n\ndata: b\r\r\n", [event("a"), event("b")]),
        (b"data:a\n\n", [event("a")]),
        (b"data:  a \n\n", [event(" a ")]),
        (b"data: a: b\n\n", [event("a: b")]),
        (b"data: one\ndata: two\n\n", [event("one\ntwo")]),
        # The examples of the standard.
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [event("YHOO\n+2\n10")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [event("first event", id="1"), event("second event"), event(" third event")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [event(""), event("\n")]),
        (b"data:test\n\ndata: test\n\n", [event("test"), event("test")]),
        # What is not complete is not an event.
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data: a\r\n", []),
        # An event without data is none, and leaves no type behind.
        (b"event: x\n\ndata: a\n\n", [event("a")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [event("a", kind="x"), event("b")]),
        (b"event: x\nevent: y\ndata: a\n\n", [event("a", kind="y")]),
        (b"event: x\nevent\ndata: a\n\n", [event("a")]),
        # The id stays until there is another, an event without data sets it too.
        (b"id: 1\ndata: a\n\ndata: b\n\n", [event("a", id="1"), event("b", id="1")]),
        (b"id: 1\n\ndata: b\n\n", [event("b", id="1")]),
        (b"id: 1\ndata: a\n\nid:\ndata: b\n\n", [event("a", id="1"), event("b")]),
        (b"id: 1\nid: 2\x003\ndata: a\n\n", [event("a", id="1")]),
        # Comments, retry lines and unknown fields are passed over, between the lines of an event too.
        (b": ping\n: ping\ndata: a\n: ping\ndata: b\n\n", [event("a\nb")]),
        (b"retry: 1000\nfoo: bar\nfoo\nDATA: x\n data: y\ndata: a\n\n", [event("a")]),
        (b": ping\n\n\n\n", []),
        # One byte order mark at the beginning and no other.
        (b"\xef\xbb\xbfdata: a\n\n", [event("a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [event("b")]),
        (b"\n\xef\xbb\xbfdata: a\n\ndata: b\n\n", [event("b")]),
        (b"data: \xef\xbb\xbfa\n\n", [event("\ufeffa")]),
        (b"data: a\xffb\n\n", [event("a\ufffdb")]),
        # Only CR and LF end a line.
        (
            "data: a\u2028b\u0085c\x0bd\x0ce\x1cf\n\n".encode(),
            [event("a\u2028b\u0085c\x0bd\x0ce\x1cf")],
        ),
        (b"", []),
    ],
)
async def test_the_rules_of_the_standard(stream: bytes, events: list[ServerSentEvent]):
    assert await read(stream) == events
    assert await read(*[bytes([byte]) for byte in stream]) == events


@pytest.mark.parametrize(
    ("stream", "remarks"),
    [
        (b"", Remarks()),
        (b": ping\n", Remarks("ping")),
        (b":ping\r\ndata: a\r\n\r\n:  end\r\n", Remarks(" end")),
        (b": one\n: two\n", Remarks("two")),
        (b"data: : no\n", Remarks()),
        (b": not yet", Remarks()),
        (b"retry: 250\n: reconnect\n", Remarks("reconnect", 0.25)),
        (b"retry: 0\n", Remarks(retry=0)),
        (b"retry: 100\nretry: 1500\n", Remarks(retry=1.5)),
        (b"retry: 250\nretry: soon\nretry: -1\nretry: 1.5\nretry:\nretry\n", Remarks(retry=0.25)),
        ("retry: \u0662\u00b2\n".encode(), Remarks()),
        (b"retry: 60000\n", Remarks(retry=MAX_RETRY_SECONDS)),
        (b"retry: " + b"9" * 9999 + b"\n", Remarks()),
    ],
)
async def test_what_is_said_beside_the_events(stream: bytes, remarks: Remarks):
    for chunks in ([stream], [bytes([byte]) for byte in stream]):

        async def send(chunks: Sequence[bytes] = chunks) -> AsyncGenerator[bytes]:
            for chunk in chunks:
                yield chunk

        heard = Remarks()
        async for _ in parse_events(send(), heard):
            pass
        assert heard == remarks


async def test_crlf_cut_between_chunks_is_one_line_end():
    assert await read(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [event("a\nb")]
    assert await read(b"data: a\r", b"", b"\n\r\n") == [event("a")]
    assert await read(b"data: a\r", b"\rdata: b\r", b"\r") == [event("a"), event("b")]


async def test_an_event_is_told_before_the_second_half_of_its_crlf():
    seen: list[ServerSentEvent] = []

    async def send() -> AsyncGenerator[bytes]:
        yield b"data: a\r\n\r"
        assert seen == [event("a")]
        yield b"\ndata: b\r\n\r\n"

    seen.extend([each async for each in _noting(parse_events(send()), seen)][:0])
    assert seen == [event("a"), event("b")]


async def _noting(
    events: AsyncGenerator[ServerSentEvent], seen: list[ServerSentEvent]
) -> AsyncGenerator[ServerSentEvent]:
    async for each in events:
        seen.append(each)
        yield each


async def test_a_character_cut_between_chunks_is_whole():
    text = "data: é€😀\n\n".encode()
    for cut in range(len(text)):
        assert await read(text[:cut], text[cut:]) == [event("é€😀")]


PIECES = [
    b"data",
    b":",
    b" ",
    b"a",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"id",
    b"event",
    b"\x00",
    b"\xef\xbb\xbf",
    b"data: x\n",
    b"\xe2\x82\xac",
    b"\xff",
    b": ping\n",
    b"data: \xf0\x9f\x98\x80\r\n\r\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.lists(st.integers(0, 120), max_size=8))
@example([b"data: x\n", b"\r\n", b"data: x\n", b"\r\n"], [9])
async def test_any_chunking_gives_the_same_events(pieces: Sequence[bytes], cuts: list[int]):
    stream = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[begin:end] for begin, end in pairwise(edges)]
    assert await read(*chunks) == await read(stream)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))))
async def test_whatever_is_sent_as_data_comes_back(lines: list[str]):
    stream = "".join(f"data: {line}\r\n" for line in lines) + "\n"
    assert await read(stream.encode()) == ([event("\n".join(lines))] if lines else [])

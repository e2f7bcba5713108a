"""What a model says is split into the same events as by the client's own decoder, however it arrives."""

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from openai._streaming import ServerSentEvent, SSEDecoder

from backchannel.errors import ModelResponseError
from backchannel.models.event_stream import EventStreamDecoder, StreamRecord, current_record, record_chunks

pytestmark = pytest.mark.row("C4")

type Read = list[tuple[str | None, str, str | None, int | None]]

LINES = some.sampled_from(
    [
        "event: response.output_text.delta",
        "event:none",
        "event",
        'data: {"delta":"Hällo 🙂"}',
        "data: [DONE]",
        "data:x",
        "data",
        "id: 7",
        "id: bad\0",
        "retry: 250",
        "retry: soon",
        ": a comment",
        "nothing: known",
        "",
        "",
    ]
)


async def events(decoder: SSEDecoder, chunks: Sequence[bytes]) -> list[ServerSentEvent]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [event async for event in decoder.aiter_bytes(arriving())]


async def read(decoder: SSEDecoder, chunks: Sequence[bytes]) -> Read:
    return [(event.event, event.data, event.id, event.retry) for event in await events(decoder, chunks)]


@given(
    lines=some.lists(some.tuples(LINES, some.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]))),
    only_line_feeds=some.booleans(),
    cuts=some.lists(some.integers(0, 300), max_size=8),
)
async def test_events_are_those_of_the_client(
    lines: list[tuple[str, str]], only_line_feeds: bool, cuts: list[int]
):
    text = "".join(line + ("\n" if only_line_feeds else end) for line, end in lines).encode() + b"\n\n"
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[start:end] for start, end in pairwise(places)]
    # What the client's own decoder yields, without events that have no data: its callers fail for those.
    expected = [event for event in await read(SSEDecoder(), chunks) if event[1].strip()]
    if expected:
        assert [event[:3] for event in await read(EventStreamDecoder(), chunks)] == [
            event[:3] for event in expected
        ]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"event: a\ndata: x1\ndata: x2\n\n"], [("a", "x1\nx2", None, None)]),
        (
            [b"event: a\nda", b"ta: x1\r\n\r\nda", b"ta: x2\n\n"],
            [("a", "x1", None, None), (None, "x2", None, None)],
        ),
        ([b"data: x1\n", b"\ndata: x2\n\n\n"], [(None, "x1", None, None), (None, "x2", None, None)]),
        ([b'data: x1\n\ndata: {"not": "whole'], [(None, "x1", None, None)]),
        ([b": ping\n\n", b"data: x1\n\n"], [(None, "x1", None, None)]),
    ],
)
async def test_what_is_rarely_said(chunks: list[bytes], expected: Read):
    assert await read(EventStreamDecoder(), chunks) == expected == await read(SSEDecoder(), chunks)


@pytest.mark.parametrize(
    "data",
    [
        '{"a":[1,2.5,true,null],"b":"\\u00e9\\ud83d\\ude42"}',
        '{"half a pair": "\\ud83d"}',
        '{"a":NaN}',
        '{"a":%s}' % ("1" * 30),
        '{"a":[]}',
    ],
)
async def test_data_are_read_as_by_the_client(data: str):
    (event,) = await events(EventStreamDecoder(), [f"event: e\ndata: {data}\n\n".encode()])
    assert repr(event.json()) == repr(json.loads(data))


@pytest.mark.parametrize("data", ["null", "3", '"x"', "[]", "true"])
async def test_data_that_are_no_object_are_left_out(data: str):
    """NousResearch/hermes-agent#80822: sent as a sign of life."""
    chunks = [f'data: {data}\n\ndata: {{"a":1}}\n\n'.encode()]
    assert [event.data for event in await events(EventStreamDecoder(), chunks)] == ['{"a":1}']


async def test_data_that_are_no_json_are_refused_as_by_the_client():
    (event,) = await events(EventStreamDecoder(), [b"event: e\ndata: {oops\n\n"])
    with pytest.raises(json.JSONDecodeError):
        event.json()


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_an_answer_arrives_in_pieces_of_any_size(size: int):
    text = "".join(f'event: delta\ndata: {{"n":"é{number}"}}\n\n' for number in range(50)).encode()
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    expected = [("delta", f'{{"n":"é{number}"}}', None, None) for number in range(50)]
    assert await read(EventStreamDecoder(), chunks) == expected


@pytest.mark.row("M23", "A5")
async def test_chunks_of_other_clients_are_recorded():
    """BerriAI/litellm, whose chunks do not pass the decoder."""

    async def chunks() -> AsyncIterator[Any]:
        for reason in (None, "max_tokens"):
            yield SimpleNamespace(choices=[SimpleNamespace(finish_reason=reason)])
        yield SimpleNamespace(choices=[])

    record = StreamRecord()
    token = current_record.set(record)
    try:
        assert len([chunk async for chunk in record_chunks(chunks())]) == 3
    finally:
        current_record.reset(token)
    assert (record.chunks, record.finish_reason, record.ended) == (True, "length", True)


@pytest.mark.row("M12")
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"<html><head><title>Bad gateway</title></head></html>", "Bad gateway"),
        (b'\xef\xbb\xbf  {"status": "ok"}', "JSON"),
        (b"", "empty"),
        (b"Service unavailable", "text"),
        (b"{broken", "broken JSON"),
    ],
)
async def test_what_is_no_stream_is_named(body: bytes, named: str):
    with pytest.raises(ModelResponseError, match=named):
        await events(EventStreamDecoder(), [body])


@pytest.mark.row("M12")
async def test_an_answer_without_its_blank_line_at_the_end_is_read():
    assert [each.data for each in await events(EventStreamDecoder(), [b'data: {"a":1}\n'])] == ['{"a":1}']

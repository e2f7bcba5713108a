"""Readers receive events as they were appended."""

import pytest

from backchannel.event_logs.base import Event, EventLog, Frame
from backchannel.testing.contracts.event_log_base import (
    EventLogSuite,
    append_events,
    begin_run,
    checked_numbers,
    read_available,
    read_next,
    read_to_end,
    read_until,
    sample_event,
    text_delta,
    whole_event,
)

HEAD = b'{"update":{"delta":'

NASTY = "\x00 \r\n\u2028 \U0001f600 quote ' \" back\\slash % e\u0301 \x7f"


class EventsSuite(EventLogSuite):
    """Part of `EventLogContract`: sequence numbers, contents, and joined text deltas."""

    async def test_events_are_numbered_from_1(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, range(1, 4), whole_event)
        for log in (event_log, another_log):
            batch = await read_next(log, run_id)
            assert list(batch.frames) == [Frame(number, whole_event(number)) for number in (1, 2, 3)]
            assert not batch.ended

    async def test_events_come_back_as_they_were_appended(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        events = [
            Event(b'{"type":"x"}'),
            Event(HEAD, NASTY),
            Event("{é😀}".encode(), plain=True),
            Event(HEAD, ""),
            Event(b"{}"),
            Event(HEAD, "x", plain=True),
        ]
        for event in events:
            event_log.append(run_id, event)
        await event_log.end(run_id)
        for log in (event_log, another_log):
            frames = await read_to_end(log, run_id)
            assert frames == [Frame(number, event) for number, event in enumerate(events, 1)]

    async def test_half_characters_come_back_as_the_same_bytes(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begin_run(event_log)
        event = Event(HEAD, "half \ud83d and \ude00")
        event_log.append(run_id, event)
        event_log.append(run_id, whole_event(2))
        await event_log.end(run_id)
        for log in (event_log, another_log):
            first, _ = await read_to_end(log, run_id)
            assert first.event.body() == event.body()

    async def test_a_character_cut_in_two_is_two_deltas(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        for text in ("a\ud83d", "\ude00b", "c"):
            event_log.append(run_id, Event(HEAD, text))
        await event_log.end(run_id)
        for log in (event_log, another_log):
            frames = await read_to_end(log, run_id, after=1)
            assert "".join(frame.event.text or "" for frame in frames)[1:] == "bc"
            assert [frame.event.text for frame in await read_to_end(log, run_id, after=2)] == ["c"]

    @pytest.mark.parametrize("after", [0, 1, 4, 5, 99])
    @pytest.mark.parametrize("ended", [False, True])
    async def test_a_reader_starts_anywhere(
        self, event_log: EventLog, another_log: EventLog, after: int, ended: bool
    ):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, range(1, 6))
        if ended:
            await event_log.end(run_id)
        for log in (event_log, another_log):
            batch = await read_available(log, run_id, after)
            assert checked_numbers(batch.frames) == list(range(after + 1, 6))
            assert batch.ended == ended

    async def test_a_reader_starts_between_joined_deltas(self, event_log: EventLog, another_log: EventLog):
        run_id, count = await begin_run(event_log), 700
        await append_events(event_log, run_id, range(1, count - 40), text_delta)
        await append_events(event_log, run_id, range(count - 40, count + 1), text_delta)
        for log in (event_log, another_log):
            for after in (*range(0, count, 37), *range(count - 44, count)):
                frames = await read_until(log, run_id, count, after)
                assert checked_numbers(frames) == list(range(after + 1, count + 1))

    async def test_only_text_of_the_same_part_is_joined(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        parts = [(b'{"a":', False), (b'{"b":', False), (b'{"a":', True), (b'{"a":', False)]
        for head, plain in parts:
            for text in ("x", "y"):
                event_log.append(run_id, Event(head, text, plain))
        await event_log.end(run_id)
        for log in (event_log, another_log):
            joined: list[tuple[bytes, bool]] = []
            texts: list[str] = []
            for frame in await read_to_end(log, run_id):
                key = (frame.event.head, frame.event.plain)
                if not joined or joined[-1] != key:
                    joined.append(key)
                    texts.append("")
                texts[-1] += frame.event.text or ""
            assert joined == parts
            assert texts == ["xy"] * 4

    async def test_runs_do_not_mix(self, event_log: EventLog, another_log: EventLog):
        one, two = await begin_run(event_log), await begin_run(another_log)
        event_log.append(one, Event(b'{"one":1}'))
        another_log.append(two, Event(b'{"two":2}'))
        await event_log.end(one)
        await another_log.flush(two)
        for log in (event_log, another_log):
            first, second = await read_next(log, one), await read_next(log, two)
            assert (list(first.frames), first.ended) == ([Frame(1, Event(b'{"one":1}'))], True)
            assert (list(second.frames), second.ended) == ([Frame(1, Event(b'{"two":2}'))], False)

    async def test_a_batch_does_not_change_afterwards(self, event_log: EventLog):
        run_id = await begin_run(event_log)
        event_log.append(run_id, text_delta(1))
        batch = await read_next(event_log, run_id)
        event_log.append(run_id, text_delta(2))
        await event_log.end(run_id)
        assert (checked_numbers(batch.frames), batch.ended) == ([1], False)

    async def test_text_is_readable_immediately(self, event_log: EventLog):
        run_id = await begin_run(event_log)
        for number in (1, 2, 3):
            event_log.append(run_id, text_delta(number))
            batch = await read_available(event_log, run_id, number - 1)
            assert checked_numbers(batch.frames) == [number]

    async def test_a_long_run_is_read_in_full(self, event_log: EventLog, another_log: EventLog):
        run_id, count = await begin_run(event_log), 3000
        for start in range(1, count, 500):
            await append_events(event_log, run_id, range(start, start + 500))
        await event_log.end(run_id)
        for log in (event_log, another_log):
            assert checked_numbers(await read_to_end(log, run_id)) == list(range(1, count + 1))
            assert checked_numbers(await read_to_end(log, run_id, count - 7)) == list(
                range(count - 6, count + 1)
            )

    async def test_events_appended_together_keep_their_order(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begin_run(event_log)
        for number in range(1, 200):
            event_log.append(run_id, sample_event(number))
        assert checked_numbers(await read_until(another_log, run_id, 199)) == list(range(1, 200))

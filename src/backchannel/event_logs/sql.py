"""The event log in a SQL database, shared by all processes that use it."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import override

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import JUMP, FencedError
from backchannel.event_logs.durable import CACHE_SECONDS, DurableEventLog
from backchannel.event_logs.event_buffer import Segment
from backchannel.event_logs.storage import (
    Page,
    Storage,
    WriteBatch,
    WriterPosition,
    decode_delta_ends,
    encode_delta_ends,
)
from backchannel.retry import request_seconds
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.run_events import MAX_LOGS, MAX_ROWS, EventRow, LogAppend, LogState, SqlRunEvents
from backchannel.stores.times import utc_now

ABANDONED_SECONDS = 7 * 86_400
"""The age of a run at which its log is deleted even if the run was never ended."""

MAX_CONCURRENT_READS = 4
"""How many readers may replay events at the same time. When a process stops, all its readers reconnect to other ones,
and must not take all connections of their pools."""

READ_QUEUE_SECONDS = 10
"""How long a reader waits for one of these reads."""


class SqlEventLog(DurableEventLog):
    """Stores events in the tables `run_logs` and `run_events`.

    Args:
        database: The caller closes it, after the log. Inside `Database.transaction`, `begin` is part of that
            transaction, and nothing may be appended before it is committed.
        retention: Seconds for which events stay readable after the end of their run.
        poll_seconds: The pause between two polls for runs that are read in this process and written in another one.
            There are no polls without such runs.
        cache_seconds: Seconds for which a run stays in memory after its last reader.
    """

    def __init__(
        self,
        database: Database,
        *,
        retention: float,
        poll_seconds: float = 0.1,
        cache_seconds: float = CACHE_SECONDS,
    ) -> None:
        super().__init__(
            SqlStorage(database, retention=retention, poll_seconds=poll_seconds),
            cache_seconds=min(cache_seconds, retention),
        )


class SqlStorage(Storage):
    """See `SqlEventLog`."""

    def __init__(self, database: Database, *, retention: float, poll_seconds: float) -> None:
        self._database = database
        self._rows = SqlRunEvents(database)
        self._retention = timedelta(seconds=retention)
        self._poll_seconds = poll_seconds
        self._has_more = False
        self._reads = asyncio.Semaphore(MAX_CONCURRENT_READS)

    @override
    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        result = await self._rows.begin(run_id, identity, fence, JUMP if after_crash else None)
        if result is None:
            raise FencedError(run_id)
        state, last = result
        return WriterPosition(last, state.last_seq, state.ended_at is not None)

    @override
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        states = await self._rows.append([_log_append(batch) for batch in batches])
        stored: dict[str, int | None] = {}
        for batch in batches:
            state = states.get(batch.run_id)
            if state is not None and state.fence == batch.fence:
                stored[batch.run_id] = state.last_seq
            else:
                stored[batch.run_id] = None
        return stored

    @override
    async def page(self, run_id: str, after: int) -> Page:
        async with self._read_slot():
            found = await self._rows.page(run_id, after)
        if found is None or self._expired(found[0]):
            raise LookupError(run_id)
        state, rows = found
        return _page(state, rows, complete=len(rows) < MAX_ROWS)

    @override
    async def poll(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        if not self._has_more:
            await asyncio.sleep(self._poll_seconds)
        self._has_more = False
        states = await self._rows.states(list(after))
        pages: dict[str, Page | None] = dict.fromkeys(run_id for run_id in after if run_id not in states)
        advanced = {
            run_id: after[run_id] for run_id, state in states.items() if state.last_seq > after[run_id]
        }
        for run_id, state in states.items():
            if run_id not in advanced and state.ended_at is not None:
                pages[run_id] = _page(state, (), complete=True)
        advanced_ids = list(advanced)
        for start in range(0, len(advanced_ids), MAX_LOGS):
            chunk = advanced_ids[start : start + MAX_LOGS]
            rows, complete = await self._rows.rows_after({run_id: advanced[run_id] for run_id in chunk})
            self._has_more |= not complete
            rows_by_run: dict[str, list[EventRow]] = {run_id: [] for run_id in chunk}
            for row in rows:
                rows_by_run[row.run_id].append(row)
            pages.update(
                {
                    run_id: _page(states[run_id], run_rows, complete=complete)
                    for run_id, run_rows in rows_by_run.items()
                    if run_rows or complete
                }
            )
        return pages

    @override
    async def delete_expired(self) -> None:
        while True:
            abandoned = int((time.time() - ABANDONED_SECONDS) * 1000)
            # Ids begin with the time of their creation; see `ids.new_id`.
            run_ids = await self._rows.expired(utc_now() - self._retention, f"run_{abandoned:012x}")
            for run_id in run_ids:
                done = False
                while not done:
                    done = await self._rows.delete_batch(run_id)
                    # A pause, so that other writers get their turn; SQLite has one at a time.
                    await asyncio.sleep(self._poll_seconds / 10)
            if len(run_ids) < MAX_LOGS:
                return

    @override
    async def check(self) -> None:
        await self._database.check()

    @asynccontextmanager
    async def _read_slot(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(min(READ_QUEUE_SECONDS, request_seconds() or READ_QUEUE_SECONDS)):
                await self._reads.acquire()
        except TimeoutError:
            raise UnavailableError("The server is busy. Try again in a moment.", retry_after=2) from None
        try:
            yield
        finally:
            self._reads.release()

    def _expired(self, state: LogState) -> bool:
        return state.ended_at is not None and state.ended_at + self._retention <= utc_now()


def _page(state: LogState, rows: Sequence[EventRow], *, complete: bool) -> Page:
    segments = [_segment(row) for row in rows]
    last = segments[-1].last if segments else 0
    return Page(
        segments, max(last, state.last_seq) if complete else last, complete and state.ended_at is not None
    )


def _log_append(batch: WriteBatch) -> LogAppend:
    return LogAppend(
        batch.run_id,
        batch.identity,
        batch.fence,
        # A batch from the start of its writer is accepted by any log: the writer has no earlier events to send again.
        0 if batch.base == batch.start else batch.base,
        batch.last,
        [_row(batch.run_id, segment) for segment in batch.segments],
        batch.ends_run,
    )


def _row(run_id: str, segment: Segment) -> EventRow:
    head = segment.head.decode(errors="replace")
    if segment.text is None:
        return EventRow(run_id, segment.first, head, None, None, segment.plain)
    # JSON, because PostgreSQL stores no NUL. A lone surrogate becomes "?", as in `Event.body`, so that `delta_ends`
    # stays valid.
    text = json.dumps(segment.text, ensure_ascii=False)
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return EventRow(run_id, segment.first, head, text, encode_delta_ends(segment), segment.plain)


def _segment(row: EventRow) -> Segment:
    head = row.head.encode()
    if row.text is None or row.ends is None:
        return Segment(row.seq, head, bool(row.plain))
    return Segment(row.seq, head, bool(row.plain), json.loads(row.text), decode_delta_ends(row.ends))

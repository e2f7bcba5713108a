"""The event log in a SQL database: survives crashes, and is shared by every process that uses the database."""

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
from backchannel.event_logs.durable import LINGER, DurableEventLog
from backchannel.event_logs.event_buffer import Segment
from backchannel.event_logs.storage import Page, Storage, WriteBatch, WriterPosition, read_ends, written_ends
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.run_events import LOGS, ROWS, Addition, EventRow, LogState, SqlRunEvents
from backchannel.stores.times import utc_now

ABANDONED_SECONDS = 7 * 86_400
"""The age of a run at which its log is deleted even if it has not ended: whoever should have ended it is gone."""

READS_AT_ONCE = 4
"""How many readers may ask at the same time for what was said before they came. When a process stops, all its readers
come to another one at once, and must leave connections to others."""

TURN_SECONDS = 10
"""How long a reader waits for its turn."""


class SqlEventLog(DurableEventLog):
    """Keeps events in the tables `run_logs` and `run_events`.

    Args:
        database: Where they are; closed by whoever opened it, after the log. Inside of `Database.transaction`, `begin`
            is part of that transaction, and nothing may be appended before it is committed.
        retention: Seconds that a run's events outlive it.
        poll: Seconds between looks at runs that are read here and written in another process. Nobody looks while
            there are none.
        linger: Seconds that a run stays in memory after its last reader.
    """

    def __init__(
        self, database: Database, *, retention: float, poll: float = 0.1, linger: float = LINGER
    ) -> None:
        super().__init__(SqlStorage(database, retention=retention, poll=poll), linger=min(linger, retention))


class SqlStorage(Storage):
    """See `SqlEventLog`."""

    def __init__(self, database: Database, *, retention: float, poll: float) -> None:
        self._database = database
        self._rows = SqlRunEvents(database)
        self._retention = timedelta(seconds=retention)
        self._poll = poll
        self._at_once = False
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    @override
    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        begun = await self._rows.begin(run_id, identity, fence, JUMP if after_crash else None)
        if begun is None:
            raise FencedError(run_id)
        state, last = begun
        return WriterPosition(last, state.last_seq, state.ended_at is not None)

    @override
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        states = await self._rows.add([_addition(batch) for batch in batches])
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
        async with self._turn():
            found = await self._rows.page(run_id, after)
        if found is None or self._expired(found[0]):
            raise LookupError(run_id)
        state, rows = found
        return _page(state, rows, whole=len(rows) < ROWS)

    @override
    async def news(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        if not self._at_once:
            await asyncio.sleep(self._poll)
        self._at_once = False
        states = await self._rows.states(list(after))
        news: dict[str, Page | None] = dict.fromkeys(run_id for run_id in after if run_id not in states)
        fresh = {run_id: after[run_id] for run_id, state in states.items() if state.last_seq > after[run_id]}
        for run_id, state in states.items():
            if run_id not in fresh and state.ended_at is not None:
                news[run_id] = _page(state, (), whole=True)
        names = list(fresh)
        for start in range(0, len(names), LOGS):
            some = names[start : start + LOGS]
            rows, whole = await self._rows.rows_after({run_id: fresh[run_id] for run_id in some})
            self._at_once |= not whole
            parts: dict[str, list[EventRow]] = {run_id: [] for run_id in some}
            for row in rows:
                parts[row.run_id].append(row)
            news.update(
                {
                    run_id: _page(states[run_id], part, whole=whole)
                    for run_id, part in parts.items()
                    if part or whole
                }
            )
        return news

    @override
    async def sweep(self) -> None:
        while True:
            abandoned = int((time.time() - ABANDONED_SECONDS) * 1000)
            # Ids begin with the time at which they were made; see `ids.new_id`.
            run_ids = await self._rows.expired(utc_now() - self._retention, f"run_{abandoned:012x}")
            for run_id in run_ids:
                done = False
                while not done:
                    done = await self._rows.delete_some(run_id)
                    # Writers of the database get every second turn.
                    await asyncio.sleep(self._poll / 10)
            if len(run_ids) < LOGS:
                return

    @override
    async def check(self) -> None:
        await self._database.check()

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise UnavailableError("The server is busy. Try again in a moment.", retry_after=2) from None
        try:
            yield
        finally:
            self._turns.release()

    def _expired(self, state: LogState) -> bool:
        return state.ended_at is not None and state.ended_at + self._retention <= utc_now()


def _page(state: LogState, rows: Sequence[EventRow], *, whole: bool) -> Page:
    segments = [_segment(row) for row in rows]
    last = segments[-1].last if segments else 0
    return Page(segments, max(last, state.last_seq) if whole else last, whole and state.ended_at is not None)


def _addition(batch: WriteBatch) -> Addition:
    return Addition(
        batch.run_id,
        batch.identity,
        batch.fence,
        # A writer that begins after what the log knows has nothing more to tell of what is missing.
        0 if batch.base == batch.start else batch.base,
        batch.last,
        [_row(batch.run_id, segment) for segment in batch.segments],
        batch.ends,
    )


def _row(run_id: str, segment: Segment) -> EventRow:
    head = segment.head.decode(errors="replace")
    if segment.text is None:
        return EventRow(run_id, segment.first, head, None, None, segment.plain)
    # As JSON, because PostgreSQL takes no NUL. Half surrogates become what clients get instead of them: as many
    # characters as before, so that `ends` holds.
    text = json.dumps(segment.text, ensure_ascii=False)
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return EventRow(run_id, segment.first, head, text, written_ends(segment), segment.plain)


def _segment(row: EventRow) -> Segment:
    head = row.head.encode()
    if row.text is None or row.ends is None:
        return Segment(row.seq, head, bool(row.plain))
    return Segment(row.seq, head, bool(row.plain), json.loads(row.text), read_ends(row.ends))

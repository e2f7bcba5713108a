"""The rows of the event log: all of its SQL.

Ownership of a run is checked on its row in `runs` before its log is read. The flusher, the tailer and the deletion of
expired logs work on runs of all owners in one statement, so that statements here select by run. Rows have an owner
nevertheless, so that one person's data can be exported and erased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity
from backchannel.stores.sql.bulk import Bulk
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import (
    insert_new_owned,
    owner_values,
    select_owned,
    update_owned,
    upsert_owned,
)
from backchannel.stores.sql.tables import run_events, run_logs
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_now

MAX_LOGS, MAX_ROWS = 200, 500
"""The most logs that one statement names, and the most event rows that one statement reads or deletes."""


@dataclass(frozen=True, slots=True)
class LogState:
    """The row of a run's log."""

    fence: int
    last_seq: int
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of `run_events`, without its owner."""

    run_id: str
    seq: int
    head: str
    text: str | None
    ends: str | None
    plain: bool


@dataclass(frozen=True, slots=True)
class LogAppend:
    """Rows to append to a run's log.

    Attributes:
        fence: The writer's fence.
        base: If the log is not complete up to this number, nothing is appended.
        last_seq: The number of the last event.
        ends_run: Whether the run ends with it.
    """

    run_id: str
    identity: Identity
    fence: int
    base: int
    last_seq: int
    rows: Sequence[EventRow]
    ends_run: bool


class SqlRunEvents:
    """The rows of the event log. Each method is one transaction and may be called twice with the same result."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._insert = Bulk(
            database,
            lambda: insert_new_owned(database.dialect, run_events, key=("run_id", "seq")),
            run_events.c.keys(),
        )
        self._advance = Bulk(database, lambda: _ADVANCE, ("log", "last", "ended"))

    @retryable
    async def begin(
        self, run_id: str, identity: Identity, fence: int, jump: int | None
    ) -> tuple[LogState, int] | None:
        """Set the fence of a log, which is created if necessary; returns its state and the number of its last event, or
        `None` if the log has a larger fence.

        Args:
            jump: Numbering continues after the next multiple of this.
        """
        here = run_logs.c.run_id == run_id
        created = upsert_owned(
            self.database.dialect,
            identity,
            run_logs,
            {"run_id": run_id, "fence": fence, "last_seq": 0},
            key=("run_id",),
            change=(),
        )
        found = select_owned(identity, run_logs, *_STATE).where(here).with_for_update()
        async with self.database.write() as connection:
            await connection.execute(created)
            row = (await connection.execute(found)).one_or_none()
            # No row means that the log has another owner: refused like a larger fence.
            if row is None or row.fence > fence:
                return None
            last_seq = row.last_seq if jump is None else (row.last_seq // jump + 1) * jump
            if (row.fence, row.last_seq) != (fence, last_seq):
                change = update_owned(identity, run_logs).where(here).values(fence=fence, last_seq=last_seq)
                await connection.execute(change)
            last = await _last_event(connection, run_id) if row.last_seq else 0
        return LogState(fence, last_seq, row.ended_at), last

    @retryable
    async def append(self, appends: Sequence[LogAppend]) -> Mapping[str, LogState]:
        """Append to several logs in one transaction; returns their states afterwards. A log that has another fence,
        does not exist, or ends before `base` is not changed. Events that are stored already are skipped."""
        logs = {"logs": [each.run_id for each in appends]}
        async with self.database.write() as connection:
            states = {row.run_id: _state(row) for row in await connection.execute(_LOCKED, logs)}
            accepted = [each for each in appends if _accepts(states.get(each.run_id), each)]
            if not accepted:
                return states
            rows = [_values(row, each.identity) for each in accepted for row in each.rows]
            if rows:
                await self._insert.execute(connection, rows)
            now = utc_now()
            for each in accepted:
                ended_at = now if each.ends_run else states[each.run_id].ended_at
                states[each.run_id] = LogState(each.fence, each.last_seq, ended_at)
            await self._advance.execute(
                connection,
                [
                    {"log": each.run_id, "last": each.last_seq, "ended": states[each.run_id].ended_at}
                    for each in accepted
                ],
            )
        return states

    @retryable
    async def page(self, run_id: str, after: int) -> tuple[LogState, Sequence[EventRow]] | None:
        """A log's state and its first `MAX_ROWS` rows with events after a number; `None` if there is no log."""
        async with self.database.read() as connection:
            rows = (await connection.execute(_PAGE, {"log": run_id, "next": after + 1})).all()
        if not rows:
            return None
        return _state(rows[0]), [_event(row) for row in rows if row.seq is not None]

    @retryable
    async def states(self, run_ids: Sequence[str]) -> Mapping[str, LogState]:
        """The states of the logs that exist."""
        states: dict[str, LogState] = {}
        async with self.database.read() as connection:
            for start in range(0, len(run_ids), MAX_LOGS):
                chunk = run_ids[start : start + MAX_LOGS]
                found = select(run_logs.c.run_id, *_STATE).where(run_logs.c.run_id.in_(chunk))
                states.update({row.run_id: _state(row) for row in await connection.execute(found)})
        return states

    @retryable
    async def rows_after(self, positions: Mapping[str, int]) -> tuple[Sequence[EventRow], bool]:
        """Rows of at most `MAX_LOGS` logs after a number in each, in order, and whether these are all."""
        events = (
            and_(run_events.c.run_id == run_id, run_events.c.seq > seq) for run_id, seq in positions.items()
        )
        statement = select(*_EVENT).where(or_(*events)).order_by(run_events.c.run_id, run_events.c.seq)
        async with self.database.read() as connection:
            rows = (await connection.execute(statement.limit(MAX_ROWS))).all()
        return [_event(row) for row in rows], len(rows) < MAX_ROWS

    @retryable
    async def expired(self, ended_before: datetime, ids_before: str) -> Sequence[str]:
        """At most `MAX_LOGS` ids of logs that ended before a time or whose id is smaller than `ids_before`."""
        old = or_(run_logs.c.ended_at < ended_before, run_logs.c.run_id < ids_before)
        async with self.database.read() as connection:
            return (
                (await connection.execute(select(run_logs.c.run_id).where(old).limit(MAX_LOGS)))
                .scalars()
                .all()
            )

    @retryable
    async def delete_batch(self, run_id: str) -> bool:
        """Delete a log's first `MAX_ROWS` rows, and with the last ones the log; returns whether that is deleted."""
        seq = run_events.c.seq
        first = select(seq).where(run_events.c.run_id == run_id).order_by(seq).limit(MAX_ROWS)
        async with self.database.write() as connection:
            found = (await connection.execute(first)).scalars().all()
            if found:
                batch = delete(run_events).where(run_events.c.run_id == run_id, seq <= found[-1])
                await connection.execute(batch)
            if len(found) == MAX_ROWS:
                return False
            await connection.execute(delete(run_logs).where(run_logs.c.run_id == run_id))
        return True


_STATE = (run_logs.c.fence, run_logs.c.last_seq, run_logs.c.ended_at)
_EVENT = tuple(run_events.c[name] for name in ("run_id", "seq", "head", "text", "ends", "plain"))
_inner = run_events.alias()
# The row that contains an event may have the number of an earlier one.
_first = (
    select(func.coalesce(func.max(_inner.c.seq), 0))
    .where(_inner.c.run_id == bindparam("log"), _inner.c.seq <= bindparam("next"))
    .scalar_subquery()
)
# One statement, so that `ended_at` and the rows are consistent.
_PAGE = (
    select(*_STATE, *_EVENT)
    .select_from(
        run_logs.outerjoin(
            run_events, and_(run_events.c.run_id == run_logs.c.run_id, run_events.c.seq >= _first)
        )
    )
    .where(run_logs.c.run_id == bindparam("log"))
    .order_by(run_events.c.seq)
    .limit(MAX_ROWS)
)
_LOCKED = (
    select(run_logs.c.run_id, *_STATE)
    .where(run_logs.c.run_id.in_(bindparam("logs", expanding=True)))
    # In a fixed order, so that two processes do not deadlock.
    .order_by(run_logs.c.run_id)
    .with_for_update()
)
_ADVANCE = (
    update(run_logs)
    .where(run_logs.c.run_id == bindparam("log"))
    .values(last_seq=bindparam("last"), ended_at=bindparam("ended"))
)


def _accepts(state: LogState | None, append: LogAppend) -> bool:
    return state is not None and state.fence == append.fence and state.last_seq >= append.base


def _state(row: Any) -> LogState:
    return LogState(row.fence, row.last_seq, row.ended_at)


def _event(row: Any) -> EventRow:
    return EventRow(row.run_id, row.seq, row.head, row.text, row.ends, row.plain)


def _values(row: EventRow, identity: Identity) -> dict[str, Any]:
    return {
        **owner_values(identity),
        "run_id": row.run_id,
        "seq": row.seq,
        "head": row.head,
        "text": row.text,
        "ends": row.ends,
        "plain": row.plain,
    }


async def _last_event(connection: AsyncConnection, run_id: str) -> int:
    newest = (
        select(run_events.c.seq, run_events.c.ends)
        .where(run_events.c.run_id == run_id)
        .order_by(run_events.c.seq.desc())
        .limit(1)
    )
    row = (await connection.execute(newest)).one_or_none()
    return 0 if row is None else row.seq + (row.ends or "").count(",")

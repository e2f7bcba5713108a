"""What runs have said, as rows. All SQL of the event log is here.

Whoever asks has found the run by its own row, whose owner was compared there; the log's one writer serves runs of
everybody at once, and so do its one reader and the deletion of what has expired. That is why statements here name
runs and not people. Every row has its owner all the same, so that a person's can be exported and erased.
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

LOGS, ROWS = 200, 500
"""The most logs that one statement names, and the most events that one statement reads or deletes."""


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
class Addition:
    """What is added to a run's log.

    Attributes:
        fence: The writer's.
        base: The number up to which the log must know everything, or nothing is added.
        last_seq: The number up to which it will know everything.
        ends: Whether the run ends with it.
    """

    run_id: str
    identity: Identity
    fence: int
    base: int
    last_seq: int
    rows: Sequence[EventRow]
    ends: bool


class SqlRunEvents:
    """The rows of the event log. Each method is one transaction and may be done again."""

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
        """Let `fence` be the one that may write, and give the log's state and the number of its last event; `None` if
        there was a larger one.

        Args:
            jump: Numbers go on at the next multiple of it.
        """
        mine = run_logs.c.run_id == run_id
        made = upsert_owned(
            self.database.dialect,
            identity,
            run_logs,
            {"run_id": run_id, "fence": fence, "last_seq": 0},
            key=("run_id",),
            change=(),
        )
        found = select_owned(identity, run_logs, *_STATE).where(mine).with_for_update()
        async with self.database.write() as connection:
            await connection.execute(made)
            row = (await connection.execute(found)).one_or_none()
            # Somebody else's is as good as one with a larger fence.
            if row is None or row.fence > fence:
                return None
            last_seq = row.last_seq if jump is None else (row.last_seq // jump + 1) * jump
            if (row.fence, row.last_seq) != (fence, last_seq):
                taken = update_owned(identity, run_logs).where(mine).values(fence=fence, last_seq=last_seq)
                await connection.execute(taken)
            last = await _last_event(connection, run_id) if row.last_seq else 0
        return LogState(fence, last_seq, row.ended_at), last

    @retryable
    async def add(self, additions: Sequence[Addition]) -> Mapping[str, LogState]:
        """Add to several logs, all in one transaction; gives their states afterwards. Nothing is added to one that has
        another fence, is absent, or ends before `base`; nor is an event that is there."""
        logs = {"logs": [each.run_id for each in additions]}
        async with self.database.write() as connection:
            states = {row.run_id: _state(row) for row in await connection.execute(_LOCKED, logs)}
            taken = [each for each in additions if _fits(each, states.get(each.run_id))]
            if not taken:
                return states
            rows = [_values(row, each.identity) for each in taken for row in each.rows]
            if rows:
                await self._insert.execute(connection, rows)
            now = utc_now()
            for each in taken:
                before = states[each.run_id].ended_at
                states[each.run_id] = LogState(each.fence, each.last_seq, now if each.ends else before)
            await self._advance.execute(
                connection,
                [
                    {"log": each.run_id, "last": each.last_seq, "ended": states[each.run_id].ended_at}
                    for each in taken
                ],
            )
        return states

    @retryable
    async def page(self, run_id: str, after: int) -> tuple[LogState, Sequence[EventRow]] | None:
        """A log's state and its first rows, at most `ROWS`, with anything after a number; `None` if there is none."""
        async with self.database.read() as connection:
            rows = (await connection.execute(_PAGE, {"log": run_id, "next": after + 1})).all()
        if not rows:
            return None
        return _state(rows[0]), [_event(row) for row in rows if row.seq is not None]

    @retryable
    async def states(self, run_ids: Sequence[str]) -> Mapping[str, LogState]:
        """The states of those logs that there are."""
        states: dict[str, LogState] = {}
        async with self.database.read() as connection:
            for start in range(0, len(run_ids), LOGS):
                some = run_ids[start : start + LOGS]
                found = select(run_logs.c.run_id, *_STATE).where(run_logs.c.run_id.in_(some))
                states.update({row.run_id: _state(row) for row in await connection.execute(found)})
        return states

    @retryable
    async def rows_after(self, positions: Mapping[str, int]) -> tuple[Sequence[EventRow], bool]:
        """Rows of several logs after a number in each, in order, and whether these are all. At most `LOGS` logs."""
        events = (
            and_(run_events.c.run_id == run_id, run_events.c.seq > seq) for run_id, seq in positions.items()
        )
        statement = select(*_EVENT).where(or_(*events)).order_by(run_events.c.run_id, run_events.c.seq)
        async with self.database.read() as connection:
            rows = (await connection.execute(statement.limit(ROWS))).all()
        return [_event(row) for row in rows], len(rows) < ROWS

    @retryable
    async def expired(self, ended_before: datetime, ids_before: str) -> Sequence[str]:
        """Some logs, at most `LOGS`, that ended before a time or whose ids are smaller than one."""
        old = or_(run_logs.c.ended_at < ended_before, run_logs.c.run_id < ids_before)
        async with self.database.read() as connection:
            return (
                (await connection.execute(select(run_logs.c.run_id).where(old).limit(LOGS))).scalars().all()
            )

    @retryable
    async def delete_some(self, run_id: str) -> bool:
        """Delete a log's first rows, at most `ROWS`, and with the last of them the log; whether that is done."""
        seq = run_events.c.seq
        first = select(seq).where(run_events.c.run_id == run_id).order_by(seq).limit(ROWS)
        async with self.database.write() as connection:
            found = (await connection.execute(first)).scalars().all()
            if found:
                some = delete(run_events).where(run_events.c.run_id == run_id, seq <= found[-1])
                await connection.execute(some)
            if len(found) == ROWS:
                return False
            await connection.execute(delete(run_logs).where(run_logs.c.run_id == run_id))
        return True


_STATE = (run_logs.c.fence, run_logs.c.last_seq, run_logs.c.ended_at)
_EVENT = tuple(run_events.c[name] for name in ("run_id", "seq", "head", "text", "ends", "plain"))
_inner = run_events.alias()
# The row that a number is in may begin before it.
_first = (
    select(func.coalesce(func.max(_inner.c.seq), 0))
    .where(_inner.c.run_id == bindparam("log"), _inner.c.seq <= bindparam("next"))
    .scalar_subquery()
)
# One statement, so that what it says of the end is true of the rows too.
_PAGE = (
    select(*_STATE, *_EVENT)
    .select_from(
        run_logs.outerjoin(
            run_events, and_(run_events.c.run_id == run_logs.c.run_id, run_events.c.seq >= _first)
        )
    )
    .where(run_logs.c.run_id == bindparam("log"))
    .order_by(run_events.c.seq)
    .limit(ROWS)
)
_LOCKED = (
    select(run_logs.c.run_id, *_STATE)
    .where(run_logs.c.run_id.in_(bindparam("logs", expanding=True)))
    # In one order, so that two processes do not wait for each other.
    .order_by(run_logs.c.run_id)
    .with_for_update()
)
_ADVANCE = (
    update(run_logs)
    .where(run_logs.c.run_id == bindparam("log"))
    .values(last_seq=bindparam("last"), ended_at=bindparam("ended"))
)


def _fits(addition: Addition, state: LogState | None) -> bool:
    return state is not None and state.fence == addition.fence and state.last_seq >= addition.base


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

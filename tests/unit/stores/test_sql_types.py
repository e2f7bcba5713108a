"""Moments in a column: aware and in UTC in Python, without offset in the database, never naive."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, insert, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import StatementError

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.types import BigId, UtcDateTime

pytestmark = pytest.mark.row("D1")

TABLE = Table("moments", MetaData(), Column("id", BigId, primary_key=True), Column("at", UtcDateTime()))


@pytest.fixture
async def database() -> AsyncGenerator[Database]:
    database = Database("sqlite://")
    async with database.write() as connection:
        await connection.run_sync(TABLE.create)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 22, 12, 30, 15, 123456, tzinfo=UTC),
        datetime(2026, 11, 22, 12, 30, 15, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-11))),
        None,
    ],
)
async def test_a_moment_comes_back_as_the_same_moment_in_utc(database: Database, moment: datetime | None):
    async with database.write() as connection:
        await connection.execute(insert(TABLE).values(id=1, at=moment))
    async with database.read() as connection:
        found = (await connection.execute(select(TABLE.c.at))).scalar_one()
        raw = (await connection.execute(text("SELECT at FROM moments"))).scalar_one()
    assert found == moment
    if moment is not None:
        assert found.tzinfo is UTC
        assert "+" not in raw


async def test_a_naive_date_is_refused(database: Database):
    with pytest.raises(StatementError, match="must have a time zone"):
        async with database.write() as connection:
            await connection.execute(insert(TABLE).values(id=1, at=datetime(2026, 11, 22)))


async def test_moments_compare_across_offsets(database: Database):
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    async with database.write() as connection:
        await connection.execute(insert(TABLE).values(id=1, at=noon))
    later_by_the_clock = noon.astimezone(timezone(timedelta(hours=9))) - timedelta(minutes=1)
    async with database.read() as connection:
        statement = select(TABLE.c.id).where(TABLE.c.at > later_by_the_clock)
        assert (await connection.execute(statement)).scalars().all() == [1]


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))
def test_what_is_bound_is_the_moment_in_utc(moment: datetime):
    bound = UtcDateTime().process_bind_param(moment, sqlite.dialect())
    assert bound is not None
    assert bound.tzinfo is None
    # In UTC first: Python finds no moment of an hour that comes twice equal to one of another zone.
    assert bound.replace(tzinfo=UTC) == moment.astimezone(UTC)
    assert UtcDateTime().process_result_value(bound, sqlite.dialect()) == moment.astimezone(UTC)


async def test_big_ids_count_by_themselves_and_hold_64_bits(database: Database):
    async with database.write() as connection:
        for number in (None, 2**62, None):
            values = {} if number is None else {"id": number}
            await connection.execute(insert(TABLE).values(at=None, **values))
    async with database.read() as connection:
        ids = (await connection.execute(select(TABLE.c.id).order_by(TABLE.c.id))).scalars().all()
    assert ids == [1, 2**62, 2**62 + 1]
    assert BigId.compile(postgresql.dialect()) == BigId.compile(mysql.dialect()) == "BIGINT"

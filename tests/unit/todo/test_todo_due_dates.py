"""Due dates are wall time: what is written is what is kept."""

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.todo.due_dates import DueDate

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")

days = st.dates(min_value=date(1900, 1, 1))
seconds = st.datetimes(min_value=datetime(1900, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(days)
def test_a_whole_day_is_read_back_as_written(day: date) -> None:
    due = DueDate.parse(day.isoformat())
    assert not due.has_time
    assert due.isoformat() == day.isoformat()
    assert due.first_moment().date() == due.last_moment().date() == day
    assert due.last_moment() - due.first_moment() == timedelta(hours=23, minutes=59, seconds=59)


@given(seconds, offsets)
def test_a_moment_keeps_its_wall_clock_whatever_its_offset(moment: datetime, offset: timezone) -> None:
    due = DueDate.parse(moment.replace(tzinfo=offset).isoformat())
    assert due.has_time
    assert due.isoformat() == moment.isoformat()
    assert due.first_moment() == due.last_moment() == moment


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2026-11-23T17:00", "2026-11-23T17:00:00"),
        ("2026-11-23 17:00:00", "2026-11-23T17:00:00"),
        ("2026-11-23T17:00:00Z", "2026-11-23T17:00:00"),
        ("2026-11-23T17:00:59.999999", "2026-11-23T17:00:59"),
        ("2026-11-23T00:00:00", "2026-11-23T00:00:00"),
        ("1900-01-01", "1900-01-01"),
        ("9999-12-31", "9999-12-31"),
        ("2028-02-29", "2028-02-29"),
    ],
)
def test_forms_that_are_read(text: str, kept: str) -> None:
    assert DueDate.parse(text).isoformat() == kept


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "17:00", "2026-11-23T", " 2026-11-23", "2026-11-23\n", "２０２６-11-23"),
        *("2026-13-01", "2026-02-29", "2026-11-23T25:00", "2026-11-23x17:00"),
        *("20261123", "2026-W48-1", "1899-12-31", "0001-01-01"),
    ],
)
def test_forms_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        DueDate.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        kept = DueDate.parse(text).isoformat()
    except ValueError:
        return
    assert DueDate.parse(kept).isoformat() == kept

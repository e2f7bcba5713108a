"""A moment stays the same moment on its way to the SDK and back, whatever the server's time zone."""

import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.stores.times import to_sdk, to_utc, utc_now

pytestmark = pytest.mark.row("D1", "C1")

type Zone = Callable[[str], None]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]


@pytest.fixture
def local_zone() -> Generator[Zone]:
    with pytest.MonkeyPatch.context() as patch:

        def switch(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        yield switch
    time.tzset()


@pytest.mark.row("P12")
@pytest.mark.parametrize("zone", ZONES)
def test_there_and_back(local_zone: Zone, zone: str):
    local_zone(zone)
    moment = datetime(2026, 1, 1, 0, 15, 30, 123456, tzinfo=UTC)
    for _ in range(200):
        moment += timedelta(days=1, hours=7, minutes=13)
        sdk = to_sdk(moment)
        assert sdk.tzinfo is None
        assert to_utc(sdk) == moment
        assert to_utc(sdk).tzinfo is UTC


@pytest.mark.row("P12")
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, 6, 0, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, 0, tzinfo=UTC)),
    ],
)
def test_the_nights_when_clocks_change(local_zone: Zone, zone: str, change: datetime):
    """In the hour that comes twice the local time alone does not say which it is."""
    local_zone(zone)
    for minutes in range(-180, 181, 15):
        moment = change + timedelta(minutes=minutes)
        assert to_utc(to_sdk(moment)) == moment


@pytest.mark.row("P12")
def test_what_the_sdk_makes_is_read_as_local_time(local_zone: Zone):
    local_zone("Asia/Kolkata")
    assert to_utc(datetime(2026, 7, 1, 12, 0)) == datetime(2026, 7, 1, 6, 30, tzinfo=UTC)
    assert to_sdk(datetime(2026, 7, 1, 6, 30, tzinfo=UTC)) == datetime(2026, 7, 1, 12, 0)
    assert abs(to_utc(datetime.now()) - utc_now()) < timedelta(seconds=5)


@pytest.mark.row("P12")
def test_the_sdk_can_subtract_what_it_is_given(local_zone: Zone):
    local_zone("America/New_York")
    assert abs(datetime.now() - to_sdk(utc_now())) < timedelta(seconds=5)


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
)
def test_any_offset_is_the_same_moment(naive: datetime, minutes: int):
    aware = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert to_utc(aware) == aware
    assert to_utc(aware).utcoffset() == timedelta(0)


def test_now_is_in_utc():
    assert utc_now().tzinfo is UTC

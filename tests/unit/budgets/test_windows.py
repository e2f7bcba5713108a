"""Calendar windows in the time zone of the server, also where clocks are changed."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from backchannel.budgets.windows import Window, window_end, window_start

pytestmark = pytest.mark.row("F5")

BERLIN, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "zone", "start", "end"),
    [
        ("hour", "2026-11-29T09:59:59", KATHMANDU, "2026-11-29T09:00", "2026-11-29T10:00"),
        ("day", "2026-11-29T22:59:59", BERLIN, "2026-11-28T23:00", "2026-11-29T23:00"),
        ("day", "2026-11-29T23:00:00", BERLIN, "2026-11-29T23:00", "2026-11-30T23:00"),
        ("day", "2026-11-29T09:00:00", KATHMANDU, "2026-11-28T18:15", "2026-11-29T18:15"),
        # 23 and 25 hours.
        ("day", "2026-03-29T12:00:00", BERLIN, "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "2026-10-25T12:00:00", BERLIN, "2026-10-24T22:00", "2026-10-25T23:00"),
        # From Monday, also on a Sunday.
        ("week", "2026-11-29T12:00:00", ZoneInfo("UTC"), "2026-11-23T00:00", "2026-11-30T00:00"),
        ("month", "2026-02-28T23:30:00", BERLIN, "2026-02-28T23:00", "2026-03-31T22:00"),
        ("month", "2026-12-31T12:00:00", ZoneInfo("UTC"), "2026-12-01T00:00", "2027-01-01T00:00"),
        # Clocks go from 23:59:59 to 01:00 there: the day begins at what would be midnight.
        ("day", "2026-04-24T12:00:00", ZoneInfo("Africa/Cairo"), "2026-04-23T22:00", "2026-04-24T21:00"),
    ],
)
def test_a_window_contains_the_moment(window: Window, now: str, zone: ZoneInfo, start: str, end: str):
    assert (window_start(window, at(now), zone), window_end(window, at(now), zone)) == (at(start), at(end))
    # The end belongs to the next one.
    assert window_start(window, at(end), zone) == at(end)

"""Counts of a sliding window, as pure functions of whole milliseconds. `redis_script` computes the same."""

from typing import NamedTuple

from backchannel.limits.base import Count, Quota


class Window(NamedTuple):
    """The requests of a quota.

    Attributes:
        start: When the present window began.
        former: Requests in the one before.
        current: Requests in this one.
    """

    start: int
    former: int
    current: int


def at(window: Window | None, quota: Quota, now: int) -> Window:
    """The window as it is at a later time."""
    length = quota.seconds * 1000
    if window is None or now - window.start >= 2 * length:
        return Window(now, 0, 0)
    if now - window.start >= length:
        return Window(window.start + length, window.current, 0)
    return window


def used(window: Window, quota: Quota, now: int) -> int:
    """How many requests count at `now`, which is in the window."""
    length = quota.seconds * 1000
    return window.former * (length - (now - window.start)) // length + window.current


def count(window: Window, quota: Quota, now: int) -> Count:
    """The state of the quota at `now`, which is in the window."""
    remaining = quota.amount - used(window, quota, now)
    reset = (window.start + quota.seconds * 1000 - now) / 1000
    if remaining > 0:
        return Count(remaining, reset, 0)
    return Count(0, reset, _wait(window, quota, now) / 1000)


def _wait(window: Window, quota: Quota, now: int) -> int:
    length = quota.seconds * 1000
    # What may be left of the former window's requests, for one more to have room.
    room = quota.amount - 1 - window.current
    if room >= 0:
        return window.start + _fits_after(window.former, room, length) - now
    return window.start + length + _fits_after(window.current, quota.amount - 1, length) - now


def _fits_after(former: int, room: int, length: int) -> int:
    """Milliseconds into a window after which no more than `room` of the `former` requests count."""
    return length - ((room + 1) * length - 1) // former

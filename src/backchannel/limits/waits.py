"""How long somebody must wait, for people."""

from math import ceil


def spoken(seconds: int) -> str:
    """A time in seconds up to two minutes, in minutes up to two hours, and then in hours, rounded up."""
    if seconds <= 120:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    if seconds <= 7200:
        return f"{ceil(seconds / 60)} minutes"
    return f"{ceil(seconds / 3600)} hours"

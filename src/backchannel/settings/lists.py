"""Values that are lists, in one environment variable."""

from typing import Any


def split_commas(value: Any) -> Any:
    """The parts of a comma-separated text, without blank ones; any other value as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value

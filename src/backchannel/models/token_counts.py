"""Token counts as endpoints report them."""


def count(value: object) -> int:
    """The number in a field of a usage; 0 for what is none, and for less than 0."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e18 else 0

"""Prefixes of paths."""

import re

_PREFIX = re.compile(r"((/[A-Za-z0-9._~-]+)+)?")


def is_prefix(text: str) -> bool:
    """Whether a text is a prefix such as `/chat`, or empty. It gets into the attributes of cookies as it is."""
    return _PREFIX.fullmatch(text) is not None

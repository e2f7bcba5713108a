"""What commands ask, and the tables that they print."""

import sys
from collections.abc import Sequence

from backchannel.errors import ConfigurationError


def confirm(question: str, *, yes: bool) -> None:
    """Go on if `yes`, or if whoever sits at the terminal says so. Otherwise the command ends with exit code 1.

    Raises:
        ConfigurationError: There is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "Nothing was changed: there is no terminal to ask at. To go on without being asked, add --yes."
        )
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        print()
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        print("Nothing was changed.")
        sys.exit(1)


def print_table(*rows: Sequence[object]) -> None:
    """Print rows in columns as wide as they need to be; numbers stand at the right."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            str(cell).rjust(width) if isinstance(cell, int) else str(cell).ljust(width)
            for cell, width in zip(row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())

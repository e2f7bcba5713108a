"""Confirmation prompts and tables in the terminal."""

import sys
from collections.abc import Sequence

from backchannel.errors import ConfigurationError


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation, unless `yes`. Without it, exit with code 1.

    Raises:
        ConfigurationError: Standard input is not a terminal.
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
    """Print rows in aligned columns, integers aligned right."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            str(cell).rjust(width) if isinstance(cell, int) else str(cell).ljust(width)
            for cell, width in zip(row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())

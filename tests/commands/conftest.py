"""What processes of their own start with, as in the unit tests of the commands."""

from unit.cli.conftest import child_environment

__all__ = ["child_environment"]

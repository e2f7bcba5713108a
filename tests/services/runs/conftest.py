"""Runs over a database file, as in the unit tests."""

from unit.conftest import database, database_url
from unit.runs.conftest import *  # noqa: F403

__all__ = ["database", "database_url"]

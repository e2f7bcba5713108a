"""A real server in the test's own event loop, and databases with tables, as in the wire tests."""

from wire.conftest import database_url, eventually_fixture, serve

__all__ = ["database_url", "eventually_fixture", "serve"]

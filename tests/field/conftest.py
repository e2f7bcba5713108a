"""A real server in the test's own event loop, as in the wire tests."""

from wire.conftest import eventually_fixture, serve

__all__ = ["eventually_fixture", "serve"]

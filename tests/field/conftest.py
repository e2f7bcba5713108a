"""A real server in the test's own event loop, databases with tables, and the page in Chromium."""

from browser.conftest import browser, chat, chromium, open_page, paused, server, server_url, warm_context
from field.erasing import erasing
from field.mcp_chat import impatient, mcp_chat
from field.odd_models import quick_retries, stack
from unit.cli.conftest import child_environment
from wire.conftest import database_url, eventually_fixture, serve

__all__ = [
    "browser",
    "chat",
    "child_environment",
    "chromium",
    "database_url",
    "erasing",
    "eventually_fixture",
    "impatient",
    "mcp_chat",
    "open_page",
    "paused",
    "quick_retries",
    "serve",
    "server",
    "server_url",
    "stack",
    "warm_context",
]

"""A real server in the test's own event loop, databases with tables, and the page in Chromium."""

from browser.conftest import browser, chat, chromium, open_page, paused, server, server_url, warm_context
from field.erasing import erasing
from field.mcp_chat import mcp_chat
from field.odd_models import stack
from wire.conftest import database_url, eventually_fixture, serve

__all__ = [
    "browser",
    "chat",
    "chromium",
    "database_url",
    "erasing",
    "eventually_fixture",
    "mcp_chat",
    "open_page",
    "paused",
    "serve",
    "server",
    "server_url",
    "stack",
    "warm_context",
]

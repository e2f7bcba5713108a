"""Iterates over a thread's items by the SDK's `Store` contract."""

from collections.abc import AsyncIterator
from typing import Any

from chatkit.store import Store
from chatkit.types import Page, ThreadItem

from backchannel.chat.protocol.wire import is_hidden

_FIRST_PAGE, _LARGEST_PAGE = 10, 160
"""Items per page. The first page is small, as most callers need only a short history."""


async def newest_items(store: Store[Any], thread_id: str, context: object) -> AsyncIterator[ThreadItem]:
    """All items of a thread, newest first, loaded lazily in pages."""
    after: str | None = None
    size = _FIRST_PAGE
    while True:
        page = await store.load_thread_items(thread_id, after, size, "desc", context)
        for item in page.data:
            yield item
        if not page.has_more or not page.data:
            return
        after = page.data[-1].id
        size = min(size * 2, _LARGEST_PAGE)


async def visible_items(
    store: Store[Any], thread_id: str, after: str | None, limit: int, order: str, context: object
) -> Page[ThreadItem]:
    """A page of up to `limit` visible items. Only the last page is shorter.

    The SDK removes hidden items from a page after cutting it, so its pages can be short or empty before the end.
    """
    visible: list[ThreadItem] = []
    while True:
        page = await store.load_thread_items(thread_id, after, limit + 1, order, context)
        for item in page.data:
            if is_hidden(item):
                continue
            if len(visible) == limit:
                return Page(data=visible, has_more=True, after=visible[-1].id)
            visible.append(item)
        if not page.has_more or not page.data:
            return Page(data=visible)
        after = page.data[-1].id

"""Walking through a thread by the SDK's `Store` contract, whatever store that is."""

from collections.abc import AsyncIterator
from typing import Any

from chatkit.store import Store
from chatkit.types import Page, ThreadItem

from backchannel.chat.protocol.wire import is_hidden

_FIRST_CHUNK, _LARGEST_CHUNK = 10, 160
"""How many items are loaded at a time: few at first, because a short history is what is asked for most."""


async def newest_items(store: Store[Any], thread_id: str, context: object) -> AsyncIterator[ThreadItem]:
    """All items of a thread, newest first, loaded as they are asked for."""
    after: str | None = None
    chunk = _FIRST_CHUNK
    while True:
        page = await store.load_thread_items(thread_id, after, chunk, "desc", context)
        for item in page.data:
            yield item
        if not page.has_more or not page.data:
            return
        after = page.data[-1].id
        chunk = min(chunk * 2, _LARGEST_CHUNK)


async def visible_items(
    store: Store[Any], thread_id: str, after: str | None, limit: int, order: str, context: object
) -> Page[ThreadItem]:
    """A page of exactly `limit` items that clients may see, if the thread has so many.

    The SDK filters hidden items out of a page it has cut already, so its pages come back short or empty
    while there is more.
    """
    shown: list[ThreadItem] = []
    while True:
        page = await store.load_thread_items(thread_id, after, limit + 1, order, context)
        for item in page.data:
            if is_hidden(item):
                continue
            if len(shown) == limit:
                return Page(data=shown, has_more=True, after=shown[-1].id)
            shown.append(item)
        if not page.has_more or not page.data:
            return Page(data=shown)
        after = page.data[-1].id

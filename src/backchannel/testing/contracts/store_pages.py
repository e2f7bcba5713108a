"""Pages: no gaps and no repetitions, for concurrent additions and for any limit or cursor."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import ThreadMetadata

from backchannel.testing.contracts.store_base import (
    ADA,
    BOB,
    StoreSuite,
    a_thread,
    add_messages,
    all_texts,
    all_threads,
    assistant_message,
    texts,
)

_START = datetime(2026, 1, 1)  # noqa: DTZ001 - as the SDK makes dates
_LIMITS = (0, -1, -9999, 9999, 2**64)


async def _threads(store: Store[Any], count: int) -> list[ThreadMetadata]:
    """Threads of Ada's, oldest first, a second apart."""
    threads = [a_thread(store, created_at=_START + timedelta(seconds=n)) for n in range(count)]
    for thread in threads:
        await store.save_thread(thread, ADA)
    return threads


class PagesSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_pages_of_threads_have_no_gap_and_no_repetition(self, store: Store[Any]) -> None:
        # Several threads have the same date, and they are not saved in the order of their dates.
        dates = [_START + timedelta(seconds=n * 7 % 10 // 3) for n in range(10)]
        saved = [a_thread(store, created_at=date) for date in dates]
        for thread in saved:
            await store.save_thread(thread, ADA)
        for order in ("asc", "desc"):
            seen = await all_threads(store, order, limit=3)
            assert sorted(thread.id for thread in seen) == sorted(thread.id for thread in saved)
            assert [thread.created_at for thread in seen] == sorted(dates, reverse=order == "desc")

    async def test_a_full_last_page_has_no_more(self, store: Store[Any], thread: ThreadMetadata) -> None:
        await add_messages(store, thread, "0", "1", "2")
        for order in ("asc", "desc"):
            items = await store.load_thread_items(thread.id, None, 3, order, ADA)
            assert (len(items.data), items.has_more, items.after) == (3, False, None)
            threads = await store.load_threads(1, None, order, ADA)
            assert (len(threads.data), threads.has_more, threads.after) == (1, False, None)

    async def test_no_data_gives_an_empty_page(self, store: Store[Any]) -> None:
        page = await store.load_threads(10, None, "desc", ADA)
        assert (page.data, page.has_more, page.after) == ([], False, None)
        thread = a_thread(store)
        await store.save_thread(thread, ADA)
        items = await store.load_thread_items(thread.id, None, 10, "asc", ADA)
        assert (items.data, items.has_more, items.after) == ([], False, None)
        (item,) = await add_messages(store, thread, "last")
        items = await store.load_thread_items(thread.id, item.id, 10, "asc", ADA)
        assert (items.data, items.has_more, items.after) == ([], False, None)

    async def test_any_limit_gives_a_page_of_threads(self, store: Store[Any]) -> None:
        ids = [thread.id for thread in await _threads(store, 3)]
        for limit in _LIMITS:
            page = await store.load_threads(limit, None, "asc", ADA)
            size = len(page.data)
            assert 1 <= size <= 3
            assert [thread.id for thread in page.data] == ids[:size]
            assert [thread.id for thread in await all_threads(store, "asc", limit=limit)] == ids

    async def test_any_limit_gives_a_page_of_items(self, store: Store[Any], thread: ThreadMetadata) -> None:
        await add_messages(store, thread, "0", "1", "2")
        for limit in _LIMITS:
            page = await store.load_thread_items(thread.id, None, limit, "desc", ADA)
            size = len(page.data)
            assert 1 <= size <= 3
            assert texts(page) == ["2", "1", "0"][:size]
            assert await all_texts(store, thread, "desc", limit=limit) == ["2", "1", "0"]

    async def test_concurrent_additions_repeat_no_item(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        items = await add_messages(store, thread, *"012345")
        first = await store.load_thread_items(thread.id, None, 2, "desc", ADA)
        await add_messages(store, thread, "6", "7")
        await store.save_item(thread.id, items[3], ADA)
        await store.delete_thread_item(thread.id, items[5].id, ADA)
        rest = await store.load_thread_items(thread.id, first.after, 10, "desc", ADA)
        assert (texts(first), texts(rest)) == (["5", "4"], ["3", "2", "1", "0"])

    async def test_concurrent_additions_repeat_no_thread(self, store: Store[Any]) -> None:
        threads = await _threads(store, 6)
        first = await store.load_threads(2, None, "desc", ADA)
        for _ in range(2):
            await store.save_thread(a_thread(store), ADA)
        await store.save_thread(threads[0], ADA)
        await store.delete_thread(threads[5].id, ADA)
        rest = await store.load_threads(10, first.after, "desc", ADA)
        seen = [thread.id for thread in (*first.data, *rest.data)]
        assert seen == [thread.id for thread in reversed(threads)]

    async def test_an_unknown_thread_is_not_a_cursor(self, store: Store[Any]) -> None:
        (mine,) = await _threads(store, 1)
        bobs = a_thread(store)
        await store.save_thread(bobs, BOB)
        for order in ("asc", "desc"):
            with pytest.raises(NotFoundError):
                await store.load_threads(10, "thr_unknown", order, ADA)
            with pytest.raises(NotFoundError):
                await store.load_threads(10, bobs.id, order, ADA)
            with pytest.raises(NotFoundError):
                await store.load_threads(10, mine.id, order, BOB)

    async def test_an_item_of_another_thread_is_not_a_cursor(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        (mine,) = await add_messages(store, thread, "mine")
        other, bobs = a_thread(store), a_thread(store)
        await store.save_thread(other, ADA)
        (in_other,) = await add_messages(store, other, "elsewhere")
        await store.save_thread(bobs, BOB)
        at_bobs = assistant_message(store, bobs, "bob's")
        await store.add_thread_item(bobs.id, at_bobs, BOB)
        for order in ("asc", "desc"):
            for after in ("msg_unknown", in_other.id, at_bobs.id):
                with pytest.raises(NotFoundError):
                    await store.load_thread_items(thread.id, after, 10, order, ADA)
            with pytest.raises(NotFoundError):
                await store.load_thread_items(thread.id, mine.id, 10, order, BOB)

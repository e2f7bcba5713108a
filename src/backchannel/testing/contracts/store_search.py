"""What `backchannel.stores.base` asks of stores that can search or write atomically. Others are not asked."""

import asyncio
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import HiddenContextItem, ThreadMetadata

from backchannel.stores.base import DeletesTail, PatchesThreads, SearchesThreads, WritesAtomically
from backchannel.testing.contracts.store_base import (
    ADA,
    STRANGERS,
    StoreSuite,
    a_thread,
    add_said,
    all_texts,
    said,
)


def _searches(store: Store[Any]) -> SearchesThreads:
    if not isinstance(store, SearchesThreads):
        pytest.skip("the store cannot search (stores.base.SearchesThreads)")
    return store


def _atomic(store: Store[Any]) -> WritesAtomically:
    if not isinstance(store, WritesAtomically):
        pytest.skip("the store cannot write atomically (stores.base.WritesAtomically)")
    return store


async def found(store: Store[Any], query: str, context: object = ADA) -> list[str]:
    """The ids of the threads that a search gives."""
    result = await _searches(store).search_threads(query, 10, context)
    return [hit.thread.id for hit in result.hits]


class SearchSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_search_ignores_case_and_accents(self, store: Store[Any]) -> None:
        _searches(store)
        threads = [a_thread(store, title=title) for title in ("Groceries", None, "Chores")]
        texts = ("Crème brûlée, MILK & 买牛奶", "Die Straße ist lang", "nothing of the sort")
        for thread, text in zip(threads, texts, strict=True):
            await store.save_thread(thread, ADA)
            await add_said(store, thread, text)
        first, second, third = (thread.id for thread in threads)
        for query, expected in (
            ("milk", [first]),
            ("creme BRULEE", [first]),
            ("mil", [first]),
            ("ilk", []),
            ("牛奶", [first]),
            ("strasse", [second]),
            ("groceries", [first]),
            ("of", [third]),
            ("milk nothing", []),
            ("sort nothing", [third]),
            ("discarded", []),
        ):
            assert await found(store, query) == expected, query

    async def test_a_query_has_no_syntax(self, store: Store[Any], thread: ThreadMetadata) -> None:
        await add_said(store, thread, "milk and honey", "the OR the AND the NOT")
        for query in (
            '"milk',
            "milk*",
            "(milk",
            "+milk",
            "-milk",
            "milk:",
            "^milk",
            "milk'; --",
            "~milk",
            "milk\\",
        ):
            assert await found(store, query) == [thread.id], query
        for query in ("milk OR honey", "milk NOT honey", "NEAR(milk honey)"):
            # The words in capitals are looked for like any other, and no one text has all of them.
            assert await found(store, query) == [], query
        for query in ("", " ", "*", '"', "''", "%", "\x00", "\ud800", "\u202e", "&|!", "()"):
            assert await found(store, query) == [], query
        assert await found(store, "milk " * 2_000) == [thread.id]
        assert await found(store, "m" * 10_000) == []

    async def test_a_search_returns_whole_texts_and_has_more(self, store: Store[Any]) -> None:
        searching = _searches(store)
        items: dict[str, str] = {}
        for number in range(3):
            thread = a_thread(store, title=f"Number {number}")
            await store.save_thread(thread, ADA)
            item, _ = await add_said(store, thread, f"milk {number} \U0001f95b\nsecond line", "bread")
            items[thread.id] = item.id
        result = await searching.search_threads("milk", 2, ADA)
        assert (len(result.hits), result.has_more) == (2, True)
        result = await searching.search_threads("Milk", 3, ADA)
        assert (len(result.hits), result.has_more, list(result.words)) == (3, False, ["milk"])
        for hit in result.hits:
            number = (hit.thread.title or "").removeprefix("Number ")
            assert list(hit.texts) == [(items[hit.thread.id], f"milk {number} \U0001f95b\nsecond line")]
        (by_title,) = (await searching.search_threads("number 1", 3, ADA)).hits
        assert list(by_title.texts) == []

    async def test_search_reflects_changes_and_deletions(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        _searches(store)
        other = a_thread(store)
        await store.save_thread(other, ADA)
        first, second, third = await add_said(store, thread, "apple", "banana", "cherry")
        await add_said(store, other, "apple")
        changed = said(store, thread, "apricot", id=first.id)
        await store.save_item(thread.id, changed, ADA)
        assert (await found(store, "apple"), await found(store, "apricot")) == ([other.id], [thread.id])
        thread.title = "Renamed"
        await store.save_thread(thread, ADA)
        assert (await found(store, "title"), await found(store, "renamed")) == ([], [thread.id])
        if isinstance(store, PatchesThreads):
            await store.update_thread(thread.id, {"title": "Again"}, ADA)
            assert (await found(store, "renamed"), await found(store, "again")) == ([], [thread.id])
        if isinstance(store, DeletesTail):
            await store.delete_items_after(thread.id, second.id, ADA)
            assert await found(store, "cherry") == []
        await store.delete_thread_item(thread.id, third.id, ADA)
        await store.delete_thread_item(thread.id, second.id, ADA)
        assert await found(store, "banana") == []
        await store.delete_thread(thread.id, ADA)
        assert await found(store, "apricot") == []
        assert await found(store, "apple") == [other.id]

    async def test_search_excludes_hidden_items_and_other_owners(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        _searches(store)
        hidden = HiddenContextItem(
            id="h", thread_id=thread.id, created_at=thread.created_at, content={"secret": "tulip"}
        )
        await store.add_thread_item(thread.id, hidden, ADA)
        await add_said(store, thread, "orchid")
        assert await found(store, "tulip") == []
        assert await found(store, "orchid") == [thread.id]
        for stranger in STRANGERS:
            assert await found(store, "orchid", stranger) == []
            assert await found(store, "title", stranger) == []

    # Several writes in one

    async def test_atomic_writes_are_all_or_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        atomic = _atomic(store)
        new = a_thread(store)

        async def write() -> str:
            await store.save_thread(new, ADA)
            await add_said(store, new, "said")
            await add_said(store, thread, "said too")
            # Who writes sees it, and so does what goes on after it.
            assert await all_texts(store, new) == ["said"]
            return "done"

        async def fail() -> None:
            await write()
            raise LookupError

        with pytest.raises(LookupError):
            await atomic.atomically(fail)
        with pytest.raises(NotFoundError):
            await store.load_thread(new.id, ADA)
        assert await all_texts(store, thread) == []
        assert await atomic.atomically(write) == "done"
        assert (await all_texts(store, new), await all_texts(store, thread)) == (["said"], ["said too"])

    async def test_a_cancelled_atomic_write_stores_nothing(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        atomic = _atomic(store)
        reached = asyncio.Event()

        async def write() -> None:
            await add_said(store, thread, "half")
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(atomic.atomically(write))
        async with asyncio.timeout(10):
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await all_texts(store, thread) == []
        await add_said(store, thread, "whole")
        assert await all_texts(store, thread) == ["whole"]

"""The optional protocols of `backchannel.stores.base`: search and atomic writes."""

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
    add_messages,
    all_texts,
    assistant_message,
)


def _search_store(store: Store[Any]) -> SearchesThreads:
    if not isinstance(store, SearchesThreads):
        pytest.skip("the store cannot search (stores.base.SearchesThreads)")
    return store


def _atomic_store(store: Store[Any]) -> WritesAtomically:
    if not isinstance(store, WritesAtomically):
        pytest.skip("the store cannot write atomically (stores.base.WritesAtomically)")
    return store


async def search_ids(store: Store[Any], query: str, context: object = ADA) -> list[str]:
    """The ids of the threads that match a query."""
    result = await _search_store(store).search_threads(query, 10, context)
    return [hit.thread.id for hit in result.hits]


class SearchSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_search_ignores_case_and_accents(self, store: Store[Any]) -> None:
        _search_store(store)
        threads = [a_thread(store, title=title) for title in ("Groceries", None, "Chores")]
        texts = ("Crème brûlée, MILK & 买牛奶", "Die Straße ist lang", "nothing of the sort")
        for thread, text in zip(threads, texts, strict=True):
            await store.save_thread(thread, ADA)
            await add_messages(store, thread, text)
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
            assert await search_ids(store, query) == expected, query

    async def test_a_query_has_no_syntax(self, store: Store[Any], thread: ThreadMetadata) -> None:
        await add_messages(store, thread, "milk and honey", "the OR the AND the NOT")
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
            assert await search_ids(store, query) == [thread.id], query
        for query in ("milk OR honey", "milk NOT honey", "NEAR(milk honey)"):
            # Words in capitals are not operators, and no text contains all the words.
            assert await search_ids(store, query) == [], query
        for query in ("", " ", "*", '"', "''", "%", "\x00", "\ud800", "\u202e", "&|!", "()"):
            assert await search_ids(store, query) == [], query
        assert await search_ids(store, "milk " * 2_000) == [thread.id]
        assert await search_ids(store, "m" * 10_000) == []

    async def test_a_search_returns_whole_texts_and_has_more(self, store: Store[Any]) -> None:
        search_store = _search_store(store)
        items: dict[str, str] = {}
        for number in range(3):
            thread = a_thread(store, title=f"Number {number}")
            await store.save_thread(thread, ADA)
            item, _ = await add_messages(store, thread, f"milk {number} \U0001f95b\nsecond line", "bread")
            items[thread.id] = item.id
        result = await search_store.search_threads("milk", 2, ADA)
        assert (len(result.hits), result.has_more) == (2, True)
        result = await search_store.search_threads("Milk", 3, ADA)
        assert (len(result.hits), result.has_more, list(result.words)) == (3, False, ["milk"])
        for hit in result.hits:
            number = (hit.thread.title or "").removeprefix("Number ")
            assert list(hit.texts) == [(items[hit.thread.id], f"milk {number} \U0001f95b\nsecond line")]
        (by_title,) = (await search_store.search_threads("number 1", 3, ADA)).hits
        assert list(by_title.texts) == []

    async def test_search_reflects_changes_and_deletions(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        _search_store(store)
        other = a_thread(store)
        await store.save_thread(other, ADA)
        first, second, third = await add_messages(store, thread, "apple", "banana", "cherry")
        await add_messages(store, other, "apple")
        changed = assistant_message(store, thread, "apricot", id=first.id)
        await store.save_item(thread.id, changed, ADA)
        assert (await search_ids(store, "apple"), await search_ids(store, "apricot")) == (
            [other.id],
            [thread.id],
        )
        thread.title = "Renamed"
        await store.save_thread(thread, ADA)
        assert (await search_ids(store, "title"), await search_ids(store, "renamed")) == ([], [thread.id])
        if isinstance(store, PatchesThreads):
            await store.update_thread(thread.id, {"title": "Again"}, ADA)
            assert (await search_ids(store, "renamed"), await search_ids(store, "again")) == ([], [thread.id])
        if isinstance(store, DeletesTail):
            await store.delete_items_after(thread.id, second.id, ADA)
            assert await search_ids(store, "cherry") == []
        await store.delete_thread_item(thread.id, third.id, ADA)
        await store.delete_thread_item(thread.id, second.id, ADA)
        assert await search_ids(store, "banana") == []
        await store.delete_thread(thread.id, ADA)
        assert await search_ids(store, "apricot") == []
        assert await search_ids(store, "apple") == [other.id]

    async def test_search_excludes_hidden_items_and_other_owners(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        _search_store(store)
        hidden = HiddenContextItem(
            id="h", thread_id=thread.id, created_at=thread.created_at, content={"secret": "tulip"}
        )
        await store.add_thread_item(thread.id, hidden, ADA)
        await add_messages(store, thread, "orchid")
        assert await search_ids(store, "tulip") == []
        assert await search_ids(store, "orchid") == [thread.id]
        for stranger in STRANGERS:
            assert await search_ids(store, "orchid", stranger) == []
            assert await search_ids(store, "title", stranger) == []

    # Atomic writes

    async def test_atomic_writes_are_all_or_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        atomic_store = _atomic_store(store)
        new = a_thread(store)

        async def write() -> str:
            await store.save_thread(new, ADA)
            await add_messages(store, new, "said")
            await add_messages(store, thread, "said too")
            # The writes are visible within the transaction.
            assert await all_texts(store, new) == ["said"]
            return "done"

        async def fail() -> None:
            await write()
            raise LookupError

        with pytest.raises(LookupError):
            await atomic_store.atomically(fail)
        with pytest.raises(NotFoundError):
            await store.load_thread(new.id, ADA)
        assert await all_texts(store, thread) == []
        assert await atomic_store.atomically(write) == "done"
        assert (await all_texts(store, new), await all_texts(store, thread)) == (["said"], ["said too"])

    async def test_a_cancelled_atomic_write_stores_nothing(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        atomic_store = _atomic_store(store)
        reached = asyncio.Event()

        async def write() -> None:
            await add_messages(store, thread, "half")
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(atomic_store.atomically(write))
        async with asyncio.timeout(10):
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await all_texts(store, thread) == []
        await add_messages(store, thread, "whole")
        assert await all_texts(store, thread) == ["whole"]

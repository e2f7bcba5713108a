"""Threads: saving, updating, and deleting with their items."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import ClosedStatus, LockedStatus, Page, Thread, ThreadItem, ThreadMetadata

from backchannel.testing.contracts.store_base import (
    ADA,
    NASTY,
    StoreSuite,
    a_thread,
    add_messages,
    all_texts,
    all_threads,
    assistant_message,
)


class ThreadsSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_a_thread_comes_back_as_it_was_saved(self, store: Store[Any]) -> None:
        thread = a_thread(
            store,
            title=NASTY,
            status=LockedStatus(reason="why"),
            allowed_image_domains=["example.com"],
            metadata={"deep": {"none": None, "list": [1, 2.5, "x", None]}, "\U0001f600": True},
        )
        await store.save_thread(thread, ADA)
        assert await store.load_thread(thread.id, ADA) == thread

    async def test_a_minimal_thread_comes_back_as_it_was_saved(self, store: Store[Any]) -> None:
        thread = a_thread(store)
        await store.save_thread(thread, ADA)
        assert await store.load_thread(thread.id, ADA) == thread

    async def test_saving_again_changes_the_thread(self, store: Store[Any], thread: ThreadMetadata) -> None:
        thread.title = None
        thread.status = ClosedStatus()
        thread.allowed_image_domains = []
        thread.metadata = {"new": 1}
        await store.save_thread(thread, ADA)
        assert await store.load_thread(thread.id, ADA) == thread
        assert len((await store.load_threads(10, None, "desc", ADA)).data) == 1

    async def test_saving_again_keeps_the_items_and_the_position(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        await add_messages(store, thread, "kept")
        later = a_thread(store, created_at=thread.created_at + timedelta(seconds=1))
        await store.save_thread(later, ADA)
        await store.save_thread(thread, ADA)
        assert [each.id for each in await all_threads(store, "asc", limit=10)] == [thread.id, later.id]
        assert await all_texts(store, thread) == ["kept"]

    async def test_items_of_a_saved_thread_object_are_not_stored(self, store: Store[Any]) -> None:
        thread = a_thread(store)
        page: Page[ThreadItem] = Page(data=[assistant_message(store, thread, "in the page")])
        await store.save_thread(Thread(**thread.model_dump(), items=page), ADA)
        assert (await store.load_thread_items(thread.id, None, 10, "asc", ADA)).data == []
        assert await store.load_thread(thread.id, ADA) == thread
        assert await all_threads(store, "asc", limit=10) == [thread]

    async def test_a_stored_thread_is_independent_of_the_object(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        thread.metadata["k"].append("changed after it was saved")
        loaded = await store.load_thread(thread.id, ADA)
        assert loaded.metadata == {"k": [1, None, {"n": None}]}
        loaded.metadata["k"].append("changed after it was loaded")
        (listed,) = (await store.load_threads(10, None, "asc", ADA)).data
        assert listed.metadata == {"k": [1, None, {"n": None}]}
        listed.title = "changed after it was listed"
        assert (await store.load_thread(thread.id, ADA)).title == "A title"

    async def test_dates_are_naive_like_those_of_the_sdk(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        item = assistant_message(store, thread, "x")
        await store.add_thread_item(thread.id, item, ADA)
        loaded = await store.load_item(thread.id, item.id, ADA)
        listed = (await store.load_threads(10, None, "desc", ADA)).data
        in_page = (await store.load_thread_items(thread.id, None, 10, "desc", ADA)).data
        for stored in (loaded, await store.load_thread(thread.id, ADA), *listed, *in_page):
            elapsed = datetime.now() - stored.created_at  # noqa: DTZ005 - what the SDK does
            assert timedelta(0) <= elapsed < timedelta(minutes=5)

    async def test_a_date_with_an_offset_is_the_same_moment(self, store: Store[Any]) -> None:
        # Two offsets: the machine's own may be one of them.
        for zone in (UTC, timezone(timedelta(hours=5, minutes=30))):
            moment = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=zone)
            thread = a_thread(store, created_at=moment)
            await store.save_thread(thread, ADA)
            item = assistant_message(store, thread, "x", created_at=moment)
            await store.add_thread_item(thread.id, item, ADA)
            for stored in (
                await store.load_thread(thread.id, ADA),
                await store.load_item(thread.id, item.id, ADA),
            ):
                assert stored.created_at.tzinfo is None
                # A naive date is local time, in the SDK as in Python.
                assert stored.created_at.astimezone(UTC) == moment

    async def test_deleting_a_thread_deletes_what_is_in_it(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        (item,) = await add_messages(store, thread, "x")
        await store.delete_thread(thread.id, ADA)
        with pytest.raises(NotFoundError):
            await store.load_thread(thread.id, ADA)
        with pytest.raises(NotFoundError):
            await store.load_item(thread.id, item.id, ADA)
        assert (await store.load_thread_items(thread.id, None, 10, "asc", ADA)).data == []
        assert (await store.load_threads(10, None, "asc", ADA)).data == []

    async def test_a_deleted_thread_accepts_no_items(self, store: Store[Any], thread: ThreadMetadata) -> None:
        (item,) = await add_messages(store, thread, "x")
        await store.delete_thread(thread.id, ADA)
        for write in (store.add_thread_item, store.save_item):
            with pytest.raises(NotFoundError):
                await write(thread.id, item, ADA)
        # A thread that is saved again has no items of the deleted one.
        await store.save_thread(thread, ADA)
        assert await all_texts(store, thread) == []

    async def test_deleting_a_thread_again_changes_nothing(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        other = a_thread(store)
        await store.save_thread(other, ADA)
        await add_messages(store, other, "kept")
        for _ in range(2):
            await store.delete_thread(thread.id, ADA)
        await store.delete_thread("thr_unknown", ADA)
        assert [each.id for each in await all_threads(store, "asc", limit=10)] == [other.id]
        assert await all_texts(store, other) == ["kept"]

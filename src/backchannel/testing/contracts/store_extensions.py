"""The optional protocols of `backchannel.stores.base`: single-field updates, tail deletion, feedback."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import ActiveStatus, ClosedStatus, LockedStatus, ThreadMetadata

from backchannel.stores.base import DeletesTail, KeepsFeedback, PatchesThreads
from backchannel.stores.times import utc_now
from backchannel.testing.contracts.store_base import (
    ADA,
    NASTY,
    STRANGERS,
    UNSTORABLE_TEXTS,
    StoreSuite,
    a_thread,
    add_messages,
    all_texts,
    is_stored_or_cleaned,
)


def _patch_store(store: Store[Any]) -> PatchesThreads:
    if not isinstance(store, PatchesThreads):
        pytest.skip("the store cannot change single fields (stores.base.PatchesThreads)")
    return store


def _tail_store(store: Store[Any]) -> DeletesTail:
    if not isinstance(store, DeletesTail):
        pytest.skip("the store cannot delete a tail in one step (stores.base.DeletesTail)")
    return store


def _feedback_store(store: Store[Any]) -> KeepsFeedback:
    if not isinstance(store, KeepsFeedback):
        pytest.skip("the store keeps no feedback (stores.base.KeepsFeedback)")
    return store


class ExtensionsSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_changing_one_field_keeps_the_others(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        patch_store = _patch_store(store)
        await add_messages(store, thread, "kept")
        expected = thread.model_copy(deep=True)
        for name, value in (
            ("title", NASTY),
            ("status", LockedStatus(reason="why")),
            ("metadata", {"other": [None]}),
            ("allowed_image_domains", ["example.com"]),
            ("allowed_image_domains", None),
            ("title", None),
        ):
            setattr(expected, name, value)
            assert await patch_store.update_thread(thread.id, {name: value}, ADA) == expected
            assert await store.load_thread(thread.id, ADA) == expected
        assert await patch_store.update_thread(thread.id, {}, ADA) == expected
        assert await all_texts(store, thread) == ["kept"]

    async def test_a_generated_title_does_not_overwrite_a_rename(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        patch_store = _patch_store(store)
        for present, known, expected in (
            ("by a person", "A title", "by a person"),
            ("by a person", None, "by a person"),
            ("by a person", "by a person", "generated"),
            (None, "A title", None),
            (None, None, "generated"),
        ):
            await patch_store.update_thread(thread.id, {"title": present}, ADA)
            changes = {"title": "generated", "metadata": {"instead of": present, "known": known}}
            after = await patch_store.update_thread(thread.id, changes, ADA, unless_renamed_from=known)
            assert after == thread.model_copy(update=changes | {"title": expected})
            assert await store.load_thread(thread.id, ADA) == after

    async def test_a_status_can_be_changed_and_changed_back(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        patch_store = _patch_store(store)
        for status in (LockedStatus(), ClosedStatus(reason=NASTY), LockedStatus(reason="x"), ActiveStatus()):
            await patch_store.update_thread(thread.id, {"status": status}, ADA)
            loaded = await store.load_thread(thread.id, ADA)
            assert loaded == thread.model_copy(update={"status": status})

    async def test_fields_changed_concurrently_are_all_changed(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        patch_store = _patch_store(store)
        changes = {"title": "renamed", "status": LockedStatus(), "metadata": {"new": 1}}
        await asyncio.gather(
            *(patch_store.update_thread(thread.id, {name: value}, ADA) for name, value in changes.items())
        )
        assert await store.load_thread(thread.id, ADA) == thread.model_copy(update=changes)

    async def test_changing_a_thread_of_another_owner_is_not_found(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        patch_store = _patch_store(store)
        for context in STRANGERS:
            with pytest.raises(NotFoundError):
                await patch_store.update_thread(thread.id, {"title": "stolen"}, context)
        with pytest.raises(NotFoundError):
            await patch_store.update_thread("thr_unknown", {"title": "lost"}, ADA)
        assert await store.load_thread(thread.id, ADA) == thread

    async def test_any_title_can_be_set_later(self, store: Store[Any], thread: ThreadMetadata) -> None:
        patch_store = _patch_store(store)
        for title in UNSTORABLE_TEXTS:
            await patch_store.update_thread(thread.id, {"title": title}, ADA)
            assert is_stored_or_cleaned((await store.load_thread(thread.id, ADA)).title, title)

    async def test_deleting_a_tail_leaves_what_came_before(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        tail_store = _tail_store(store)
        other = a_thread(store)
        await store.save_thread(other, ADA)
        items = await add_messages(store, thread, *"01234")
        await add_messages(store, other, "elsewhere")
        deleted = await tail_store.delete_items_after(thread.id, items[1].id, ADA)
        assert list(deleted) == [items[4].id, items[3].id, items[2].id]
        assert await all_texts(store, thread) == ["0", "1"]
        assert list(await tail_store.delete_items_after(thread.id, items[1].id, ADA)) == []
        await add_messages(store, thread, "new")
        assert await all_texts(store, thread) == ["0", "1", "new"]
        assert await all_texts(store, other) == ["elsewhere"]

    async def test_deleting_a_tail_of_another_owner_is_not_found(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        tail_store = _tail_store(store)
        other = a_thread(store)
        await store.save_thread(other, ADA)
        first, _ = await add_messages(store, thread, "0", "1")
        for context in STRANGERS:
            with pytest.raises(NotFoundError):
                await tail_store.delete_items_after(thread.id, first.id, context)
        for thread_id, item_id in (
            (thread.id, "msg_unknown"),
            (other.id, first.id),
            ("thr_unknown", first.id),
        ):
            with pytest.raises(NotFoundError):
                await tail_store.delete_items_after(thread_id, item_id, ADA)
        assert await all_texts(store, thread) == ["0", "1"]

    async def test_feedback_can_be_given_and_changed(self, store: Store[Any], thread: ThreadMetadata) -> None:
        feedback_store = _feedback_store(store)
        first, second = await add_messages(store, thread, "0", "1")
        begin = utc_now()
        await feedback_store.save_feedback(thread.id, [first.id, second.id], "positive", ADA)
        await feedback_store.save_feedback(thread.id, [first.id], "negative", ADA)
        await feedback_store.save_feedback(thread.id, [], "negative", ADA)
        stored = await feedback_store.load_feedback(thread.id, ADA)
        assert {(each.item_id, each.kind) for each in stored} == {
            (first.id, "negative"),
            (second.id, "positive"),
        }
        for each in stored:
            assert begin <= each.created_at <= each.updated_at <= utc_now()
        assert (await store.load_item(thread.id, first.id, ADA)) == first

    async def test_feedback_is_listed_oldest_first_and_deleted_with_its_thread(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        feedback_store = _feedback_store(store)
        items = await add_messages(store, thread, *"0123")
        order = [items[n].id for n in (2, 0, 3, 1)]
        for item_id in order:
            await feedback_store.save_feedback(thread.id, [item_id], "positive", ADA)
        assert [each.item_id for each in await feedback_store.load_feedback(thread.id, ADA)] == order
        await store.delete_thread(thread.id, ADA)
        assert list(await feedback_store.load_feedback(thread.id, ADA)) == []
        await store.save_thread(thread, ADA)
        assert list(await feedback_store.load_feedback(thread.id, ADA)) == []

    async def test_feedback_of_other_owners_is_not_stored_and_does_not_interfere(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        feedback_store = _feedback_store(store)
        (item,) = await add_messages(store, thread, "0")
        attempts = [(thread.id, stranger) for stranger in STRANGERS]
        for thread_id, context in (*attempts, ("thr_unknown", ADA)):
            # A store may reject or ignore it.
            with suppress(NotFoundError):
                await feedback_store.save_feedback(thread_id, [item.id], "negative", context)
            assert list(await feedback_store.load_feedback(thread_id, context)) == []
        await feedback_store.save_feedback(thread.id, [item.id], "positive", ADA)
        for thread_id, context in attempts:
            with suppress(NotFoundError):
                await feedback_store.save_feedback(thread_id, [item.id], "negative", context)
            assert list(await feedback_store.load_feedback(thread_id, context)) == []
        (stored,) = await feedback_store.load_feedback(thread.id, ADA)
        assert (stored.item_id, stored.kind) == (item.id, "positive")

"""Ownership: the data of one `(tenant, user)` does not exist for any other."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import FileAttachment, ThreadMetadata

from backchannel.context import Identity, RequestContext
from backchannel.testing.contracts.store_base import (
    ADA,
    BOB,
    STRANGERS,
    StoreSuite,
    a_thread,
    add_messages,
    all_texts,
    all_threads,
    assistant_message,
)


class OwnershipSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_other_owners_see_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        (item,) = await add_messages(store, thread, "mine")
        await store.save_attachment(FileAttachment(id="atc_1", name="n", mime_type="text/plain"), ADA)
        loads: tuple[Callable[[RequestContext], Awaitable[object]], ...] = (
            lambda context: store.load_thread(thread.id, context),
            lambda context: store.load_item(thread.id, item.id, context),
            lambda context: store.load_attachment("atc_1", context),
        )
        for stranger in STRANGERS:
            for load in loads:
                with pytest.raises(NotFoundError):
                    await load(stranger)
            assert (await store.load_threads(10, None, "desc", stranger)).data == []
            assert (await store.load_thread_items(thread.id, None, 10, "asc", stranger)).data == []

    async def test_other_owners_change_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        (item,) = await add_messages(store, thread, "mine")
        attachment = FileAttachment(id="atc_1", name="n", mime_type="text/plain")
        await store.save_attachment(attachment, ADA)
        stolen = assistant_message(store, thread, "stolen", id=item.id)
        writes: tuple[Callable[[RequestContext], Awaitable[None]], ...] = (
            # `save_thread` is an upsert, but must not overwrite another owner's thread.
            lambda context: store.save_thread(thread.model_copy(update={"title": "stolen"}), context),
            lambda context: store.add_thread_item(thread.id, stolen, context),
            lambda context: store.add_thread_item(
                thread.id, assistant_message(store, thread, "slipped in"), context
            ),
            lambda context: store.save_item(thread.id, stolen, context),
            lambda context: store.save_attachment(attachment.model_copy(update={"name": "stolen"}), context),
        )
        for stranger in STRANGERS:
            for write in writes:
                with pytest.raises(NotFoundError):
                    await write(stranger)
        assert await store.load_thread(thread.id, ADA) == thread
        assert await all_texts(store, thread) == ["mine"]
        assert await store.load_attachment("atc_1", ADA) == attachment

    async def test_other_owners_delete_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        (item,) = await add_messages(store, thread, "mine")
        attachment = FileAttachment(id="atc_1", name="n", mime_type="text/plain")
        await store.save_attachment(attachment, ADA)
        for stranger in STRANGERS:
            await store.delete_thread_item(thread.id, item.id, stranger)
            await store.delete_thread(thread.id, stranger)
            await store.delete_attachment("atc_1", stranger)
        assert await store.load_thread(thread.id, ADA) == thread
        assert await all_texts(store, thread) == ["mine"]
        assert await store.load_attachment("atc_1", ADA) == attachment

    async def test_each_owner_has_a_separate_list(self, store: Store[Any]) -> None:
        owners = (ADA, *STRANGERS)
        for context in owners:
            thread = a_thread(store, title=f"of {context.identity.owner}")
            await store.save_thread(thread, context)
            await store.add_thread_item(
                thread.id, assistant_message(store, thread, f"{context.identity.owner}"), context
            )
        for context in owners:
            (thread,) = (await store.load_threads(50, None, "asc", context)).data
            assert thread.title == f"of {context.identity.owner}"

    async def test_owners_with_equal_concatenated_names_are_distinct(self, store: Store[Any]) -> None:
        for n, separator in enumerate(":/|-_. ,\t\u001f"):
            one = RequestContext(Identity(f"b{separator}c", tenant="a"))
            other = RequestContext(Identity("c", tenant=f"a{separator}b"))
            thread = a_thread(store)
            await store.save_thread(thread, one)
            await store.save_attachment(FileAttachment(id=f"atc_{n}", name="n", mime_type="a/b"), one)
            with pytest.raises(NotFoundError):
                await store.load_thread(thread.id, other)
            with pytest.raises(NotFoundError):
                await store.load_attachment(f"atc_{n}", other)
            assert (await store.load_threads(10, None, "asc", other)).data == []

    async def test_an_owner_does_not_depend_on_the_token(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        await add_messages(store, thread, "mine")
        identity = Identity("ada", scopes=frozenset({"files"}), anonymous=True, name="Ada L.")
        again = RequestContext(identity, request_id="req_2", run_id="run_2", locale="en-GB")
        assert await store.load_thread(thread.id, again) == thread
        assert len((await store.load_thread_items(thread.id, None, 10, "asc", again)).data) == 1
        await store.save_thread(thread.model_copy(update={"title": "renamed"}), again)
        assert (await store.load_thread(thread.id, ADA)).title == "renamed"
        await store.delete_thread(thread.id, again)
        assert await all_threads(store, "asc", limit=10) == []

    async def test_deleting_does_not_affect_other_owners(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        (item,) = await add_messages(store, thread, "ada's")
        bobs = a_thread(store)
        await store.save_thread(bobs, BOB)
        # The same item id, as from models that number their messages.
        await store.add_thread_item(bobs.id, assistant_message(store, bobs, "bob's", id=item.id), BOB)
        assert await all_texts(store, thread) == ["ada's"]
        await store.delete_thread_item(thread.id, item.id, ADA)
        await store.delete_thread(thread.id, ADA)
        assert await store.load_thread(bobs.id, BOB) == bobs
        assert len((await store.load_thread_items(bobs.id, None, 10, "asc", BOB)).data) == 1
        assert await all_threads(store, "asc", limit=10) == []

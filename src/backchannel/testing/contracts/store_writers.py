"""Concurrent writers, such as several tabs and replicas: nothing is lost or duplicated, and there is one order."""

import asyncio
from itertools import chain
from typing import Any

from chatkit.store import Store
from chatkit.types import FileAttachment, ThreadMetadata

from backchannel.testing.contracts.store_base import (
    ADA,
    StoreSuite,
    a_thread,
    all_texts,
    all_threads,
    assistant_message,
)

_WRITERS = 20


class WritersSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_concurrent_writers_lose_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        items = [assistant_message(store, thread, str(n)) for n in range(30)]
        await asyncio.gather(*(store.add_thread_item(thread.id, item, ADA) for item in items))
        assert sorted(await all_texts(store, thread), key=int) == [str(n) for n in range(30)]

    async def test_items_added_concurrently_have_one_order(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        items = [assistant_message(store, thread, str(n)) for n in range(_WRITERS)]
        await asyncio.gather(*(store.add_thread_item(thread.id, item, ADA) for item in items))
        order = await all_texts(store, thread)
        for limit in (3, 7, 50):
            assert await all_texts(store, thread, "asc", limit=limit) == order
            assert await all_texts(store, thread, "desc", limit=limit) == order[::-1]

    async def test_an_item_added_concurrently_is_one_item(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        versions = [assistant_message(store, thread, str(n), id="msg_1") for n in range(_WRITERS)]
        await asyncio.gather(
            *(store.add_thread_item(thread.id, item, ADA) for item in versions),
            *(store.save_item(thread.id, item, ADA) for item in versions),
        )
        (text,) = await all_texts(store, thread)
        assert text in {str(n) for n in range(_WRITERS)}

    async def test_a_thread_saved_concurrently_is_one_thread(self, store: Store[Any]) -> None:
        titles = [str(n) for n in range(_WRITERS)]
        thread = a_thread(store, title="new")
        # First concurrent inserts, then concurrent updates.
        for _ in ("new", "known"):
            saves = (store.save_thread(thread.model_copy(update={"title": title}), ADA) for title in titles)
            await asyncio.gather(*saves)
            (stored,) = await all_threads(store, "asc", limit=10)
            assert stored.title in titles
            assert await store.load_thread(thread.id, ADA) == stored

    async def test_saving_a_thread_does_not_undo_concurrent_items(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        items = [assistant_message(store, thread, str(n)) for n in range(_WRITERS)]
        writes = (
            (store.save_thread(thread, ADA), store.add_thread_item(thread.id, item, ADA)) for item in items
        )
        await asyncio.gather(*chain.from_iterable(writes))
        assert sorted(await all_texts(store, thread), key=int) == [str(n) for n in range(_WRITERS)]

    async def test_attachments_saved_concurrently_are_all_stored(self, store: Store[Any]) -> None:
        attachments = [
            FileAttachment(id=f"atc_{n % 5}", name=f"file {n % 5}", mime_type="a/b") for n in range(_WRITERS)
        ]
        await asyncio.gather(*(store.save_attachment(each, ADA) for each in attachments))
        for attachment in attachments[:5]:
            assert await store.load_attachment(attachment.id, ADA) == attachment

"""Values at the limits of databases: long texts, 4-byte characters, lone surrogates, and similar ids."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from chatkit.store import NotFoundError, Store, StoreItemType
from chatkit.types import FileAttachment, ThreadMetadata

from backchannel.testing.contracts.store_base import (
    ADA,
    NASTY,
    UNKNOWN_IDS,
    UNSTORABLE_TEXTS,
    StoreSuite,
    a_thread,
    add_messages,
    all_texts,
    assistant_message,
    is_stored_or_cleaned,
)

_ID_COUNT = 300_000
"""Among that many, the SDK's ids of 32 random bits collide about 10 times."""

_EMOJI = (
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u0939\u093f \U00020000 e\u0301 \u00e9"
)


class ValuesSuite(StoreSuite):
    """Part of `StoreContract`."""

    async def test_characters_of_four_bytes_come_back(self, store: Store[Any]) -> None:
        thread = a_thread(store, title=_EMOJI, metadata={_EMOJI: _EMOJI})
        await store.save_thread(thread, ADA)
        await add_messages(store, thread, _EMOJI)
        attachment = FileAttachment(id="atc_1", name=_EMOJI, mime_type="text/plain")
        await store.save_attachment(attachment, ADA)
        assert await store.load_thread(thread.id, ADA) == thread
        assert await all_texts(store, thread) == [_EMOJI]
        assert await store.load_attachment("atc_1", ADA) == attachment

    async def test_a_very_long_text_comes_back_whole(self, store: Store[Any], thread: ThreadMetadata) -> None:
        text = (NASTY * (1_000_000 // len(NASTY) + 1))[:1_000_000]
        (item,) = await add_messages(store, thread, text)
        assert await all_texts(store, thread) == [text]
        assert await store.load_item(thread.id, item.id, ADA) == item

    async def test_text_with_a_nul_is_stored_or_cleaned(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        await add_messages(store, thread, "a\x00b")
        (stored,) = await all_texts(store, thread)
        assert is_stored_or_cleaned(stored, "a\x00b")

    async def test_text_with_a_lone_surrogate_is_stored_or_cleaned(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        # JSON deltas of a model can split a surrogate pair.
        (item,) = await add_messages(store, thread, "a\ud800b")
        (stored,) = await all_texts(store, thread)
        assert is_stored_or_cleaned(stored, "a\ud800b")
        await store.save_item(thread.id, item, ADA)
        (stored,) = await all_texts(store, thread)
        assert is_stored_or_cleaned(stored, "a\ud800b")

    async def test_any_title_is_stored_or_cleaned(self, store: Store[Any]) -> None:
        for title in UNSTORABLE_TEXTS:
            thread = a_thread(store, title=title)
            for _ in ("new", "known"):
                await store.save_thread(thread, ADA)
                assert is_stored_or_cleaned((await store.load_thread(thread.id, ADA)).title, title)

    async def test_any_metadata_is_stored_or_cleaned(self, store: Store[Any]) -> None:
        for text in UNSTORABLE_TEXTS:
            thread = a_thread(store, metadata={"k": [text], text: 1})
            await store.save_thread(thread, ADA)
            stored = (await store.load_thread(thread.id, ADA)).metadata
            assert is_stored_or_cleaned(stored["k"][0], text)
            assert 1 in stored.values()

    async def test_any_file_name_is_stored_or_cleaned(self, store: Store[Any]) -> None:
        for name in UNSTORABLE_TEXTS:
            attachment = FileAttachment(id="atc_1", name=name, mime_type="text/plain")
            await store.save_attachment(attachment, ADA)
            assert is_stored_or_cleaned((await store.load_attachment("atc_1", ADA)).name, name)

    async def test_malformed_ids_are_not_found(self, store: Store[Any], thread: ThreadMetadata) -> None:
        await add_messages(store, thread, "kept")
        attempts: tuple[Callable[[str], Awaitable[object]], ...] = (
            lambda each: store.load_thread(each, ADA),
            lambda each: store.load_item(thread.id, each, ADA),
            lambda each: store.load_item(each, "msg_1", ADA),
            lambda each: store.load_attachment(each, ADA),
            lambda each: store.load_threads(10, each, "asc", ADA),
            lambda each: store.load_thread_items(thread.id, each, 10, "asc", ADA),
            lambda each: store.add_thread_item(each, assistant_message(store, thread, "x"), ADA),
        )
        for unknown in UNKNOWN_IDS:
            for attempt in attempts:
                with pytest.raises(NotFoundError):
                    await attempt(unknown)
            assert (await store.load_thread_items(unknown, None, 10, "asc", ADA)).data == []
            await store.delete_thread(unknown, ADA)
            await store.delete_thread_item(thread.id, unknown, ADA)
            await store.delete_attachment(unknown, ADA)
        assert await all_texts(store, thread) == ["kept"]

    async def test_ids_are_compared_exactly(self, store: Store[Any]) -> None:
        long = "i" * 100
        ids = ["msg_a", "msg_A", "msg_a ", "msg_\u00e1", f"{long}1", f"{long}2"]
        thread = a_thread(store, id="thr_a")
        await store.save_thread(thread, ADA)
        for item_id in ids:
            await store.add_thread_item(thread.id, assistant_message(store, thread, item_id, id=item_id), ADA)
        assert await all_texts(store, thread) == ids
        await store.delete_thread_item(thread.id, "MSG_A", ADA)
        await store.delete_thread("THR_A", ADA)
        assert await all_texts(store, thread) == ids
        for other in ("THR_A", "thr_a ", "thr_\u00e1", "thr_", "thr_%"):
            with pytest.raises(NotFoundError):
                await store.load_thread(other, ADA)

    async def test_ids_do_not_collide(self, store: Store[Any]) -> None:
        thread = a_thread(store, id="thr_x")
        assert len({store.generate_thread_id(ADA) for _ in range(_ID_COUNT)}) == _ID_COUNT
        assert len({store.generate_item_id("message", thread, ADA) for _ in range(_ID_COUNT)}) == _ID_COUNT
        # Ids of different types are distinct and can be used in a URL path.
        kinds = get_args(StoreItemType)
        ids = {store.generate_item_id(kind, thread, ADA) for kind in kinds}
        assert len(ids) == len(kinds)
        assert all(re.fullmatch(r"[A-Za-z0-9_.~-]+", each) for each in ids)

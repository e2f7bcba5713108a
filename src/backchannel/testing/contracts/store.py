"""What a store of conversations must do, as tests: the SDK's contract, and what usually goes wrong with it.

Subclass `StoreContract`, provide the fixture `store`, and run pytest:

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self):
            async with open_my_store() as store:
                yield store

Tests that need more than the SDK's contract are skipped for stores that do not offer it.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ClientToolCallItem,
    FileAttachment,
    HiddenContextItem,
    InferenceOptions,
    LockedStatus,
    Page,
    Thread,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTextContent,
    Workflow,
    WorkflowItem,
)

from backchannel.context import Identity, RequestContext
from backchannel.stores.base import DeletesTail, PatchesThreads

ADA = RequestContext(Identity("ada"))
BOB = RequestContext(Identity("bob"))
ADA_ELSEWHERE = RequestContext(Identity("ada", tenant="elsewhere"))
STRANGERS = (BOB, ADA_ELSEWHERE)

NASTY = "quote ' \" back\\slash \u2028 \U0001f600 % _ ; -- \x7f e\u0301"


def a_thread(store: Store[Any], **fields: Any) -> ThreadMetadata:
    """A thread of Ada's that is not saved yet."""
    given: dict[str, Any] = {"id": store.generate_thread_id(ADA), "created_at": datetime.now(), **fields}  # noqa: DTZ005
    return ThreadMetadata(**given)


def said(store: Store[Any], thread: ThreadMetadata, text: str, **fields: Any) -> AssistantMessageItem:
    """A message of the assistant that is not saved yet."""
    given: dict[str, Any] = {
        "id": store.generate_item_id("message", thread, ADA),
        "thread_id": thread.id,
        "created_at": datetime.now(),  # noqa: DTZ005 - as the SDK makes dates
        "content": [AssistantMessageContent(text=text)],
        **fields,
    }
    return AssistantMessageItem(**given)


def texts(page: Page[ThreadItem]) -> list[str]:
    """What the messages of a page say."""
    return [item.content[0].text for item in page.data if isinstance(item, AssistantMessageItem)]


class StoreContract:
    """The suite. Each test uses a store that is empty."""

    @pytest.fixture
    async def thread(self, store: Store[Any]) -> ThreadMetadata:
        """A saved thread of Ada's."""
        thread = a_thread(store, title="A title", metadata={"k": [1, None, {"n": None}]})
        await store.save_thread(thread, ADA)
        return thread

    # Threads

    async def test_a_thread_comes_back_as_it_was_saved(self, store: Store[Any]) -> None:
        thread = a_thread(
            store,
            title=NASTY,
            status=LockedStatus(reason="why"),
            allowed_image_domains=["example.com"],
            metadata={"deep": {"none": None, "list": [1, 2.5, "x"]}},
        )
        await store.save_thread(thread, ADA)
        assert await store.load_thread(thread.id, ADA) == thread

    async def test_saving_again_changes_the_thread(self, store: Store[Any], thread: ThreadMetadata) -> None:
        thread.title = None
        await store.save_thread(thread, ADA)
        assert (await store.load_thread(thread.id, ADA)).title is None
        assert len((await store.load_threads(10, None, "desc", ADA)).data) == 1

    async def test_a_thread_handed_over_with_its_items_does_not_keep_them_twice(
        self, store: Store[Any]
    ) -> None:
        thread = a_thread(store)
        page: Page[ThreadItem] = Page(data=[said(store, thread, "in the page")])
        await store.save_thread(Thread(**thread.model_dump(), items=page), ADA)
        assert (await store.load_thread_items(thread.id, None, 10, "asc", ADA)).data == []

    async def test_dates_can_be_subtracted_from_those_that_the_sdk_makes(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        item = said(store, thread, "x")
        await store.add_thread_item(thread.id, item, ADA)
        loaded = await store.load_item(thread.id, item.id, ADA)
        for kept in (loaded, await store.load_thread(thread.id, ADA)):
            elapsed = datetime.now() - kept.created_at  # noqa: DTZ005 - what the SDK does
            assert timedelta(0) <= elapsed < timedelta(minutes=5)

    async def test_threads_come_in_pages_without_gap_or_repetition(self, store: Store[Any]) -> None:
        start = datetime(2026, 1, 1)  # noqa: DTZ001 - as the SDK makes dates
        # Several threads share a date, so that the date alone cannot order them.
        saved = [a_thread(store, created_at=start + timedelta(seconds=n // 3)) for n in range(10)]
        for thread in saved:
            await store.save_thread(thread, ADA)
        for order in ("asc", "desc"):
            seen: list[ThreadMetadata] = []
            after: str | None = None
            while True:
                page = await store.load_threads(3, after, order, ADA)
                seen += page.data
                assert (page.after is not None) == page.has_more
                if not page.has_more:
                    break
                after = page.after
            assert sorted(thread.id for thread in seen) == sorted(thread.id for thread in saved)
            dates = [thread.created_at for thread in seen]
            assert dates == sorted(dates, reverse=order == "desc")

    async def test_deleting_a_thread_deletes_what_is_in_it(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        item = said(store, thread, "x")
        await store.add_thread_item(thread.id, item, ADA)
        await store.delete_thread(thread.id, ADA)
        with pytest.raises(NotFoundError):
            await store.load_thread(thread.id, ADA)
        with pytest.raises(NotFoundError):
            await store.load_item(thread.id, item.id, ADA)

    # Items

    async def test_items_of_every_kind_come_back_as_they_were_saved(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        base: dict[str, Any] = {"thread_id": thread.id, "created_at": datetime.now()}  # noqa: DTZ005
        items: list[ThreadItem] = [
            UserMessageItem(
                id="u",
                content=[UserMessageTextContent(text=NASTY)],
                inference_options=InferenceOptions(),
                quoted_text=NASTY,
                **base,
            ),
            said(store, thread, NASTY),
            ClientToolCallItem(id="c", call_id="call", name="f", arguments={"a": None, "b": [None]}, **base),
            ClientToolCallItem(
                id="c2",
                call_id="call2",
                name="f",
                arguments={},
                status="completed",
                output={"none": None},
                **base,
            ),
            HiddenContextItem(id="h", content={"any": ["thing", None, 1.5]}, **base),
            WorkflowItem(id="w", workflow=Workflow(type="custom", tasks=[]), **base),
        ]
        for item in items:
            await store.add_thread_item(thread.id, item, ADA)
        assert (await store.load_thread_items(thread.id, None, 10, "asc", ADA)).data == items

    async def test_text_with_a_nul_is_kept_or_cleaned_but_never_fatal(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        await store.add_thread_item(thread.id, said(store, thread, "a\x00b"), ADA)
        page = await store.load_thread_items(thread.id, None, 10, "asc", ADA)
        assert texts(page)[0].replace("\x00", "") == "ab"

    async def test_adding_an_item_again_changes_it_where_it_stands(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        first = said(store, thread, "open")
        await store.add_thread_item(thread.id, first, ADA)
        await store.add_thread_item(thread.id, said(store, thread, "later"), ADA)
        first.content[0].text = "done"
        await store.add_thread_item(thread.id, first, ADA)
        assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == ["done", "later"]
        first.content[0].text = "saved"
        await store.save_item(thread.id, first, ADA)
        assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == ["saved", "later"]

    async def test_a_question_that_was_answered_is_not_asked_again(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        asked = ClientToolCallItem(
            id="c",
            call_id="call",
            name="f",
            arguments={},
            thread_id=thread.id,
            created_at=datetime.now(),  # noqa: DTZ005 - as the SDK makes dates
        )
        await store.add_thread_item(thread.id, asked, ADA)
        answered = asked.model_copy(update={"status": "completed", "output": 42})
        await store.save_item(thread.id, answered, ADA)
        await store.add_thread_item(thread.id, asked, ADA)
        assert await store.load_item(thread.id, "c", ADA) == answered

    async def test_order_is_the_order_of_adding_whatever_the_dates_and_ids(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        now = datetime.now()  # noqa: DTZ005
        for n in range(8):
            item = said(store, thread, str(n), id=f"msg_{(n * 5) % 8}", created_at=now - timedelta(seconds=n))
            await store.add_thread_item(thread.id, item, ADA)
        for order, expected in (("asc", "01234567"), ("desc", "76543210")):
            seen: list[str] = []
            after: str | None = None
            while True:
                page = await store.load_thread_items(thread.id, after, 3, order, ADA)
                seen += texts(page)
                assert (page.after is not None) == page.has_more
                if not page.has_more:
                    break
                after = page.after
            assert "".join(seen) == expected

    async def test_the_same_item_id_in_two_threads_is_two_items(self, store: Store[Any]) -> None:
        one, two = a_thread(store), a_thread(store)
        for thread, text in ((one, "one"), (two, "two")):
            await store.save_thread(thread, ADA)
            await store.add_thread_item(thread.id, said(store, thread, text, id="msg_1"), ADA)
        for thread, text in ((one, "one"), (two, "two")):
            assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == [text]

    async def test_deleting_one_item_leaves_the_others(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        items = [said(store, thread, str(n)) for n in range(3)]
        for item in items:
            await store.add_thread_item(thread.id, item, ADA)
        await store.delete_thread_item(thread.id, items[1].id, ADA)
        await store.delete_thread_item(thread.id, "msg_unknown", ADA)
        assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == ["0", "2"]

    async def test_two_writers_lose_nothing(self, store: Store[Any], thread: ThreadMetadata) -> None:
        items = [said(store, thread, str(n)) for n in range(30)]
        await asyncio.gather(*(store.add_thread_item(thread.id, item, ADA) for item in items))
        page = await store.load_thread_items(thread.id, None, 50, "asc", ADA)
        assert sorted(texts(page), key=int) == [str(n) for n in range(30)]
        again = await store.load_thread_items(thread.id, None, 50, "asc", ADA)
        assert texts(again) == texts(page)

    async def test_unknown_things_are_not_found(self, store: Store[Any], thread: ThreadMetadata) -> None:
        with pytest.raises(NotFoundError):
            await store.load_thread("thr_unknown", ADA)
        with pytest.raises(NotFoundError):
            await store.load_item(thread.id, "msg_unknown", ADA)
        with pytest.raises(NotFoundError):
            await store.add_thread_item("thr_unknown", said(store, thread, "x"), ADA)
        with pytest.raises(NotFoundError):
            await store.load_attachment("atc_unknown", ADA)

    # Attachments

    async def test_an_attachment_comes_back_and_can_be_placed_in_a_thread(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        attachment = FileAttachment(id="atc_1", name=NASTY, mime_type="text/plain", metadata={"private": 1})
        await store.save_attachment(attachment, ADA)
        assert await store.load_attachment("atc_1", ADA) == attachment
        placed = attachment.model_copy(update={"thread_id": thread.id})
        await store.save_attachment(placed, ADA)
        assert await store.load_attachment("atc_1", ADA) == placed
        await store.delete_attachment("atc_1", ADA)
        with pytest.raises(NotFoundError):
            await store.load_attachment("atc_1", ADA)

    # Ownership

    async def test_nobody_else_sees_or_changes_anything(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        item = said(store, thread, "mine")
        await store.add_thread_item(thread.id, item, ADA)
        attachment = FileAttachment(id="atc_1", name="n", mime_type="text/plain")
        await store.save_attachment(attachment, ADA)
        stolen = said(store, thread, "stolen", id=item.id)
        for stranger in STRANGERS:
            for attempt in (
                store.load_thread(thread.id, stranger),
                store.load_item(thread.id, item.id, stranger),
                store.load_attachment("atc_1", stranger),
                store.save_thread(thread.model_copy(update={"title": "stolen"}), stranger),
                store.add_thread_item(thread.id, stolen, stranger),
                store.save_item(thread.id, stolen, stranger),
                store.save_attachment(attachment.model_copy(update={"name": "stolen"}), stranger),
            ):
                with pytest.raises(NotFoundError):
                    await attempt
            assert (await store.load_threads(10, None, "desc", stranger)).data == []
            assert (await store.load_thread_items(thread.id, None, 10, "asc", stranger)).data == []
            await store.delete_thread_item(thread.id, item.id, stranger)
            await store.delete_thread(thread.id, stranger)
            await store.delete_attachment("atc_1", stranger)
        assert (await store.load_thread(thread.id, ADA)).title == "A title"
        assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == ["mine"]
        assert await store.load_attachment("atc_1", ADA) == attachment

    async def test_ids_do_not_collide(self, store: Store[Any]) -> None:
        thread = ThreadMetadata(id="thr_x", created_at=datetime.now())  # noqa: DTZ005
        count = 100_000
        assert len({store.generate_thread_id(ADA) for _ in range(count)}) == count
        assert len({store.generate_item_id("message", thread, ADA) for _ in range(count)}) == count

    # Beyond the SDK's contract

    async def test_changing_one_field_keeps_the_others(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        if not isinstance(store, PatchesThreads):
            pytest.skip("the store cannot change single fields")
        await store.update_thread(thread.id, {"title": "renamed"}, ADA)
        await store.update_thread(thread.id, {"status": LockedStatus()}, ADA)
        loaded = await store.load_thread(thread.id, ADA)
        assert (loaded.title, loaded.status.type, loaded.metadata) == ("renamed", "locked", thread.metadata)
        for context, thread_id in ((BOB, thread.id), (ADA_ELSEWHERE, thread.id), (ADA, "thr_unknown")):
            with pytest.raises(NotFoundError):
                await store.update_thread(thread_id, {"title": "stolen"}, context)

    async def test_deleting_a_tail_leaves_what_came_before(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        if not isinstance(store, DeletesTail):
            pytest.skip("the store cannot delete a tail in one step")
        items = [said(store, thread, str(n)) for n in range(5)]
        for item in items:
            await store.add_thread_item(thread.id, item, ADA)
        with pytest.raises(NotFoundError):
            await store.delete_items_after(thread.id, items[1].id, BOB)
        gone = await store.delete_items_after(thread.id, items[1].id, ADA)
        assert list(gone) == [items[4].id, items[3].id, items[2].id]
        assert texts(await store.load_thread_items(thread.id, None, 10, "asc", ADA)) == ["0", "1"]

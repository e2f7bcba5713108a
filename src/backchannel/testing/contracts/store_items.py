"""Items: every type comes back unchanged, in insertion order, by its id and thread."""

from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import (
    ClientToolCallItem,
    CustomTask,
    StructuredInputAnswer,
    StructuredInputFreeform,
    StructuredInputItem,
    ThreadItem,
    ThreadMetadata,
    Workflow,
    WorkflowItem,
)
from pydantic import TypeAdapter

from backchannel.testing.contracts.store_base import (
    ADA,
    NASTY,
    StoreSuite,
    a_thread,
    add_messages,
    all_texts,
    assistant_message,
)

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)

_EVERY_TYPE: tuple[dict[str, Any], ...] = (
    {
        "type": "user_message",
        "content": [
            {"type": "input_text", "text": NASTY},
            {"type": "input_tag", "id": "t", "text": "@x", "data": {"none": None}},
        ],
        "attachments": [{"type": "file", "id": "atc_1", "name": "n", "mime_type": "text/plain"}],
        "inference_options": {"tool_choice": {"id": "search"}, "model": "m"},
        "quoted_text": NASTY,
    },
    {
        "type": "assistant_message",
        "content": [
            {
                "text": NASTY,
                "annotations": [{"source": {"type": "url", "title": "t", "url": "https://x"}, "index": 3}],
            }
        ],
    },
    {"type": "client_tool_call", "call_id": "c", "name": "f", "arguments": {"a": None, "b": [None, 0.1]}},
    {
        "type": "client_tool_call",
        "call_id": "c",
        "name": "f",
        "arguments": {},
        "status": "completed",
        "output": {"none": None},
    },
    {"type": "widget", "widget": {"type": "Card", "children": [{"type": "Text", "value": NASTY}]}},
    {"type": "generated_image", "image": {"id": "i", "url": "https://x/i.png"}},
    {"type": "generated_image"},
    {
        "type": "structured_input",
        "inputs": [
            {
                "type": "multiple_choice",
                "id": "q",
                "question": "?",
                "options": [{"value": "a"}, {"value": "b"}],
                "multiple": True,
            },
            {"type": "freeform", "id": "r", "question": "?", "answer": {"values": [NASTY]}},
        ],
    },
    {
        "type": "workflow",
        "workflow": {
            "type": "reasoning",
            "tasks": [{"type": "thought", "content": NASTY}],
            "summary": {"duration": 3},
        },
    },
    {"type": "task", "task": {"type": "web_search", "queries": ["q"]}},
    {"type": "hidden_context_item", "content": {"any": ["thing", None, 1.5, {"none": None}]}},
    {"type": "hidden_context_item", "content": None},
    {"type": "sdk_hidden_context", "content": NASTY},
    {"type": "end_of_turn"},
)


class ItemsSuite(StoreSuite):
    """Part of `StoreContract`."""

    # Constructing widgets in Python is deprecated in the SDK, but loading stored ones constructs them.
    @pytest.mark.filterwarnings("ignore:Direct usage of named widget classes:DeprecationWarning")
    async def test_items_of_every_kind_come_back_as_they_were_saved(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        base: dict[str, Any] = {"thread_id": thread.id, "created_at": datetime.now()}  # noqa: DTZ005
        items = [
            _ITEM.validate_python({"id": f"item_{n}", **base, **fields})
            for n, fields in enumerate(_EVERY_TYPE)
        ]
        # Hidden items, too: the server filters them, not the store.
        assert {type(item) for item in items} == set(get_args(get_args(ThreadItem)[0]))
        for item in items:
            await store.add_thread_item(thread.id, item, ADA)
        assert (await store.load_thread_items(thread.id, None, 50, "asc", ADA)).data == items
        assert [await store.load_item(thread.id, item.id, ADA) for item in items] == items

    async def test_adding_an_item_again_updates_it_in_place(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        first = assistant_message(store, thread, "open")
        await store.add_thread_item(thread.id, first, ADA)
        await add_messages(store, thread, "later")
        first.content[0].text = "done"
        await store.add_thread_item(thread.id, first, ADA)
        assert await all_texts(store, thread) == ["done", "later"]
        assert await all_texts(store, thread, "desc") == ["later", "done"]

    async def test_a_workflow_is_added_open_and_again_when_it_is_done(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        workflow = WorkflowItem(
            id="wf_1",
            thread_id=thread.id,
            created_at=datetime.now(),  # noqa: DTZ005 - as the SDK makes dates
            workflow=Workflow(type="custom", tasks=[CustomTask(title="a", status_indicator="loading")]),
        )
        await store.add_thread_item(thread.id, workflow, ADA)
        await add_messages(store, thread, "the next turn")
        done = workflow.model_copy(update={"workflow": Workflow(type="custom", tasks=[CustomTask()])})
        await store.add_thread_item(thread.id, done, ADA)
        page = await store.load_thread_items(thread.id, None, 10, "asc", ADA)
        assert [item.id == "wf_1" for item in page.data] == [True, False]
        assert page.data[0] == done

    async def test_saving_an_item_updates_it_in_place(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        first, _ = await add_messages(store, thread, "open", "later")
        first.content[0].text = "saved"
        await store.save_item(thread.id, first, ADA)
        assert await all_texts(store, thread) == ["saved", "later"]

    async def test_saving_an_item_that_was_never_added_adds_it(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        await add_messages(store, thread, "first")
        item = assistant_message(store, thread, "never added")
        await store.save_item(thread.id, item, ADA)
        await add_messages(store, thread, "last")
        assert await store.load_item(thread.id, item.id, ADA) == item
        assert await all_texts(store, thread) == ["first", "never added", "last"]

    async def test_adding_an_answered_input_request_again_keeps_the_answer(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        base: dict[str, Any] = {"thread_id": thread.id, "created_at": datetime.now()}  # noqa: DTZ005
        question = StructuredInputFreeform(id="q", question="?")
        answer = question.model_copy(update={"answer": StructuredInputAnswer(values=["!"])})
        pending = (
            ClientToolCallItem(id="c", call_id="call", name="f", arguments={}, **base),
            StructuredInputItem(id="s", inputs=[question], **base),
        )
        answered = (
            pending[0].model_copy(update={"status": "completed", "output": 42}),
            pending[1].model_copy(update={"status": "answered", "inputs": [answer]}),
        )
        for before, after in zip(pending, answered, strict=True):
            await store.add_thread_item(thread.id, before, ADA)
            await store.save_item(thread.id, after, ADA)
            await store.add_thread_item(thread.id, before, ADA)
            assert await store.load_item(thread.id, before.id, ADA) == after

    async def test_items_are_ordered_by_insertion_regardless_of_dates_and_ids(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        now = datetime.now()  # noqa: DTZ005
        for n in range(8):
            item = assistant_message(
                store, thread, str(n), id=f"msg_{(n * 5) % 8}", created_at=now - timedelta(seconds=n)
            )
            await store.add_thread_item(thread.id, item, ADA)
        for order, expected in (("asc", "01234567"), ("desc", "76543210")):
            assert "".join(await all_texts(store, thread, order, limit=3)) == expected

    async def test_order_survives_deletions(self, store: Store[Any], thread: ThreadMetadata) -> None:
        items = await add_messages(store, thread, "0", "1", "2", "3")
        for item in (items[0], items[2], items[3]):
            await store.delete_thread_item(thread.id, item.id, ADA)
        await add_messages(store, thread, "4", "5", "6")
        assert await all_texts(store, thread) == ["1", "4", "5", "6"]
        assert await all_texts(store, thread, "desc") == ["6", "5", "4", "1"]

    async def test_the_same_item_id_in_two_threads_is_two_items(self, store: Store[Any]) -> None:
        one, two = a_thread(store), a_thread(store)
        for thread, text in ((one, "one"), (two, "two")):
            await store.save_thread(thread, ADA)
            await store.add_thread_item(thread.id, assistant_message(store, thread, text, id="msg_1"), ADA)
        for thread, text in ((one, "one"), (two, "two")):
            assert await all_texts(store, thread) == [text]
        await store.delete_thread_item(one.id, "msg_1", ADA)
        assert await all_texts(store, two) == ["two"]

    async def test_a_stored_item_is_independent_of_the_object(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        (item,) = await add_messages(store, thread, "kept")
        item.content[0].text = "changed after it was added"
        for read in ("item", "page"):
            loaded = (
                await store.load_item(thread.id, item.id, ADA)
                if read == "item"
                else (await store.load_thread_items(thread.id, None, 10, "asc", ADA)).data[0]
            )
            assert loaded.type == "assistant_message"
            assert loaded.content[0].text == "kept"
            loaded.content[0].text = f"changed after it was loaded as {read}"
        assert await all_texts(store, thread) == ["kept"]
        await store.save_item(thread.id, item, ADA)
        item.content[0].text = "changed after it was saved"
        assert await all_texts(store, thread) == ["changed after it was added"]

    async def test_deleting_one_item_leaves_the_others(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        items = await add_messages(store, thread, "0", "1", "2")
        await store.delete_thread_item(thread.id, items[1].id, ADA)
        assert await all_texts(store, thread) == ["0", "2"]
        with pytest.raises(NotFoundError):
            await store.load_item(thread.id, items[1].id, ADA)

    async def test_deleting_an_item_again_changes_nothing(
        self, store: Store[Any], thread: ThreadMetadata
    ) -> None:
        items = await add_messages(store, thread, "0", "1", "2")
        for _ in range(2):
            await store.delete_thread_item(thread.id, items[1].id, ADA)
        await store.delete_thread_item(thread.id, "msg_unknown", ADA)
        await store.delete_thread_item("thr_unknown", items[0].id, ADA)
        assert await all_texts(store, thread) == ["0", "2"]

    async def test_unknown_ids_are_not_found(self, store: Store[Any], thread: ThreadMetadata) -> None:
        with pytest.raises(NotFoundError):
            await store.load_thread("thr_unknown", ADA)
        with pytest.raises(NotFoundError):
            await store.load_item(thread.id, "msg_unknown", ADA)
        with pytest.raises(NotFoundError):
            await store.load_item("thr_unknown", "msg_unknown", ADA)
        for write in (store.add_thread_item, store.save_item):
            with pytest.raises(NotFoundError):
                await write("thr_unknown", assistant_message(store, thread, "x"), ADA)
        with pytest.raises(NotFoundError):
            await store.load_attachment("atc_unknown", ADA)
        page = await store.load_thread_items("thr_unknown", None, 10, "asc", ADA)
        assert (page.data, page.has_more, page.after) == ([], False, None)

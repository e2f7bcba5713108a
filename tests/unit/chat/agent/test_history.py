"""What the model is shown: whole turns that fit, and each tool call once with its output."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from chatkit import types as ck
from chatkit.store import Store
from hypothesis import given
from hypothesis import strategies as st

from backchannel.chat.agent.converter import HistoryConverter
from backchannel.chat.agent.history import INTERRUPTED, load_history, to_model_input
from backchannel.chat.recovery.journal import ToolCall
from backchannel.model_calls.tool_calls import call_id_for

pytestmark = pytest.mark.row("H7", "H1")

_NUMBERS = count()


def base() -> dict[str, Any]:
    return {"id": f"it_{next(_NUMBERS)}", "thread_id": "thr_1", "created_at": datetime(2026, 11, 22)}


def user(text: str, *parts: Any, **more: Any) -> ck.UserMessageItem:
    content = [ck.UserMessageTextContent(text=text), *parts]
    return ck.UserMessageItem(**base(), content=content, inference_options=ck.InferenceOptions(), **more)


def assistant(text: str) -> ck.AssistantMessageItem:
    return ck.AssistantMessageItem(**base(), content=[ck.AssistantMessageContent(text=text)])


GIVEN: dict[str, str] = {}
"""The call id that a test gave, by the one that stands in the model's input."""


def registered[Item: ck.ThreadItem](item: Item, call_id: str) -> Item:
    GIVEN[call_id_for(item.id)] = call_id
    return item


def called(
    call_id: str, output: Any = None, *, finished: bool = True, name: str = "tool"
) -> ck.HiddenContextItem:
    call = ToolCall(call_id=call_id, name=name, arguments='{"a": 1}', output=output, finished=finished)
    return registered(ck.HiddenContextItem(**base(), content=call.model_dump()), call_id)


def by_client(call_id: str, status: Any, output: Any = None) -> ck.ClientToolCallItem:
    item = ck.ClientToolCallItem(
        **base(), status=status, call_id=call_id, name="pick", arguments={"a": "é"}, output=output
    )
    return registered(item, call_id)


async def model_input(*items: ck.ThreadItem) -> list[Any]:
    return await to_model_input(items, HistoryConverter())


def calls_and_outputs(sent: Sequence[Any]) -> list[tuple[str, str, str]]:
    return [
        (each["type"], GIVEN.get(each["call_id"], each["call_id"]), each.get("output", each.get("name")))
        for each in sent
        if each.get("type", "").startswith("function_call")
    ]


def texts(sent: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for each in sent:
        content = each.get("content", [])
        found += (
            [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]
        )
    return found


async def test_tool_calls_come_with_their_outputs_in_their_place():
    sent = await model_input(
        user("list"),
        called("c1", "two todos"),
        assistant("Two."),
        user("and?"),
        called("c2", {"n": [1, "é"]}),
    )
    assert [each.get("role") or each["type"] for each in sent] == [
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "user",
        "function_call",
        "function_call_output",
    ]
    assert texts(sent) == ["list", "Two.", "and?"]
    call_id = sent[1]["call_id"]
    assert sent[1] == {"type": "function_call", "call_id": call_id, "name": "tool", "arguments": '{"a": 1}'}
    assert sent[2] == {"type": "function_call_output", "call_id": call_id, "output": "two todos"}
    assert json.loads(sent[6]["output"]) == {"n": [1, "é"]}
    assert "é" in sent[6]["output"]


async def test_a_call_that_never_ended_has_an_output_that_says_so():
    sent = await model_input(user("go"), called("c1", finished=False))
    assert calls_and_outputs(sent) == [
        ("function_call", "c1", "tool"),
        ("function_call_output", "c1", INTERRUPTED),
    ]


async def test_a_call_that_ended_with_nothing_is_not_called_interrupted():
    sent = await model_input(user("go"), called("c1", None, finished=True))
    assert calls_and_outputs(sent)[1][2] == "null"


@pytest.mark.parametrize("finished", [True, False])
async def test_a_client_tool_call_is_told_once_with_the_clients_output(finished: bool):
    sent = await model_input(
        user("pick"), called("c1", "ignored", finished=finished), by_client("c1", "completed", {"x": 1})
    )
    assert calls_and_outputs(sent) == [
        ("function_call", "c1", "tool"),
        ("function_call_output", "c1", '{"x": 1}'),
    ]


@pytest.mark.row("P21")
@pytest.mark.parametrize("finished", [True, False])
async def test_a_client_tool_call_that_waits_is_not_told_at_all(finished: bool):
    sent = await model_input(user("pick"), called("c1", "x", finished=finished), by_client("c1", "pending"))
    assert calls_and_outputs(sent) == []
    assert texts(sent) == ["pick"]


async def test_other_calls_beside_a_client_tool_call_stay():
    sent = await model_input(user("pick"), called("c0", "zero"), called("c1"), by_client("c1", "pending"))
    assert calls_and_outputs(sent) == [
        ("function_call", "c0", "tool"),
        ("function_call_output", "c0", "zero"),
    ]


def made(kind: str, call: str) -> list[ck.ThreadItem]:
    match kind:
        case "user":
            return [user("u")]
        case "assistant":
            return [assistant("a")]
        case "done":
            return [called(call, "out")]
        case "open":
            return [called(call, finished=False)]
        case "client":
            return [called(call, "half"), by_client(call, "completed", 1)]
        case "waiting":
            return [called(call, finished=False), by_client(call, "pending")]
        case "workflow":
            return [ck.WorkflowItem(**base(), workflow=ck.Workflow(type="custom", tasks=[]))]
        case _:
            return [ck.HiddenContextItem(**base(), content={"kind": "else"})]


@given(
    st.lists(
        st.sampled_from(["user", "assistant", "done", "open", "client", "waiting", "workflow", "foreign"]),
        max_size=20,
    )
)
async def test_no_thread_gives_a_call_without_output_or_twice(kinds: list[str]):
    items = [item for number, kind in enumerate(kinds) for item in made(kind, f"c{number}")]
    sent = calls_and_outputs(await model_input(*items))
    calls = [call for kind, call, _ in sent if kind == "function_call"]
    outputs = [call for kind, call, _ in sent if kind == "function_call_output"]
    replay = [f"c{number}" for number, kind in enumerate(kinds) if kind in {"done", "open", "client"}]
    assert calls == outputs == replay


@pytest.mark.parametrize(
    "content",
    [{"kind": "else", "when": datetime(2026, 1, 2)}, {}, [1, {"a": None}], 7, None, "plain", object()],
)
async def test_foreign_hidden_context_does_not_crash(content: Any):
    sent = await model_input(user("hi"), ck.HiddenContextItem(**base(), content=content))
    assert len(sent) == 2
    assert "<HiddenContext>" in texts(sent)[1]
    if isinstance(content, dict) and content:
        assert "2026-01-02" in texts(sent)[1]


@pytest.mark.row("P21", "P25")
async def test_tags_and_attachments_are_told():
    tag = ck.UserMessageTagContent(id="t1", text="Ann", data={"mail": "ann@é"}, group="people")
    file = ck.FileAttachment(
        id="atc_1", name="plan.pdf", mime_type="application/pdf", metadata={"k": "secret"}
    )
    sent = await model_input(user("ask ", tag, attachments=[file]))
    replay = texts(sent)
    assert replay[0] == "ask @Ann"
    assert replay[1] == '<Attachment name="plan.pdf" type="application/pdf" />'
    assert replay[-1] == '@Ann: {"id": "t1", "text": "Ann", "mail": "ann@é"}'
    assert "secret" not in json.dumps(sent)


async def test_every_kind_of_item_can_be_in_a_thread():
    task = ck.CustomTask(title="Did it")
    card: dict[str, Any] = {"type": "Card", "children": []}
    widget = ck.WidgetItem.model_validate({**base(), "type": "widget", "widget": card})
    question: Any = ck.StructuredInputFreeform(id="q", question="Why?")
    sent = await model_input(
        user("hi", quoted_text="quoted"),
        ck.WorkflowItem(**base(), workflow=ck.Workflow(type="custom", tasks=[task])),
        ck.TaskItem(**base(), task=task),
        widget,
        ck.GeneratedImageItem(**base(), image=ck.GeneratedImage(id="g", url="https://x/g.png")),
        ck.StructuredInputItem(**base(), inputs=[question]),
        ck.SDKHiddenContextItem(**base(), content="cancelled"),
        ck.EndOfTurnItem(**base()),
    )
    replay = "\n".join(texts(sent))
    assert replay.count("Did it") == 1
    assert "Why?" in replay
    assert "cancelled" in replay


async def keep(store: Store[Any], items: Sequence[ck.ThreadItem]) -> None:
    for item in items:
        await store.add_thread_item("thr_1", item, None)


async def ids(store: Store[Any], max_tokens: int) -> list[str]:
    return [item.id for item in await load_history(store, "thr_1", None, max_tokens=max_tokens)]


async def test_whole_turns_only_and_the_newest_always(store: Store[Any]):
    turns = [
        [user("x" * 400), assistant("y" * 400)],
        [user("x" * 400), called("c1", "z" * 4000), assistant("y" * 400)],
        [user("x" * 400), assistant("y" * 400)],
    ]
    await keep(store, [item for turn in turns for item in turn])
    first, second, third = [[item.id for item in turn] for turn in turns]
    assert await ids(store, 10) == third
    assert await ids(store, 250) == third
    assert await ids(store, 1000) == third
    assert await ids(store, 1600) == second + third
    assert await ids(store, 32_000) == first + second + third


async def test_an_endless_newest_turn_is_kept_whole(store: Store[Any]):
    turn = [user("x"), *(called(f"c{number}", "z" * 500) for number in range(20)), assistant("y" * 5000)]
    await keep(store, [user("before"), assistant("before"), *turn])
    assert await ids(store, 500) == [item.id for item in turn]


async def test_what_precedes_the_first_message_is_shown_if_it_fits(store: Store[Any]):
    items = [assistant("Welcome!"), user("hi"), assistant("x" * 3000)]
    await keep(store, items)
    assert await ids(store, 32_000) == [item.id for item in items]
    assert await ids(store, 500) == [item.id for item in items[1:]]


async def test_a_thread_without_a_message_is_shown_whole(store: Store[Any]):
    assert await ids(store, 500) == []
    items = [assistant("Welcome!"), assistant("x" * 9000)]
    await keep(store, items)
    assert await ids(store, 500) == [item.id for item in items]


@pytest.mark.row("D4")
async def test_only_what_fits_is_read_however_long_the_thread():
    turn = [user("x" * 100), assistant("y" * 300)]
    store: Any = _Listed(turn * 5_000)
    assert len(await ids(store, 1_000)) <= 20
    assert store.read <= 30


@given(
    lengths=st.lists(st.lists(st.integers(0, 600), min_size=1, max_size=4), max_size=6),
    budget=st.integers(1, 1500),
)
async def test_any_budget_shows_a_suffix_of_whole_turns(lengths: list[list[int]], budget: int):
    turns = [[user("x" * first), *(assistant("y" * length) for length in rest)] for first, *rest in lengths]
    store: Any = _Listed([item for turn in turns for item in turn])
    shown = await ids(store, budget)
    kept = next(
        number
        for number in range(len(turns) + 1)
        if [item.id for turn in turns[number:] for item in turn] == shown
    )
    if turns:
        assert kept < len(turns)
    text = sum(sum(each) for each in lengths[kept:])
    assert text <= budget * 4 or kept == len(turns) - 1
    if kept:
        # One more turn would not have fitted, with some room for what is around the text.
        around = 200 * sum(len(each) for each in lengths[kept - 1 :])
        assert text + sum(lengths[kept - 1]) + around > budget * 4


class _Listed:
    """The one method of a store that history needs, over a list that is oldest first."""

    def __init__(self, items: list[ck.ThreadItem]) -> None:
        self._items = items[::-1]
        self.read = 0

    async def load_thread_items(self, _thread: str, after: str | None, limit: int, *_: Any) -> Any:
        start = 1 + next((n for n, item in enumerate(self._items) if item.id == after), -1)
        data = self._items[start : start + limit]
        self.read += len(data)
        return ck.Page[Any](data=data, has_more=start + limit < len(self._items))

"""Walking through a thread, whatever the store and whatever is hidden in it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from chatkit.store import NotFoundError, Store
from chatkit.types import AssistantMessageContent, AssistantMessageItem, HiddenContextItem, ThreadItem

from backchannel.chat.protocol.paging import newest_items, visible_items

pytestmark = pytest.mark.row("D4", "A1")

MOMENT = datetime(2026, 11, 22)

FEW = ["", "v", "h", "vvv", "hhh", "vhvh", "hvhv"]
LAYOUTS = [*FEW, "vv" + "h" * 12 + "vv", "h" * 20 + "v", "v" + "h" * 20, "vhhv" * 6, "v" * 30, "hv" * 9]


async def fill(store: Store[Any], layout: str) -> Sequence[ThreadItem]:
    """A thread of visible (v) and hidden (h) items, oldest first."""
    items: list[ThreadItem] = []
    for number, kind in enumerate(layout):
        base: dict[str, Any] = {"id": f"{kind}{number}", "thread_id": "thr_1", "created_at": MOMENT}
        if kind == "h":
            items.append(HiddenContextItem(**base, content="secret"))
        else:
            items.append(AssistantMessageItem(**base, content=[AssistantMessageContent(text="x")]))
        await store.add_thread_item("thr_1", items[-1], None)
    return items


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_newest_items_are_all_items_newest_first(store: Store[Any], layout: str):
    items = await fill(store, layout)
    found = [item async for item in newest_items(store, "thr_1", None)]
    assert [item.id for item in found] == [item.id for item in reversed(items)]


async def test_newest_items_are_loaded_as_they_are_asked_for(
    store: Store[Any], monkeypatch: pytest.MonkeyPatch
):
    await fill(store, "v" * 30)
    loads: list[str | None] = []
    load = store.load_thread_items

    async def counted(thread_id: str, after: str | None, *rest: Any) -> Any:
        loads.append(after)
        return await load(thread_id, after, *rest)

    monkeypatch.setattr(store, "load_thread_items", counted)
    walk = newest_items(store, "thr_1", None)
    assert [(await anext(walk)).id for _ in range(7)][-1] == "v23"
    assert loads == [None]
    assert (await anext(walk)).id == "v22"
    assert loads == [None, "v23"]


@pytest.mark.row("P17")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 50])
async def test_pages_are_full_and_together_are_everything_visible(
    store: Store[Any], layout: str, order: str, limit: int
):
    items = [item.id for item in await fill(store, layout) if item.id.startswith("v")]
    expected = items if order == "asc" else items[::-1]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await visible_items(store, "thr_1", after, limit, order, None)
        seen += [item.id for item in page.data]
        assert len(page.data) == min(limit, len(expected) - (len(seen) - len(page.data)))
        assert page.has_more == (len(seen) < len(expected))
        assert page.after == (seen[-1] if page.has_more else None)
        if not page.has_more:
            break
        after = page.after
    assert seen == expected


async def test_an_unknown_cursor_is_the_stores_error(store: Store[Any]):
    await fill(store, "vvv")
    with pytest.raises(NotFoundError):
        await visible_items(store, "thr_1", "nobody", 5, "asc", None)

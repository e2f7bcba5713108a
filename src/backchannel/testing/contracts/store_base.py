"""What the tests of stores share: the people, what they keep, and how it is read back."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from chatkit.store import Store
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    Page,
    ThreadItem,
    ThreadMetadata,
)

from backchannel.context import Identity, RequestContext

ADA = RequestContext(Identity("ada"))
BOB = RequestContext(Identity("bob"))
ADA_ELSEWHERE = RequestContext(Identity("ada", tenant="elsewhere"))

STRANGERS = (
    BOB,
    ADA_ELSEWHERE,
    # Whom the collations of databases take for Ada: other case, trailing space, accents, invisible characters.
    RequestContext(Identity("ADA")),
    RequestContext(Identity("ada ")),
    RequestContext(Identity("ad\u00e1")),
    RequestContext(Identity("ada\u200b")),
    RequestContext(Identity("ada", tenant="Default")),
    RequestContext(Identity("ada", tenant="default ")),
    # Whose names, written one after the other, are Ada's.
    RequestContext(Identity("da", tenant="defaulta")),
)
"""People who are not Ada and own nothing of hers."""

NASTY = "quote ' \" back\\slash \u2028 \U0001f600 % _ ; -- \x7f e\u0301"
"""Text that must come back as it is."""

UNKEEPABLE = ("a\x00b", "a\ud800b")
"""Text that some databases refuse: with a NUL, and with half a surrogate pair, which UTF-8 cannot write."""

NOBODYS_IDS = ("unknown", "x\x00", "x\ud800", "x" * 300, "' OR 1=1 --", "%", "\U0001f600")
"""Ids that nothing has. Clients can send all of them."""

_MOST_PAGES = 200


def a_thread(store: Store[Any], **fields: Any) -> ThreadMetadata:
    """A thread of Ada's that is not saved yet."""
    given: dict[str, Any] = {"id": store.generate_thread_id(ADA), "created_at": datetime.now(), **fields}  # noqa: DTZ005
    return ThreadMetadata(**given)


async def a_saved_thread(store: Store[Any]) -> ThreadMetadata:
    """A thread of Ada's with a title and metadata."""
    thread = a_thread(store, title="A title", metadata={"k": [1, None, {"n": None}]})
    await store.save_thread(thread, ADA)
    return thread


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


async def add_said(store: Store[Any], thread: ThreadMetadata, *words: str) -> list[AssistantMessageItem]:
    """Messages of the assistant, added one after the other."""
    items = [said(store, thread, text) for text in words]
    for item in items:
        await store.add_thread_item(thread.id, item, ADA)
    return items


def texts(page: Page[ThreadItem]) -> list[str]:
    """What the messages of a page say."""
    return [item.content[0].text for item in page.data if isinstance(item, AssistantMessageItem)]


async def all_texts(
    store: Store[Any], thread: ThreadMetadata, order: str = "asc", *, limit: int = 50
) -> list[str]:
    """What the messages of one of Ada's threads say, read page by page."""
    items = await every_page(lambda after: store.load_thread_items(thread.id, after, limit, order, ADA))
    return texts(Page(data=items))


async def all_threads(store: Store[Any], order: str, *, limit: int) -> list[ThreadMetadata]:
    """Ada's threads, read page by page."""
    return await every_page(lambda after: store.load_threads(limit, after, order, ADA))


async def every_page[T: (ThreadItem, ThreadMetadata)](
    load: Callable[[str | None], Awaitable[Page[T]]],
) -> list[T]:
    """What all pages hold, in order. Each page must say truly whether there is more, and after what."""
    seen: list[T] = []
    after: str | None = None
    for _ in range(_MOST_PAGES):
        page = await load(after)
        seen += page.data
        assert (page.after is not None) == page.has_more
        if not page.has_more:
            return seen
        assert page.data, "a page that says there is more holds nothing"
        assert page.after == page.data[-1].id
        after = page.after
    pytest.fail(f"there is still more after {_MOST_PAGES} pages")


def is_kept_or_cleaned(kept: str | None, given: str) -> bool:
    """Whether a text of `UNKEEPABLE` is as it was, or has something harmless where the bad character was."""
    assert kept is not None
    return kept == given or (kept.startswith("a") and kept.endswith("b") and len(kept) <= len("a???b"))


class StoreSuite:
    """Part of `StoreContract`. Each test uses a store that is empty."""

    @pytest.fixture
    async def thread(self, store: Store[Any]) -> ThreadMetadata:
        """A saved thread of Ada's."""
        return await a_saved_thread(store)

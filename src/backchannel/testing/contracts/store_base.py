"""Shared by the store suites: owners, sample data, and helpers for reading it."""

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
    # Equal to Ada in some database collations: other case, trailing space, accents, invisible characters.
    RequestContext(Identity("ADA")),
    RequestContext(Identity("ada ")),
    RequestContext(Identity("ad\u00e1")),
    RequestContext(Identity("ada\u200b")),
    RequestContext(Identity("ada", tenant="Default")),
    RequestContext(Identity("ada", tenant="default ")),
    # Equal to Ada if tenant and user are concatenated.
    RequestContext(Identity("da", tenant="defaulta")),
)
"""Other owners than Ada."""

NASTY = "quote ' \" back\\slash \u2028 \U0001f600 % _ ; -- \x7f e\u0301"
"""Special characters that must come back unchanged."""

UNSTORABLE_TEXTS = ("a\x00b", "a\ud800b")
"""Texts that some databases reject: with a NUL, and with a lone surrogate, which UTF-8 cannot encode."""

UNKNOWN_IDS = ("unknown", "x\x00", "x\ud800", "x" * 300, "' OR 1=1 --", "%", "\U0001f600")
"""Unknown and malformed ids that a client could send."""

_MAX_PAGES = 200


def a_thread(store: Store[Any], **fields: Any) -> ThreadMetadata:
    """A thread of Ada's that is not saved yet."""
    values: dict[str, Any] = {"id": store.generate_thread_id(ADA), "created_at": datetime.now(), **fields}  # noqa: DTZ005
    return ThreadMetadata(**values)


async def a_saved_thread(store: Store[Any]) -> ThreadMetadata:
    """A thread of Ada's with a title and metadata."""
    thread = a_thread(store, title="A title", metadata={"k": [1, None, {"n": None}]})
    await store.save_thread(thread, ADA)
    return thread


def assistant_message(
    store: Store[Any], thread: ThreadMetadata, text: str, **fields: Any
) -> AssistantMessageItem:
    """An assistant message that is not saved yet."""
    values: dict[str, Any] = {
        "id": store.generate_item_id("message", thread, ADA),
        "thread_id": thread.id,
        "created_at": datetime.now(),  # noqa: DTZ005 - as the SDK makes dates
        "content": [AssistantMessageContent(text=text)],
        **fields,
    }
    return AssistantMessageItem(**values)


async def add_messages(store: Store[Any], thread: ThreadMetadata, *words: str) -> list[AssistantMessageItem]:
    """Add assistant messages, one after the other."""
    items = [assistant_message(store, thread, text) for text in words]
    for item in items:
        await store.add_thread_item(thread.id, item, ADA)
    return items


def texts(page: Page[ThreadItem]) -> list[str]:
    """The texts of the assistant messages of a page."""
    return [item.content[0].text for item in page.data if isinstance(item, AssistantMessageItem)]


async def all_texts(
    store: Store[Any], thread: ThreadMetadata, order: str = "asc", *, limit: int = 50
) -> list[str]:
    """The texts of the assistant messages of one of Ada's threads, read in pages of `limit`."""
    items = await every_page(lambda after: store.load_thread_items(thread.id, after, limit, order, ADA))
    return texts(Page(data=items))


async def all_threads(store: Store[Any], order: str, *, limit: int) -> list[ThreadMetadata]:
    """Ada's threads, read in pages of `limit`."""
    return await every_page(lambda after: store.load_threads(limit, after, order, ADA))


async def every_page[T: (ThreadItem, ThreadMetadata)](
    load: Callable[[str | None], Awaitable[Page[T]]],
) -> list[T]:
    """The entries of all pages, in order. Asserts that `has_more` and `after` of each page are right."""
    entries: list[T] = []
    after: str | None = None
    for _ in range(_MAX_PAGES):
        page = await load(after)
        entries += page.data
        assert (page.after is not None) == page.has_more
        if not page.has_more:
            return entries
        assert page.data, "an empty page with has_more"
        assert page.after == page.data[-1].id
        after = page.after
    pytest.fail(f"has_more after {_MAX_PAGES} pages")


def is_stored_or_cleaned(stored: str | None, original: str) -> bool:
    """Whether a text of `UNSTORABLE_TEXTS` was stored unchanged, or with a replacement for the invalid character."""
    assert stored is not None
    return stored == original or (
        stored.startswith("a") and stored.endswith("b") and len(stored) <= len("a???b")
    )


class StoreSuite:
    """The fixtures of all store suites. Each test uses an empty store."""

    @pytest.fixture
    async def thread(self, store: Store[Any]) -> ThreadMetadata:
        """A saved thread of Ada's."""
        return await a_saved_thread(store)

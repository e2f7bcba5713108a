"""The rivals: stores as the SDK's samples write them.

`MemoryStore` has lists that are copied and sorted for each page. `PlainStore` has Python's `sqlite3`, a connection a
call and JSON in rows: no index but the primary keys, order by date, pages by date, no sequence, no search, no tenant.
The work is done in the event loop, which stands still meanwhile. The context of both is the person's name.
"""

import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any, override

from chatkit.store import NotFoundError, Store
from chatkit.types import Attachment, Page, ThreadItem, ThreadMetadata
from pydantic import TypeAdapter

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)

_TABLES = (
    "CREATE TABLE threads (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, created_at TEXT NOT NULL, data TEXT NOT NULL)",
    (
        "CREATE TABLE items (id TEXT PRIMARY KEY, thread_id TEXT NOT NULL, user_id TEXT NOT NULL, "
        "created_at TEXT NOT NULL, data TEXT NOT NULL)"
    ),
)


class _WithoutAttachments(Store[str]):
    """The samples leave attachments out, too."""

    @override
    async def save_attachment(self, attachment: Attachment, context: str) -> None:
        raise NotImplementedError

    @override
    async def load_attachment(self, attachment_id: str, context: str) -> Attachment:
        raise NotImplementedError

    @override
    async def delete_attachment(self, attachment_id: str, context: str) -> None:
        raise NotImplementedError


class MemoryStore(_WithoutAttachments):
    """Everything in dictionaries; nobody's in particular."""

    def __init__(self) -> None:
        self._threads: dict[str, ThreadMetadata] = {}
        self._items: dict[str, list[ThreadItem]] = defaultdict(list)

    @override
    async def load_thread(self, thread_id: str, context: str) -> ThreadMetadata:
        try:
            return self._threads[thread_id]
        except KeyError:
            raise NotFoundError(f"There is no thread {thread_id}.") from None

    @override
    async def save_thread(self, thread: ThreadMetadata, context: str) -> None:
        self._threads[thread.id] = thread

    @override
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: str
    ) -> Page[ThreadMetadata]:
        return _page(list(self._threads.values()), after, limit, order)

    @override
    async def delete_thread(self, thread_id: str, context: str) -> None:
        self._threads.pop(thread_id, None)
        self._items.pop(thread_id, None)

    @override
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: str
    ) -> Page[ThreadItem]:
        return _page(self._items.get(thread_id, []), after, limit, order)

    @override
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: str) -> None:
        self._items[thread_id].append(item)

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: str) -> None:
        items = self._items[thread_id]
        for index, known in enumerate(items):
            if known.id == item.id:
                items[index] = item
                return
        items.append(item)

    @override
    async def load_item(self, thread_id: str, item_id: str, context: str) -> ThreadItem:
        for item in self._items.get(thread_id, []):
            if item.id == item_id:
                return item
        raise NotFoundError(f"There is no item {item_id}.")

    @override
    async def delete_thread_item(self, thread_id: str, item_id: str, context: str) -> None:
        self._items[thread_id] = [item for item in self._items.get(thread_id, []) if item.id != item_id]


def _page[T: (ThreadMetadata, ThreadItem)](
    rows: list[T], after: str | None, limit: int, order: str
) -> Page[T]:
    rows = sorted(rows, key=lambda row: row.created_at, reverse=order == "desc")
    start = next((index + 1 for index, row in enumerate(rows) if row.id == after), 0)
    data = rows[start : start + limit]
    has_more = start + limit < len(rows)
    return Page(data=data, has_more=has_more, after=data[-1].id if has_more and data else None)


class PlainStore(_WithoutAttachments):
    """A connection a call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with sqlite3.connect(path) as connection:
            for statement in _TABLES:
                connection.execute(statement)

    def fill(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Put many rows at once, to have something to measure on."""
        places = ", ".join("?" * len(rows[0]))
        with sqlite3.connect(self.path) as connection:
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)

    @override
    async def load_thread(self, thread_id: str, context: str) -> ThreadMetadata:
        found = self._rows("SELECT data FROM threads WHERE id = ? AND user_id = ?", thread_id, context)
        if not found:
            raise NotFoundError(f"There is no thread {thread_id}.")
        return ThreadMetadata.model_validate_json(found[0])

    @override
    async def save_thread(self, thread: ThreadMetadata, context: str) -> None:
        data = thread.model_dump_json()
        values = thread.id, context, thread.created_at.isoformat(), data
        self._change("INSERT OR REPLACE INTO threads VALUES (?, ?, ?, ?)", *values)

    @override
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: str
    ) -> Page[ThreadMetadata]:
        where, values = _after("threads", after, order)
        rows = self._rows(
            f"SELECT data FROM threads WHERE user_id = ? {where} ORDER BY created_at {order} LIMIT ?",
            context,
            *values,
            limit + 1,
        )
        threads = [ThreadMetadata.model_validate_json(data) for data in rows]
        last = threads[limit - 1].id if len(threads) > limit else None
        return Page(data=threads[:limit], has_more=len(threads) > limit, after=last)

    @override
    async def delete_thread(self, thread_id: str, context: str) -> None:
        self._change("DELETE FROM threads WHERE id = ? AND user_id = ?", thread_id, context)
        self._change("DELETE FROM items WHERE thread_id = ? AND user_id = ?", thread_id, context)

    @override
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: str
    ) -> Page[ThreadItem]:
        where, values = _after("items", after, order)
        rows = self._rows(
            f"SELECT data FROM items WHERE thread_id = ? AND user_id = ? {where} "
            f"ORDER BY created_at {order} LIMIT ?",
            thread_id,
            context,
            *values,
            limit + 1,
        )
        items = [_ITEM.validate_json(data) for data in rows]
        last = items[limit - 1].id if len(items) > limit else None
        return Page(data=items[:limit], has_more=len(items) > limit, after=last)

    @override
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: str) -> None:
        values = item.id, thread_id, context, item.created_at.isoformat(), item.model_dump_json()
        self._change("INSERT INTO items VALUES (?, ?, ?, ?, ?)", *values)

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: str) -> None:
        values = item.id, thread_id, context, item.created_at.isoformat(), item.model_dump_json()
        self._change("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)", *values)

    @override
    async def load_item(self, thread_id: str, item_id: str, context: str) -> ThreadItem:
        found = self._rows("SELECT data FROM items WHERE id = ? AND user_id = ?", item_id, context)
        if not found:
            raise NotFoundError(f"There is no item {item_id}.")
        return _ITEM.validate_json(found[0])

    @override
    async def delete_thread_item(self, thread_id: str, item_id: str, context: str) -> None:
        self._change("DELETE FROM items WHERE id = ? AND user_id = ?", item_id, context)

    def _rows(self, statement: str, *values: object) -> list[str]:
        with sqlite3.connect(self.path) as connection:
            return [data for (data,) in connection.execute(statement, values)]

    def _change(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.path) as connection:
            connection.execute(statement, values)


def _after(table: str, after: str | None, order: str) -> tuple[str, tuple[str, ...]]:
    if after is None:
        return "", ()
    sign = "<" if order == "desc" else ">"
    return f"AND created_at {sign} (SELECT created_at FROM {table} WHERE id = ?)", (after,)

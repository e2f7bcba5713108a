"""The rival: a store as the SDK's samples write it, with Python's `sqlite3`, a connection a call and JSON in rows.

No index but the primary keys, order by date, pages by date, no sequence, no search, no tenant. The work is done in
the event loop, which stands still meanwhile.
"""

import sqlite3
from pathlib import Path
from typing import Any

from chatkit.types import Page, ThreadItem, ThreadMetadata
from pydantic import TypeAdapter

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)

_TABLES = (
    "CREATE TABLE threads (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, created_at TEXT NOT NULL, data TEXT NOT NULL)",
    (
        "CREATE TABLE items (id TEXT PRIMARY KEY, thread_id TEXT NOT NULL, user_id TEXT NOT NULL, "
        "created_at TEXT NOT NULL, data TEXT NOT NULL)"
    ),
)


class PlainStore:
    """As much of the pattern as is measured."""

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

    async def load_thread(self, thread_id: str, user: str) -> ThreadMetadata:
        with sqlite3.connect(self.path) as connection:
            found = connection.execute(
                "SELECT data FROM threads WHERE id = ? AND user_id = ?", (thread_id, user)
            ).fetchone()
        return ThreadMetadata.model_validate_json(found[0])

    async def load_threads(self, limit: int, user: str) -> Page[ThreadMetadata]:
        with sqlite3.connect(self.path) as connection:
            found = connection.execute(
                "SELECT data FROM threads WHERE user_id = ? ORDER BY created_at DESC LIMIT ?",
                (user, limit + 1),
            ).fetchall()
        threads = [ThreadMetadata.model_validate_json(data) for (data,) in found]
        return Page(data=threads[:limit], has_more=len(threads) > limit)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, user: str) -> None:
        with sqlite3.connect(self.path) as connection:
            connection.execute(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                (item.id, thread_id, user, item.created_at.isoformat(), item.model_dump_json()),
            )

    async def load_thread_items(self, thread_id: str, limit: int, order: str, user: str) -> Page[ThreadItem]:
        with sqlite3.connect(self.path) as connection:
            found = connection.execute(
                f"SELECT data FROM items WHERE thread_id = ? AND user_id = ? ORDER BY created_at {order} LIMIT ?",
                (thread_id, user, limit + 1),
            ).fetchall()
        items = [_ITEM.validate_json(data) for (data,) in found]
        return Page(data=items[:limit], has_more=len(items) > limit)

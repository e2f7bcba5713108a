"""Full-text search over one user's threads, with each database's own index.

Every message and every title has a row in `search_entries`, written in the same transaction. The row holds the text's
words (`stores.words`), each with a prefix that is derived from its owner. The index entries of different owners are
thereby different, and the cost of a search does not depend on other owners' data. Statements have the condition of
ownership as well.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import and_, false, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity
from backchannel.stores.base import SearchHit, SearchResult
from backchannel.stores.sql.dialects import Dialect
from backchannel.stores.sql.ownership import delete_owned, select_matching, select_owned, upsert_owned
from backchannel.stores.sql.rows import item_of, thread_of
from backchannel.stores.sql.tables import items, search_entries, threads
from backchannel.stores.words import text_of, words_in

TITLE = ""
"""The `item_id` of the row of a thread's title."""

MAX_MATCHES = 500
"""The most matching texts that one search considers, the best ones."""

ITEMS_PER_HIT = 3
"""The most matching messages per thread in the result."""

_PREFIX_LETTERS = 8
# Letters only, so that every engine takes prefix and word as one word. The prefix also prevents that short words and
# stop words are ignored (MariaDB: under three letters, and 36 English ones).
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def entry_values(identity: Identity, thread_id: str, item_id: str, text: str) -> dict[str, Any] | None:
    """The row for a text, without its owner; `None` if the text has no words."""
    prefix = owner_prefix(identity)
    words = " ".join(f"{prefix}{each.word}" for each in words_in(text))
    return {"thread_id": thread_id, "item_id": item_id, "words": words} if words else None


def owner_prefix(identity: Identity) -> str:
    """The prefix of an owner's words in the index. If two owners have the same one, their searches only take longer."""
    owner = f"{len(identity.tenant)}:{identity.tenant}:{identity.user}".encode(errors="replace")
    return hashlib.sha256(owner).hexdigest()[:_PREFIX_LETTERS].translate(_LETTERS)


async def index_text(
    connection: AsyncConnection, dialect: Dialect, identity: Identity, thread_id: str, item_id: str, text: str
) -> None:
    """Index the text of an item or a title, in place of its earlier text."""
    values = entry_values(identity, thread_id, item_id, text)
    if values is None:
        await remove_texts(connection, identity, thread_id, [item_id])
        return
    statement = upsert_owned(
        dialect, identity, search_entries, values, key=("thread_id", "item_id"), change=("words",)
    )
    await connection.execute(statement)


async def remove_texts(
    connection: AsyncConnection, identity: Identity, thread_id: str, item_ids: Iterable[str]
) -> None:
    """Remove items from the index."""
    deletion = delete_owned(identity, search_entries).where(
        search_entries.c.thread_id == thread_id, search_entries.c.item_id.in_(list(item_ids))
    )
    await connection.execute(deletion)


async def find_threads(
    connection: AsyncConnection, dialect: Dialect, identity: Identity, words: Sequence[str], limit: int
) -> SearchResult:
    """The caller's threads with a text that has, for each of `words`, a word that begins with it."""
    entries = await _find_entries(connection, dialect, identity, words)
    by_thread: dict[str, list[str]] = {}
    for thread_id, item_id in entries:
        by_thread.setdefault(thread_id, []).append(item_id)
    shown = list(by_thread)[:limit]
    found = await connection.execute(select_owned(identity, threads).where(threads.c.id.in_(shown)))
    loaded = {row["id"]: thread_of(row) for row in found.mappings()}
    best = [
        (thread_id, item_id)
        for thread_id in shown
        for item_id in [each for each in by_thread[thread_id] if each != TITLE][:ITEMS_PER_HIT]
    ]
    # Not a list of pairs, for which SQLite uses no index.
    wanted = [and_(items.c.thread_id == thread_id, items.c.id == item_id) for thread_id, item_id in best]
    matching = select_owned(identity, items, items.c.thread_id, items.c.id, items.c.data).where(
        or_(false(), *wanted)
    )
    rows = (await connection.execute(matching)).mappings()
    texts = {(row["thread_id"], row["id"]): text_of(item_of(row["data"])) for row in rows}
    hits = [
        SearchHit(
            loaded[each],
            [(item_id, texts[thread_id, item_id]) for thread_id, item_id in best if thread_id == each],
        )
        for each in shown
        # Threads and items may have been deleted between the statements.
        if each in loaded and all(key in texts for key in best if key[0] == each)
    ]
    more = len(by_thread) > limit or len(entries) == MAX_MATCHES
    return SearchResult(words=words, hits=hits, has_more=more)


async def _find_entries(
    connection: AsyncConnection, dialect: Dialect, identity: Identity, words: Sequence[str]
) -> Sequence[tuple[str, str]]:
    """`(thread_id, item_id)` of the best `MAX_MATCHES` texts, the best first."""
    prefix = owner_prefix(identity)
    match = dialect.search(search_entries, [f"{prefix}{word}" for word in words])
    statement = select_matching(
        identity, search_entries, match, search_entries.c.thread_id, search_entries.c.item_id
    )
    rows = await connection.execute(statement.limit(MAX_MATCHES))
    return [(row["thread_id"], row["item_id"]) for row in rows.mappings()]

"""Full-text search over one person's threads, by each database's own engine.

Every message and every title has a row in `search_entries`, written in the transaction that writes the message.
The row holds the text's words (`stores.words`), each behind a sign that stands for its owner: in the index everybody
has words of their own, so that a search costs what the caller has written, however much others have. The condition of
ownership is there all the same.
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
"""The `item_id` of a title's entry."""

MAX_MATCHES = 500
"""How many of the best matches one search looks at."""

ITEMS_PER_HIT = 3
"""How many matching messages of a thread are given."""

_SIGN_LETTERS = 8
# Letters only, so that with any word behind it a sign is one word to every engine. They also keep short and frequent
# words from being left out (MariaDB: under three letters, and 36 English ones).
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def entry_values(identity: Identity, thread_id: str, item_id: str, text: str) -> dict[str, Any] | None:
    """The row that makes a text findable; `None` if there is nothing to find."""
    sign = owner_sign(identity)
    words = " ".join(f"{sign}{each.word}" for each in words_in(text))
    return {"thread_id": thread_id, "item_id": item_id, "words": words} if words else None


def owner_sign(identity: Identity) -> str:
    """What stands before every word of a person's in the index. Two people who share one cost each other time only."""
    whole = f"{len(identity.tenant)}:{identity.tenant}:{identity.user}".encode(errors="replace")
    return hashlib.sha256(whole).hexdigest()[:_SIGN_LETTERS].translate(_LETTERS)


async def put_entry(
    connection: AsyncConnection, dialect: Dialect, identity: Identity, thread_id: str, item_id: str, text: str
) -> None:
    """Make a text findable in place of what the same item or title said before."""
    values = entry_values(identity, thread_id, item_id, text)
    if values is None:
        await remove_entries(connection, identity, thread_id, [item_id])
        return
    statement = upsert_owned(
        dialect, identity, search_entries, values, key=("thread_id", "item_id"), change=("words",)
    )
    await connection.execute(statement)


async def remove_entries(
    connection: AsyncConnection, identity: Identity, thread_id: str, item_ids: Iterable[str]
) -> None:
    """Make items findable no more."""
    gone = delete_owned(identity, search_entries).where(
        search_entries.c.thread_id == thread_id, search_entries.c.item_id.in_(list(item_ids))
    )
    await connection.execute(gone)


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
    # Spelled out, because SQLite uses no index for a list of pairs.
    wanted = [and_(items.c.thread_id == thread_id, items.c.id == item_id) for thread_id, item_id in best]
    matching = select_owned(identity, items, items.c.thread_id, items.c.id, items.c.data).where(
        or_(false(), *wanted)
    )
    rows = (await connection.execute(matching)).mappings()
    texts = {(row["thread_id"], row["id"]): text_of(item_of(row["data"])) for row in rows}
    hits = [
        SearchHit(
            loaded[each], [(item_id, texts[place, item_id]) for place, item_id in best if place == each]
        )
        for each in shown
        # What was deleted in this moment is not shown.
        if each in loaded and all(key in texts for key in best if key[0] == each)
    ]
    more = len(by_thread) > limit or len(entries) == MAX_MATCHES
    return SearchResult(words=words, hits=hits, has_more=more)


async def _find_entries(
    connection: AsyncConnection, dialect: Dialect, identity: Identity, words: Sequence[str]
) -> Sequence[tuple[str, str]]:
    """`(thread_id, item_id)` of the best `MAX_MATCHES` texts, the best first."""
    sign = owner_sign(identity)
    match = dialect.search(search_entries, [f"{sign}{word}" for word in words])
    statement = select_matching(
        identity, search_entries, match, search_entries.c.thread_id, search_entries.c.item_id
    )
    rows = await connection.execute(statement.limit(MAX_MATCHES))
    return [(row["thread_id"], row["item_id"]) for row in rows.mappings()]

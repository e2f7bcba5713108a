"""Search, creation times of feedback, and indexes for retention and for erasing a user's data.

Only adds: code of version 0001 works on the result, but does not index for search what it writes.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from backchannel.context import Identity
from backchannel.stores.sql.rows import item_of
from backchannel.stores.sql.search import TITLE, entry_values
from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime
from backchannel.stores.words import text_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BATCH = 500

INDEXES = {
    "ix_threads_updated_at": ("threads", ["updated_at"]),
    "ix_runs_tenant_user_id": ("runs", ["tenant", "user_id"]),
    "ix_runs_created_at": ("runs", ["created_at"]),
    "ix_usage_created_at": ("usage", ["created_at"]),
}


def table(name: str, *columns: str) -> sa.TableClause:
    """The columns of a table that this migration needs. Not from `tables.py`, which may be of a later version."""
    return sa.table(name, *(sa.column(column, sa.Text) for column in columns))


SEARCH_ENTRIES = table("search_entries", "thread_id", "item_id", "tenant", "user_id", "words")
THREADS = table("threads", "id", "tenant", "user_id", "title")
ITEMS = table("items", "thread_id", "seq", "id", "tenant", "user_id", "type", "data")


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    op.add_column("feedback", sa.Column("created_at", UtcDateTime()))
    create_search_entries()
    # Before the index is created, because updating it row by row would take several times as long.
    fill(THREADS, [THREADS.c.id], titles)
    fill(ITEMS, [ITEMS.c.thread_id, ITEMS.c.seq], messages)
    create_full_text_index()


def create_search_entries() -> None:
    op.create_table(
        "search_entries",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("thread_id", Exact(80), nullable=False),
        sa.Column("item_id", Exact(255), nullable=False),
        sa.Column("tenant", Exact(255), nullable=False),
        sa.Column("user_id", Exact(255), nullable=False),
        sa.Column("words", LongText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_entries"),
        sa.UniqueConstraint("thread_id", "item_id", name="uq_search_entries_thread_id_item_id"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], ondelete="CASCADE", name="fk_search_entries_thread_id"
        ),
    )


def create_full_text_index() -> None:
    match op.get_bind().dialect.name:
        case "sqlite":
            for statement in FTS5:
                op.execute(statement)
        case "postgresql":
            op.execute(
                "ALTER TABLE search_entries ADD COLUMN lexemes tsvector NOT NULL "
                "GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED"
            )
            op.create_index(
                "ix_search_entries_lexemes", "search_entries", ["lexemes"], postgresql_using="gin"
            )
        case _:
            op.create_index("ix_search_entries_words", "search_entries", ["words"], mysql_prefix="FULLTEXT")


# The index has no copy of the words; triggers pass it the old ones, also when entries are deleted with their thread.
# Source: https://www.sqlite.org/fts5.html#external_content_tables
FTS5 = (
    (
        "CREATE VIRTUAL TABLE search_index USING fts5("
        "words, content='search_entries', content_rowid='id', tokenize='unicode61 remove_diacritics 0')"
    ),
    "INSERT INTO search_index(search_index) VALUES ('rebuild')",
    (
        "CREATE TRIGGER search_entries_added AFTER INSERT ON search_entries BEGIN "
        "INSERT INTO search_index(rowid, words) VALUES (new.id, new.words); END"
    ),
    (
        "CREATE TRIGGER search_entries_removed AFTER DELETE ON search_entries BEGIN "
        "INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.id, old.words); END"
    ),
    (
        "CREATE TRIGGER search_entries_changed AFTER UPDATE OF words ON search_entries BEGIN "
        "INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.id, old.words); "
        "INSERT INTO search_index(rowid, words) VALUES (new.id, new.words); END"
    ),
)


def fill(table: sa.TableClause, keys: list[Any], read: Any) -> None:
    """Index existing rows, in batches, so that memory does not grow with the database."""
    connection = op.get_bind()
    last: tuple[Any, ...] | None = None
    while True:
        statement = sa.select(table).order_by(*keys).limit(BATCH)
        if last is not None:
            statement = statement.where(keyset_after(keys, last))
        rows = connection.execute(statement).mappings().all()
        if found := list(read(rows)):
            connection.execute(SEARCH_ENTRIES.insert(), found)
        if len(rows) < BATCH:
            return
        last = tuple(rows[-1][key.name] for key in keys)


def keyset_after(keys: list[Any], last: tuple[Any, ...]) -> Any:
    if len(keys) == 1:
        return keys[0] > last[0]
    return sa.and_(keys[0] >= last[0], sa.or_(keys[0] > last[0], keys[1] > last[1]))


def titles(rows: Any) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield from entry(row, row["id"], TITLE, row["title"] or "")


def messages(rows: Any) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["type"] in {"user_message", "assistant_message"}:
            yield from entry(row, row["thread_id"], row["id"], text_of(item_of(row["data"])))


def entry(row: Any, thread_id: str, item_id: str, text: str) -> Iterator[dict[str, Any]]:
    owner = Identity(row["user_id"], tenant=row["tenant"])
    values = entry_values(owner, thread_id, item_id, text)
    if values is not None:
        yield {**values, "tenant": owner.tenant, "user_id": owner.user}


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_index")
    op.drop_table("search_entries")
    with op.batch_alter_table("feedback") as feedback:
        feedback.drop_column("created_at")
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)

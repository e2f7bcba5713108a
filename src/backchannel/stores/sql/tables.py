"""The tables, as the newest migration leaves them. A test compares the two.

Every table carries its owner, `(tenant, user)`, so that ownership is one condition on one table
(`ownership.py`) and never depends on a join.
"""

from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = Exact(80)
ITEM_ID = Exact(255)
OWNER = Exact(255)


def owner_columns() -> tuple[Column[str], Column[str]]:
    """The two columns that say whose a row is. Tables of applications use them too."""
    return Column("tenant", OWNER, nullable=False), Column("user_id", OWNER, nullable=False)


threads = Table(
    "threads",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    Column("title", LongText),
    Column("status", JSON, nullable=False),
    Column("allowed_image_domains", JSON(none_as_null=True)),
    Column("metadata", JSON, nullable=False),
    # The sequence number of the newest item: numbering items takes one row lock and no search.
    Column("last_seq", BigId, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Index(None, "tenant", "user_id", "created_at", "id"),
    Index(None, "updated_at"),
)

items = Table(
    "items",
    metadata,
    Column("thread_id", ID, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigId, nullable=False),
    Column("id", ITEM_ID, nullable=False),
    *owner_columns(),
    Column("type", Exact(40), nullable=False),
    Column("data", LongText, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    PrimaryKeyConstraint("thread_id", "seq"),
    # An id is unique within its thread only: a model that repeats ids can never reach another thread.
    UniqueConstraint("thread_id", "id"),
)

attachments = Table(
    "attachments",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    Column("thread_id", ID),
    Column("data", LongText, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Index(None, "tenant", "user_id", "created_at"),
    Index(None, "thread_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("thread_id", ID, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("item_id", ITEM_ID, nullable=False),
    *owner_columns(),
    Column("kind", Exact(20), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    # None in rows from before version 0002.
    Column("created_at", UtcDateTime()),
    PrimaryKeyConstraint("thread_id", "item_id"),
    Index(None, "tenant", "user_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    # No foreign key: the thread may be in a store of the application's own.
    Column("thread_id", Exact(255), nullable=False),
    Column("operation", Exact(40), nullable=False),
    Column("status", Exact(20), nullable=False),
    Column("error_code", Exact(60)),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("ended_at", UtcDateTime()),
    Index(None, "thread_id", "created_at", "id"),
    Index(None, "status"),
    Index(None, "tenant", "user_id"),
    Index(None, "created_at"),
)

usage = Table(
    "usage",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    *owner_columns(),
    Column("run_id", ID, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("input_tokens", BigId, nullable=False),
    Column("output_tokens", BigId, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Index(None, "tenant", "user_id", "created_at"),
    Index(None, "created_at"),
)

search_entries = Table(
    "search_entries",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("thread_id", ID, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    # Empty for the thread's title.
    Column("item_id", ITEM_ID, nullable=False),
    *owner_columns(),
    # What `search_words` makes of the text. Each database has an index on it that only it knows (migration 0002).
    Column("words", LongText, nullable=False),
    UniqueConstraint("thread_id", "item_id"),
)

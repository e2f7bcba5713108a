"""The tables, as the newest migration leaves them. A test compares the two.

Every table carries its owner, `(tenant, user)`, so that ownership is one condition on one table
(`ownership.py`) and never depends on a join.
"""

from sqlalchemy import (
    JSON,
    Boolean,
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
    Column("started_at", UtcDateTime()),
    # What is needed to answer again: the request and who sent it, as JSON. None once the run has ended.
    Column("request", LongText),
    Column("caller", LongText),
    # The newest item of the thread when the answer began; what comes after it is the run's own.
    Column("began_after", ITEM_ID),
    # The queue that the run waits in: a digest of owner and thread. Unique in `holds`, so that of all runs of a
    # thread, on all replicas, one at a time goes on.
    Column("queue", Exact(64)),
    Column("holds", Exact(64)),
    Column("replica", ID),
    Column("fence", BigId, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    # How the run shall end, once somebody asked for that.
    Column("stop", Exact(20)),
    UniqueConstraint("holds"),
    Index(None, "thread_id", "created_at", "id"),
    Index(None, "status"),
    Index(None, "queue", "status"),
    Index(None, "replica"),
    Index(None, "tenant", "user_id"),
    Index(None, "created_at"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", ID, primary_key=True),
    # Where the process runs, so that another one there can see whether it still does.
    Column("host", Exact(255), nullable=False),
    Column("pid", BigId, nullable=False),
    # Counted up by the living. Compared with itself only: no clock of one machine is compared with another's.
    Column("beat", BigId, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime(), nullable=False),
)

run_logs = Table(
    "run_logs",
    metadata,
    Column("run_id", ID, primary_key=True),
    *owner_columns(),
    # Of the one process that may write.
    Column("fence", BigId, nullable=False),
    Column("last_seq", BigId, nullable=False, server_default="0"),
    Column("ended_at", UtcDateTime()),
    Index(None, "tenant", "user_id"),
    Index(None, "ended_at"),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", ID, nullable=False),
    # Of the first event; text deltas that were written together are one row.
    Column("seq", BigId, nullable=False),
    *owner_columns(),
    Column("head", LongText, nullable=False),
    Column("text", LongText),
    # Where each delta ends in `text`, in characters, as decimal numbers with commas.
    Column("ends", LongText),
    Column("plain", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
    Index(None, "tenant", "user_id"),
)

attempts = Table(
    "attempts",
    metadata,
    # A digest of the caller and their Idempotency-Key.
    Column("id", Exact(64), primary_key=True),
    *owner_columns(),
    # A digest of the request that the key was used for.
    Column("request", Exact(64), nullable=False),
    Column("run_id", ID),
    # The answer of an op that makes no run, as it was sent.
    Column("response", LongText),
    Column("created_at", UtcDateTime(), nullable=False),
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
    Index(None, "run_id"),
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

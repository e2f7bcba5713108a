"""The tables, as after the newest migration. A test compares the two.

Every table with users' data has columns for the owner, so that ownership is a condition on one table (`ownership.py`)
and never depends on a join. Those of accounts are in `tables_accounts`.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from backchannel.stores.sql.tables_accounts import (
    audit_log,
    login_attempts,
    login_failures,
    provider_logins,
    sessions,
    user_addresses,
    users,
)
from backchannel.stores.sql.tables_base import ID, ITEM_ID, OWNER, metadata, owner_columns
from backchannel.stores.sql.tables_budgets import budget_accounts, budget_reservations
from backchannel.stores.sql.tables_files import file_deletions, file_quotas, files
from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

__all__ = [
    "ID",
    "ITEM_ID",
    "OWNER",
    "attachments",
    "attempts",
    "audit_log",
    "budget_accounts",
    "budget_reservations",
    "feedback",
    "file_deletions",
    "file_quotas",
    "files",
    "items",
    "login_attempts",
    "login_failures",
    "metadata",
    "owner_columns",
    "provider_logins",
    "replicas",
    "run_events",
    "run_logs",
    "runs",
    "search_entries",
    "sessions",
    "threads",
    "usage",
    "user_addresses",
    "users",
]

threads = Table(
    "threads",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    Column("title", LongText),
    Column("status", JSON, nullable=False),
    Column("allowed_image_domains", JSON(none_as_null=True)),
    Column("metadata", JSON, nullable=False),
    # The sequence number of the newest item, so that numbering an item needs one row lock and no query.
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
    # Unique within the thread only: an id that a model repeats must not affect another thread.
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
    # NULL in rows from before version 0002.
    Column("created_at", UtcDateTime()),
    PrimaryKeyConstraint("thread_id", "item_id"),
    Index(None, "tenant", "user_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    # No foreign key: the thread may be in a store of the application.
    Column("thread_id", Exact(255), nullable=False),
    Column("operation", Exact(40), nullable=False),
    Column("status", Exact(20), nullable=False),
    Column("error_code", Exact(60)),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("ended_at", UtcDateTime()),
    Column("started_at", UtcDateTime()),
    # For a retry: the request and its context, as JSON. NULL once the run has ended.
    Column("request", LongText),
    Column("caller", LongText),
    # The newest item of the thread when the answer began; later ones belong to the run.
    Column("began_after", ITEM_ID),
    # The queue of the run: a digest of owner and thread. Unique in `holds`, so that at most one run of a thread is
    # running, on all replicas.
    Column("queue", Exact(64)),
    Column("holds", Exact(64)),
    Column("replica", ID),
    Column("fence", BigId, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    # The status with which the run is to end, after a stop request.
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
    # The machine of the process, on which other processes can check whether it is running.
    Column("host", Exact(255), nullable=False),
    Column("pid", BigId, nullable=False),
    # Grows with each heartbeat. Others see whether it has changed, so that clocks of machines are never compared.
    Column("beat", BigId, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime(), nullable=False),
)

run_logs = Table(
    "run_logs",
    metadata,
    Column("run_id", ID, primary_key=True),
    *owner_columns(),
    # The fence of the current writer.
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
    # The number of the first event; text deltas of one segment are one row.
    Column("seq", BigId, nullable=False),
    *owner_columns(),
    Column("head", LongText, nullable=False),
    Column("text", LongText),
    # The offset in `text` at which each delta ends, in characters, as decimal numbers separated by commas.
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
    # The response of an operation that starts no run.
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
    # NULL in rows from before version 0005, and for what an application's own server has booked.
    Column("model", Exact(200)),
    Column("purpose", Exact(20)),
    Column("cached_tokens", BigId, nullable=False, server_default="0"),
    # In billionths of the currency's unit; NULL without prices.
    Column("cost", BigId),
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
    # The result of `search.entry_values`. Its full-text index is different on each database (migration 0002).
    Column("words", LongText, nullable=False),
    UniqueConstraint("thread_id", "item_id"),
)

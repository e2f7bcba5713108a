"""The tables of files: what is known of each, whose quota is being used, and whose bytes are to be deleted."""

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table

from backchannel.stores.sql.tables_base import ID, metadata, owner_columns
from backchannel.stores.sql.types import BigId, Exact, UtcDateTime

files = Table(
    "files",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    Column("status", Exact(10), nullable=False),
    Column("name", Exact(255), nullable=False),
    Column("mime_type", Exact(255), nullable=False),
    Column("kind", Exact(10), nullable=False),
    Column("size", BigId, nullable=False),
    # Names the upload whose bytes it has; empty while it has none.
    Column("version", Exact(20), nullable=False),
    # No foreign key: the thread may be in a store of the application.
    Column("thread_id", Exact(255)),
    Column("width", Integer),
    Column("height", Integer),
    Column("preview_type", Exact(255)),
    Column("model_type", Exact(255)),
    Column("tokens", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime(), nullable=False),
    # NULL once it is part of a message.
    Column("expires_at", UtcDateTime()),
    Index(None, "tenant", "user_id", "created_at"),
    Index(None, "thread_id"),
    Index(None, "expires_at"),
)

# Locked while a file is added, so that the sum of two that are added at once is exact.
file_quotas = Table(
    "file_quotas",
    metadata,
    *owner_columns(),
    Column("used_at", UtcDateTime(), nullable=False),
    PrimaryKeyConstraint("tenant", "user_id"),
)

# Without an owner: the rows outlive the person's, and say nothing about them.
file_deletions = Table(
    "file_deletions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("due_at", UtcDateTime(), nullable=False),
    Index(None, "due_at"),
)

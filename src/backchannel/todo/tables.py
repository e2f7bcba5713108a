"""The table of todos, at the version of the newest migration."""

from sqlalchemy import Boolean, Column, DateTime, Index, MetaData, SmallInteger, Table

from backchannel.sql import Exact, Migrations, UtcDateTime, owner_columns

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

todos = Table(
    "todos",
    metadata,
    Column("id", Exact(80), primary_key=True),
    *owner_columns(),
    Column("title", Exact(200), nullable=False),
    Column("description", Exact(1000), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("status", Exact(20), nullable=False),
    # Wall time without a time zone; see `due_dates`.
    Column("due_at", DateTime),
    Column("due_has_time", Boolean, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("completed_at", UtcDateTime()),
    Index(None, "tenant", "user_id", "status", "due_at"),
    Index(None, "tenant", "user_id", "created_at"),
)

MIGRATIONS = Migrations("todo", "backchannel.todo:migrations", metadata)

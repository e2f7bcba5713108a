"""Runs that survive their process: replicas, event logs and idempotency keys.

Only adds: code of version 0002 works on the result.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = Exact(80)

INDEXES = {
    "ix_runs_queue_status": ("runs", ["queue", "status"]),
    "ix_runs_replica": ("runs", ["replica"]),
    "ix_usage_run_id": ("usage", ["run_id"]),
    "ix_run_logs_tenant_user_id": ("run_logs", ["tenant", "user_id"]),
    "ix_run_logs_ended_at": ("run_logs", ["ended_at"]),
    "ix_run_events_tenant_user_id": ("run_events", ["tenant", "user_id"]),
    "ix_attempts_tenant_user_id": ("attempts", ["tenant", "user_id"]),
    "ix_attempts_created_at": ("attempts", ["created_at"]),
}


def owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("tenant", Exact(255), nullable=False), sa.Column("user_id", Exact(255), nullable=False)


def run_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("started_at", UtcDateTime()),
        sa.Column("request", LongText),
        sa.Column("caller", LongText),
        sa.Column("began_after", Exact(255)),
        sa.Column("queue", Exact(64)),
        sa.Column("holds", Exact(64)),
        sa.Column("replica", ID),
        sa.Column("fence", BigId, nullable=False, server_default="0"),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("stop", Exact(20)),
    )


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        for column in run_columns():
            runs.add_column(column)
        runs.create_unique_constraint("uq_runs_holds", ["holds"])
    op.create_table(
        "replicas",
        sa.Column("id", ID, nullable=False),
        sa.Column("host", Exact(255), nullable=False),
        sa.Column("pid", BigId, nullable=False),
        sa.Column("beat", BigId, nullable=False, server_default="0"),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replicas"),
    )
    create_event_log()
    op.create_table(
        "attempts",
        sa.Column("id", Exact(64), nullable=False),
        *owner(),
        sa.Column("request", Exact(64), nullable=False),
        sa.Column("run_id", ID),
        sa.Column("response", LongText),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
    )
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def create_event_log() -> None:
    op.create_table(
        "run_logs",
        sa.Column("run_id", ID, nullable=False),
        *owner(),
        sa.Column("fence", BigId, nullable=False),
        sa.Column("last_seq", BigId, nullable=False, server_default="0"),
        sa.Column("ended_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("run_id", name="pk_run_logs"),
    )
    op.create_table(
        "run_events",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("seq", BigId, nullable=False),
        *owner(),
        sa.Column("head", LongText, nullable=False),
        sa.Column("text", LongText),
        sa.Column("ends", LongText),
        sa.Column("plain", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_run_events"),
    )


def downgrade() -> None:
    for name in ("attempts", "run_events", "run_logs", "replicas"):
        op.drop_table(name)
    op.drop_index("ix_usage_run_id", "usage")
    for name in ("ix_runs_queue_status", "ix_runs_replica"):
        op.drop_index(name, "runs")
    with op.batch_alter_table("runs") as runs:
        runs.drop_constraint("uq_runs_holds", type_="unique")
        for column in run_columns():
            runs.drop_column(column.name)

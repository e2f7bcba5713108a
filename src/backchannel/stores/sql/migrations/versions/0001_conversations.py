"""Threads, items, attachments, feedback, runs and usage."""

import sqlalchemy as sa
from alembic import op

from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = Exact(80)


def owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("tenant", Exact(255), nullable=False), sa.Column("user_id", Exact(255), nullable=False)


def upgrade() -> None:
    create_threads()
    create_items()
    create_attachments()
    create_feedback()
    create_runs()
    create_usage()


def create_threads() -> None:
    op.create_table(
        "threads",
        sa.Column("id", ID, nullable=False),
        *owner(),
        sa.Column("title", LongText),
        sa.Column("status", sa.JSON, nullable=False),
        sa.Column("allowed_image_domains", sa.JSON(none_as_null=True)),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("last_seq", BigId, nullable=False, server_default="0"),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
    )
    op.create_index(
        "ix_threads_tenant_user_id_created_at_id", "threads", ["tenant", "user_id", "created_at", "id"]
    )


def create_items() -> None:
    op.create_table(
        "items",
        sa.Column("thread_id", ID, nullable=False),
        sa.Column("seq", BigId, nullable=False),
        sa.Column("id", Exact(255), nullable=False),
        *owner(),
        sa.Column("type", Exact(40), nullable=False),
        sa.Column("data", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "seq", name="pk_items"),
        sa.UniqueConstraint("thread_id", "id", name="uq_items_thread_id_id"),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], ondelete="CASCADE", name="fk_items_thread_id"),
    )


def create_attachments() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", ID, nullable=False),
        *owner(),
        sa.Column("thread_id", ID),
        sa.Column("data", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attachments"),
    )
    op.create_index(
        "ix_attachments_tenant_user_id_created_at", "attachments", ["tenant", "user_id", "created_at"]
    )
    op.create_index("ix_attachments_thread_id", "attachments", ["thread_id"])


def create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("thread_id", ID, nullable=False),
        sa.Column("item_id", Exact(255), nullable=False),
        *owner(),
        sa.Column("kind", Exact(20), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "item_id", name="pk_feedback"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], ondelete="CASCADE", name="fk_feedback_thread_id"
        ),
    )
    op.create_index("ix_feedback_tenant_user_id", "feedback", ["tenant", "user_id"])


def create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        *owner(),
        sa.Column("thread_id", Exact(255), nullable=False),
        sa.Column("operation", Exact(40), nullable=False),
        sa.Column("status", Exact(20), nullable=False),
        sa.Column("error_code", Exact(60)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_thread_id_created_at_id", "runs", ["thread_id", "created_at", "id"])
    op.create_index("ix_runs_status", "runs", ["status"])


def create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        *owner(),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("input_tokens", BigId, nullable=False),
        sa.Column("output_tokens", BigId, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage"),
    )
    op.create_index("ix_usage_tenant_user_id_created_at", "usage", ["tenant", "user_id", "created_at"])


def downgrade() -> None:
    for table in ("usage", "runs", "feedback", "attachments", "items", "threads"):
        op.drop_table(table)

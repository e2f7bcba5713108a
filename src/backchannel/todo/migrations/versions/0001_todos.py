"""Todos."""

import sqlalchemy as sa
from alembic import op

from backchannel.sql import Exact, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "todos",
        sa.Column("id", Exact(80), nullable=False),
        sa.Column("tenant", Exact(255), nullable=False),
        sa.Column("user_id", Exact(255), nullable=False),
        sa.Column("title", Exact(200), nullable=False),
        sa.Column("description", Exact(1000), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("status", Exact(20), nullable=False),
        sa.Column("due_at", sa.DateTime),
        sa.Column("due_has_time", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_todos"),
    )
    op.create_index(
        "ix_todos_tenant_user_id_status_due_at", "todos", ["tenant", "user_id", "status", "due_at"]
    )
    op.create_index("ix_todos_tenant_user_id_created_at", "todos", ["tenant", "user_id", "created_at"])


def downgrade() -> None:
    op.drop_table("todos")

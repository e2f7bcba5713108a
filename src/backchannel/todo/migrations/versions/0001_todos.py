"""Todos."""

import sqlalchemy as sa
from alembic import op

from backchannel.sql import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "todos",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.String(1000), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
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

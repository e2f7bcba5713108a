"""Files that people upload, and deletions of their bytes.

Only adds: code of version 0006 works on the result.
"""

import sqlalchemy as sa
from alembic import op

from backchannel.stores.sql.types import BigId, Exact, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_files_tenant_user_id_created_at": ("files", ["tenant", "user_id", "created_at"]),
    "ix_files_thread_id": ("files", ["thread_id"]),
    "ix_files_expires_at": ("files", ["expires_at"]),
    "ix_file_deletions_due_at": ("file_deletions", ["due_at"]),
}


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", Exact(80), nullable=False),
        sa.Column("tenant", Exact(255), nullable=False),
        sa.Column("user_id", Exact(255), nullable=False),
        sa.Column("status", Exact(10), nullable=False),
        sa.Column("name", Exact(255), nullable=False),
        sa.Column("mime_type", Exact(255), nullable=False),
        sa.Column("kind", Exact(10), nullable=False),
        sa.Column("size", BigId, nullable=False),
        sa.Column("version", Exact(20), nullable=False),
        sa.Column("thread_id", Exact(255)),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("preview_type", Exact(255)),
        sa.Column("model_type", Exact(255)),
        sa.Column("tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_table(
        "file_quotas",
        sa.Column("tenant", Exact(255), nullable=False),
        sa.Column("user_id", Exact(255), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "user_id", name="pk_file_quotas"),
    )
    op.create_table(
        "file_deletions",
        sa.Column("id", Exact(80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_file_deletions"),
    )
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for table in ("file_deletions", "file_quotas", "files"):
        op.drop_table(table)

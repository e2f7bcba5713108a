"""Logins with an identity provider: attempts, what is known of each login, and names of people without an account.

Only adds: code of version 0005 works on the result.
"""

import sqlalchemy as sa
from alembic import op

from backchannel.stores.sql.types import Exact, LongText, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_login_attempts_expires_at": ("login_attempts", ["expires_at"]),
    "ix_provider_logins_tenant_user_id": ("provider_logins", ["tenant", "user_id"]),
    "ix_provider_logins_expires_at": ("provider_logins", ["expires_at"]),
}


def upgrade() -> None:
    op.add_column("sessions", sa.Column("display_name", Exact(200)))
    op.create_table(
        "login_attempts",
        sa.Column("key", Exact(64), nullable=False),
        sa.Column("browser", Exact(64), nullable=False),
        sa.Column("sealed", LongText, nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_attempts"),
    )
    op.create_table(
        "provider_logins",
        sa.Column("session_id", Exact(80), nullable=False),
        sa.Column("tenant", Exact(255), nullable=False),
        sa.Column("user_id", Exact(255), nullable=False),
        sa.Column("sealed", LongText, nullable=False),
        sa.Column("checked_at", UtcDateTime(), nullable=False),
        sa.Column("check_at", UtcDateTime()),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_provider_logins"),
    )
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    op.drop_table("provider_logins")
    op.drop_table("login_attempts")
    op.drop_column("sessions", "display_name")

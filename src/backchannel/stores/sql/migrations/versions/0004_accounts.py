"""Local users, sessions and tokens, failed logins, and the audit log.

Only adds: code of version 0003 works on the result.
"""

import sqlalchemy as sa
from alembic import op

from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = Exact(80)
DIGEST = Exact(64)
ADDRESS = Exact(64)

INDEXES = {
    "ix_sessions_tenant_user_id_created_at": ("sessions", ["tenant", "user_id", "created_at"]),
    "ix_sessions_family": ("sessions", ["family"]),
    "ix_sessions_expires_at": ("sessions", ["expires_at"]),
    "ix_sessions_ended_at": ("sessions", ["ended_at"]),
    "ix_login_failures_last_at": ("login_failures", ["last_at"]),
    "ix_audit_log_at": ("audit_log", ["at"]),
    "ix_audit_log_tenant_user_id": ("audit_log", ["tenant", "user_id"]),
}


def owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("tenant", Exact(255), nullable=False), sa.Column("user_id", Exact(255), nullable=False)


def upgrade() -> None:
    create_users()
    create_sessions()
    create_failures_and_log()
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        *owner(),
        sa.Column("name", Exact(200), nullable=False),
        sa.Column("display_name", Exact(200), nullable=False),
        sa.Column("password_hash", LongText, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("password_changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sa.UniqueConstraint("tenant", "user_id", name="uq_users_tenant_user_id"),
    )
    op.create_table(
        "user_addresses",
        *owner(),
        sa.Column("address", ADDRESS, nullable=False),
        sa.Column("last_login_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "user_id", "address", name="pk_user_addresses"),
    )


def create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", ID, nullable=False),
        *owner(),
        sa.Column("token_hash", DIGEST, nullable=False),
        sa.Column("kind", Exact(20), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("name", Exact(200)),
        sa.Column("family", ID),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("idle_seconds", sa.Integer),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("user_agent", Exact(200)),
        sa.Column("address", ADDRESS),
        sa.Column("rotated_at", UtcDateTime()),
        sa.Column("rotation_key", DIGEST),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("ended_reason", Exact(40)),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )


def create_failures_and_log() -> None:
    op.create_table(
        "login_failures",
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_failures"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", Exact(60), nullable=False),
        *owner(),
        sa.Column("subject", Exact(255), nullable=False),
        sa.Column("address", ADDRESS),
        sa.Column("request_id", ID),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )


def downgrade() -> None:
    for name in ("audit_log", "login_failures", "sessions", "user_addresses", "users"):
        op.drop_table(name)

"""Budgets: accounts, reservations, and usage by model and purpose.

Only adds: code of version 0004 works on the result. Its rows of usage have no model.
"""

import sqlalchemy as sa
from alembic import op

from backchannel.stores.sql.types import BigId, Exact, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = Exact(80)

INDEXES = {
    "ix_budget_accounts_starts_at": ("budget_accounts", ["starts_at"]),
    "ix_budget_reservations_run_id": ("budget_reservations", ["run_id"]),
    "ix_budget_reservations_expires_at": ("budget_reservations", ["expires_at"]),
    "ix_budget_reservations_tenant_user_id": ("budget_reservations", ["tenant", "user_id"]),
}


def owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("tenant", Exact(255), nullable=False), sa.Column("user_id", Exact(255), nullable=False)


def upgrade() -> None:
    op.create_table(
        "budget_accounts",
        *owner(),
        sa.Column("unit", Exact(10), nullable=False),
        sa.Column("period", Exact(10), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("used", BigId, nullable=False, server_default="0"),
        sa.Column("reserved", BigId, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint(
            "tenant", "user_id", "unit", "period", "starts_at", name="pk_budget_accounts"
        ),
    )
    op.create_table(
        "budget_reservations",
        sa.Column("id", ID, nullable=False),
        *owner(),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("model", Exact(200), nullable=False),
        sa.Column("purpose", Exact(20), nullable=False),
        sa.Column("input_tokens", BigId, nullable=False),
        sa.Column("output_tokens", BigId, nullable=False),
        sa.Column("input_price", BigId, nullable=False),
        sa.Column("output_price", BigId, nullable=False),
        sa.Column("accounts", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budget_reservations"),
    )
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    op.add_column("usage", sa.Column("model", Exact(200)))
    op.add_column("usage", sa.Column("purpose", Exact(20)))
    op.add_column("usage", sa.Column("cached_tokens", BigId, nullable=False, server_default="0"))
    op.add_column("usage", sa.Column("cost", BigId))


def downgrade() -> None:
    for name in ("cost", "cached_tokens", "purpose", "model"):
        op.drop_column("usage", name)
    for name in ("budget_reservations", "budget_accounts"):
        op.drop_table(name)

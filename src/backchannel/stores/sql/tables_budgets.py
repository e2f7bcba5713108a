"""The tables of budgets: accounts, and what is reserved of them for calls in progress."""

from sqlalchemy import JSON, Column, Index, PrimaryKeyConstraint, Table

from backchannel.stores.sql.tables_base import ID, metadata, owner_columns
from backchannel.stores.sql.types import BigId, Exact, UtcDateTime

# An account is of one user or, with an empty user, of a tenant; those stay when a user is erased.
budget_accounts = Table(
    "budget_accounts",
    metadata,
    *owner_columns(),
    # tokens or money; hour, day, week or month.
    Column("unit", Exact(10), nullable=False),
    Column("period", Exact(10), nullable=False),
    Column("starts_at", UtcDateTime(), nullable=False),
    # Tokens, or billionths of the currency's unit.
    Column("used", BigId, nullable=False, server_default="0"),
    Column("reserved", BigId, nullable=False, server_default="0"),
    PrimaryKeyConstraint("tenant", "user_id", "unit", "period", "starts_at"),
    Index(None, "starts_at"),
)

# A row lives as long as a call of a model. It says what the call took from which accounts, so that any process can
# give it back.
budget_reservations = Table(
    "budget_reservations",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    # Empty for a call outside of a run.
    Column("run_id", ID, nullable=False),
    Column("model", Exact(200), nullable=False),
    Column("purpose", Exact(20), nullable=False),
    Column("input_tokens", BigId, nullable=False),
    Column("output_tokens", BigId, nullable=False),
    # The price of a million tokens when the call began.
    Column("input_price", BigId, nullable=False),
    Column("output_price", BigId, nullable=False),
    # The keys of the accounts.
    Column("accounts", JSON, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Index(None, "run_id"),
    Index(None, "expires_at"),
    Index(None, "tenant", "user_id"),
)

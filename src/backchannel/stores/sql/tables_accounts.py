"""The tables of local users, their sessions and tokens, failed logins, and the audit log."""

from sqlalchemy import JSON, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, UniqueConstraint

from backchannel.stores.sql.tables_base import ID, metadata, owner_columns
from backchannel.stores.sql.types import BigId, Exact, LongText, UtcDateTime

DIGEST = Exact(64)
"""A SHA-256 digest in hexadecimal digits."""

ADDRESS = Exact(64)

users = Table(
    "users",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    *owner_columns(),
    # The normalised name for the login, unique on the whole server, and the name as it was given.
    Column("name", Exact(200), nullable=False),
    Column("display_name", Exact(200), nullable=False),
    Column("password_hash", LongText, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("password_changed_at", UtcDateTime(), nullable=False),
    UniqueConstraint("name"),
    UniqueConstraint("tenant", "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", ID, primary_key=True),
    *owner_columns(),
    # Of the token, which is not stored.
    Column("token_hash", DIGEST, nullable=False),
    # cookie, access, refresh or personal.
    Column("kind", Exact(20), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("name", Exact(200)),
    # Tokens of one login: an access token ends with the refresh token that it came with.
    Column("family", ID),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("last_seen_at", UtcDateTime(), nullable=False),
    # NULL: does not expire for lack of use.
    Column("idle_seconds", Integer),
    Column("expires_at", UtcDateTime(), nullable=False),
    Column("user_agent", Exact(200)),
    Column("address", ADDRESS),
    # Of a refresh token that was exchanged: when, and the random key from which its successors are derived.
    Column("rotated_at", UtcDateTime()),
    Column("rotation_key", DIGEST),
    Column("ended_at", UtcDateTime()),
    Column("ended_reason", Exact(40)),
    # Of a person without an account here, as their identity provider gave it.
    Column("display_name", Exact(200)),
    UniqueConstraint("token_hash"),
    Index(None, "tenant", "user_id", "created_at"),
    Index(None, "family"),
    Index(None, "expires_at"),
    Index(None, "ended_at"),
)

# Networks from which a person has logged in: those are not kept out by failures of others.
user_addresses = Table(
    "user_addresses",
    metadata,
    *owner_columns(),
    Column("address", ADDRESS, nullable=False),
    Column("last_login_at", UtcDateTime(), nullable=False),
    PrimaryKeyConstraint("tenant", "user_id", "address"),
)

# Of no owner: a name that was tried may belong to no account.
login_failures = Table(
    "login_failures",
    metadata,
    # A keyed digest of the name and the address, or of the address.
    Column("key", DIGEST, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", UtcDateTime(), nullable=False),
    Index(None, "last_at"),
)

# Logins with an identity provider that are under way. Of no owner: who logs in is known at their end.
login_attempts = Table(
    "login_attempts",
    metadata,
    # Digests of the `state` and of the browser's cookie.
    Column("key", DIGEST, primary_key=True),
    Column("browser", DIGEST, nullable=False),
    # Encrypted: the nonce, the code verifier, and where the browser goes afterwards.
    Column("sealed", LongText, nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Index(None, "expires_at"),
)

# What is known of a session's login at its identity provider.
provider_logins = Table(
    "provider_logins",
    metadata,
    Column("session_id", ID, primary_key=True),
    *owner_columns(),
    # Encrypted: the provider's tokens.
    Column("sealed", LongText, nullable=False),
    # When the provider last said that the login is still good, and when it is asked next. NULL: never.
    Column("checked_at", UtcDateTime(), nullable=False),
    Column("check_at", UtcDateTime()),
    Column("expires_at", UtcDateTime(), nullable=False),
    Index(None, "tenant", "user_id"),
    Index(None, "expires_at"),
)

# Rows are added, and neither changed nor deleted: `personal` keeps them when a person is erased.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime(), nullable=False),
    Column("event", Exact(60), nullable=False),
    # Of whoever acted; both empty if that is not known, or the command line.
    *owner_columns(),
    Column("subject", Exact(255), nullable=False),
    Column("address", ADDRESS),
    Column("request_id", ID),
    Column("detail", JSON, nullable=False),
    Index(None, "at"),
    Index(None, "tenant", "user_id"),
)

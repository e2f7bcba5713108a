"""Settings of the database and of Redis."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

DATA_FOLDER = Path(".backchannel")


class StorageSettings(BaseSettings):
    """See the module."""

    database_url: str = Field(
        f"sqlite:///{DATA_FOLDER}/backchannel.db",
        description="The URL of the database: `sqlite:///PATH`, `postgresql://USER:PASSWORD@HOST/NAME` or "
        "`mysql://USER:PASSWORD@HOST/NAME` (MariaDB too).",
    )
    database_migrate: bool = Field(
        True,
        description="Whether the server applies pending migrations at startup. If not, it does not start before "
        "`backchannel db upgrade` has applied them.",
    )
    database_pool_size: int = Field(5, ge=1, le=1000, description="Open connections per process.")
    database_max_overflow: int = Field(
        10, ge=0, le=1000, description="Further connections per process under load."
    )
    database_pool_timeout_seconds: float = Field(
        5,
        gt=0,
        le=60,
        description="Longest wait for a free connection before a request fails with 503, in seconds.",
    )
    database_pool_recycle_seconds: int = Field(
        1800,
        ge=-1,
        description="Age in seconds from which a connection is replaced before use; -1 for never.",
    )
    database_pool_pre_ping: bool = Field(
        True, description="Whether to test a connection that was idle for more than a second before use."
    )
    database_statement_timeout_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="Timeout of a statement in seconds; on SQLite, of the wait for the write lock.",
    )
    database_request_timeout_seconds: float = Field(
        5,
        gt=0,
        le=300,
        description="Longest time that a transaction of a request may take, in seconds, with all waits and tries. The "
        "request then fails with 503. Not on SQLite. Answers in progress wait for 45 seconds.",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        description="Days without activity after which threads are deleted, with everything in them, and age at which "
        "runs and usage are deleted. Default: never.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://[:PASSWORD@]HOST:PORT/DB` (or `rediss://`): carries run events and handovers between "
        "replicas. Default: the database does. Each deployment needs its own Redis database.",
    )

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("redis://", "rediss://", "unix://")
        ):
            raise ValueError("must be redis://HOST:PORT/DB, rediss://… or unix://PATH")
        return value

    @property
    def sqlite_file(self) -> Path | None:
        """The file of the database; `None` if it is in memory or on a server."""
        # Not by SQLAlchemy, whose import takes longer than all that `backchannel --help` does.
        scheme, separator, rest = self.database_url.partition("://")
        path = rest.partition("?")[0].removeprefix("/")
        is_file = scheme.partition("+")[0] == "sqlite" and separator and path not in {"", ":memory:"}
        return Path(path) if is_file else None

"""Column types that mean the same on every database."""

from datetime import UTC, datetime
from typing import override

from sqlalchemy import BigInteger, DateTime, Dialect, Integer
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC with microseconds. Aware in Python; kept without offset, as every database can.

    Raises:
        ValueError: A naive date is written, whose moment nobody can know.
    """

    impl = DateTime
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"A date to be stored must have a time zone: {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


BigId = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit number that may be an automatic key: SQLite numbers only columns of type INTEGER by itself."""

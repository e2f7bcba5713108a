"""Column types that behave the same on every database."""

from datetime import UTC, datetime
from typing import override

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String, Text
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT, VARCHAR
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from backchannel.stores.text import storable


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC with microseconds. Aware in Python, stored without offset, which every database supports.

    Raises:
        ValueError: A naive time is written, which is ambiguous.
    """

    impl = DateTime
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        # The default there is whole seconds.
        return DATETIME(fsp=6) if dialect.name == "mysql" else dialect.type_descriptor(DateTime())

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
"""A 64-bit integer that can be an automatic key: SQLite generates keys only for columns of type INTEGER."""


class Exact(TypeDecorator[str]):
    """A short text that is compared byte for byte: an id, a user's name, a status.

    MariaDB and MySQL would otherwise take `Ada` and `ada ` for the user `ada`.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        if not isinstance(dialect, MySQLDialect):
            return dialect.type_descriptor(String(self.length))
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
        return VARCHAR(self.length, charset="utf8mb4", collation=collation)

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class LongText(TypeDecorator[str]):
    """A text of any length: TEXT of MariaDB and MySQL is limited to 64 KiB."""

    impl = Text
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        if dialect.name != "mysql":
            return dialect.type_descriptor(Text())
        # Explicit, because a server's default character set may lack emoji.
        return LONGTEXT(charset="utf8mb4", collation="utf8mb4_unicode_ci")

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)

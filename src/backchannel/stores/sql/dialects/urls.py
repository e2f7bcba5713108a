"""The dialect for a database URL."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from backchannel.errors import ConfigurationError
from backchannel.stores.sql.dialects.base import Dialect
from backchannel.stores.sql.dialects.mysql import Mysql
from backchannel.stores.sql.dialects.postgresql import Postgresql
from backchannel.stores.sql.dialects.sqlite import Sqlite

DIALECTS: dict[str, type[Dialect]] = {
    "sqlite": Sqlite,
    "postgresql": Postgresql,
    "postgres": Postgresql,
    "mysql": Mysql,
    "mariadb": Mysql,
}


def dialect_of(url: str) -> tuple[URL, Dialect]:
    """The URL for the driver, and the dialect.

    Raises:
        ConfigurationError: The URL is invalid, or its database is not supported. The message has no password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "BACKCHANNEL_DATABASE_URL is not a database URL such as sqlite:///.backchannel/backchannel.db"
        ) from None
    kind = parsed.drivername.partition("+")[0]
    found = DIALECTS.get(kind)
    if found is None:
        known = ", ".join(dict.fromkeys(each.scheme for each in DIALECTS.values()))
        raise ConfigurationError(f"BACKCHANNEL_DATABASE_URL: {kind} is not supported; use one of {known}")
    dialect = found()
    try:
        return dialect.url(parsed), dialect
    except OSError as error:
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the folder {error.filename} cannot be made ({error.strerror})."
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"BACKCHANNEL_DATABASE_URL: {error}") from None

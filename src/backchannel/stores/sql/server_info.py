"""What a database server says of itself."""

from dataclasses import dataclass

from sqlalchemy import text

from backchannel.stores.sql.engine import Database

_VERSIONS = {"sqlite": "SELECT sqlite_version()"}
_CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(now(6))",
}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A database server.

    Attributes:
        version: As it is written by the server, without details of its build.
        clock: Its time, in seconds since 1970; `None` if it is this machine's.
    """

    version: str
    clock: float | None


async def server_info(database: Database) -> ServerInfo:
    """Ask a database.

    Raises:
        UnavailableError: It cannot be reached.
    """
    name = database.dialect.name
    async with database.read() as connection:
        version = (await connection.execute(text(_VERSIONS.get(name, "SELECT version()")))).scalar_one()
        clock = _CLOCKS.get(name)
        now = float((await connection.execute(text(clock))).scalar_one()) if clock else None
    return ServerInfo(str(version).partition(" on ")[0], now)

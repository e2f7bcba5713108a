"""Local users and their sessions, for commands."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backchannel.accounts.administration import Administration
from backchannel.audit import Audit
from backchannel.cli.database import on_database
from backchannel.errors import BackchannelError, ConfigurationError
from backchannel.sessions.service import Sessions
from backchannel.settings import Settings
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.stores.sql.audit_log import SqlAuditLog
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations
from backchannel.wiring.access import make_passwords, make_sessions


@dataclass(frozen=True, slots=True)
class People:
    """What commands do with local users."""

    accounts: SqlAccounts
    sessions: Sessions
    administration: Administration
    audit: Audit
    log: SqlAuditLog


@asynccontextmanager
async def opened_people(settings: Settings, database: Database) -> AsyncGenerator[People]:
    """The users of a database and their sessions, there and in Redis, closed at the end."""
    accounts, log = SqlAccounts(database), SqlAuditLog(database)
    audit = Audit(log)
    sessions = make_sessions(settings, database, accounts, audit, b"")
    passwords = make_passwords(settings)
    try:
        administration = Administration(accounts, passwords, sessions, audit)
        yield People(accounts, sessions, administration, audit, log)
    finally:
        passwords.close()
        await sessions.store.aclose()


def with_people[R](settings: Settings, work: Callable[[People], Awaitable[R]], *, create: bool = False) -> R:
    """Run `work` on the users of the configured database, in a new event loop.

    Args:
        create: Whether to make the database if there is none yet.

    Raises:
        ConfigurationError: It cannot be done; the message is for the operator.
    """

    async def run(database: Database, sets: Sequence[Migrations]) -> R:
        del sets
        async with opened_people(settings, database) as people:
            return await work(people)

    try:
        return on_database(settings, run, upgraded=create, create=create)
    except ConfigurationError:
        raise
    except BackchannelError as error:
        raise ConfigurationError(error.message) from error

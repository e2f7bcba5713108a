"""What is known of logins at an identity provider, by the session that each began."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete

from backchannel.context import Identity
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import delete_owned, insert_owned, select_owned, update_owned
from backchannel.stores.sql.tables import provider_logins
from backchannel.stores.sql.transactions import retryable


@dataclass(frozen=True, slots=True)
class ProviderLogin:
    """One login.

    Attributes:
        sealed: The provider's tokens, encrypted.
        checked_at: When the provider last said that the login is still good.
        check_at: When it is asked next; `None`: never.
        expires_at: When the session ends at the latest.
    """

    session_id: str
    sealed: str = field(repr=False)
    checked_at: datetime
    check_at: datetime | None
    expires_at: datetime


class SqlProviderLogins:
    """The store. Every method raises `UnavailableError` if the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, identity: Identity, login: ProviderLogin) -> None:
        """Store a login of the owner of its session."""
        row = {name: getattr(login, name) for name in ProviderLogin.__slots__}
        async with self.database.write() as connection:
            await connection.execute(insert_owned(identity, provider_logins, row))

    @retryable
    async def find(self, identity: Identity, session_id: str) -> ProviderLogin | None:
        """The login of a session; `None` if it began otherwise."""
        here = select_owned(identity, provider_logins).where(provider_logins.c.session_id == session_id)
        async with self.database.read() as connection:
            row = (await connection.execute(here)).mappings().one_or_none()
        return None if row is None else ProviderLogin(**{name: row[name] for name in ProviderLogin.__slots__})

    async def claim(self, identity: Identity, login: ProviderLogin, until: datetime) -> bool:
        """Put the next check off until then; true for one of several callers, who is to make it."""
        mine = update_owned(identity, provider_logins).where(
            provider_logins.c.session_id == login.session_id, provider_logins.c.check_at == login.check_at
        )
        async with self.database.write() as connection:
            return bool((await connection.execute(mine.values(check_at=until))).rowcount)

    @retryable
    async def checked(
        self, identity: Identity, session_id: str, sealed: str, now: datetime, next_at: datetime
    ) -> None:
        """Store the outcome of a check that the provider has confirmed."""
        mine = update_owned(identity, provider_logins).where(provider_logins.c.session_id == session_id)
        async with self.database.write() as connection:
            await connection.execute(mine.values(sealed=sealed, checked_at=now, check_at=next_at))

    @retryable
    async def delete(self, identity: Identity, session_id: str) -> None:
        """Delete the login of a session that has ended."""
        mine = delete_owned(identity, provider_logins).where(provider_logins.c.session_id == session_id)
        async with self.database.write() as connection:
            await connection.execute(mine)

    @retryable
    async def delete_expired(self, now: datetime) -> int:
        """Delete logins whose session has expired; how many."""
        old = delete(provider_logins).where(provider_logins.c.expires_at <= now)
        async with self.database.write() as connection:
            return (await connection.execute(old)).rowcount

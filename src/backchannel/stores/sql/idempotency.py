"""Idempotency keys in a SQL database."""

from datetime import datetime
from typing import override

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from backchannel.context import Identity
from backchannel.stores.run_store import (
    IdempotencyKeyInUseError,
    IdempotencyRecord,
    IdempotencyStore,
    idempotency_id,
)
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import delete_owned, insert_owned, select_owned, update_owned
from backchannel.stores.sql.tables import attempts
from backchannel.stores.sql.transactions import retryable

_COLUMNS = ("id", "request", "created_at", "run_id", "response")


class SqlIdempotencyStore(IdempotencyStore):
    """The store of idempotency keys."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    @retryable
    async def load(self, identity: Identity, key: str) -> IdempotencyRecord | None:
        statement = select_owned(identity, attempts).where(attempts.c.id == idempotency_id(identity, key))
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return None if row is None else IdempotencyRecord(**{name: row[name] for name in _COLUMNS})

    @override
    async def add(self, record: IdempotencyRecord, identity: Identity) -> None:
        # Not retried: after a commit with unknown outcome, a retry could find its own key in use.
        values = {name: getattr(record, name) for name in _COLUMNS}
        try:
            async with self.database.write() as connection:
                await connection.execute(insert_owned(identity, attempts, values))
        except IntegrityError as error:
            raise IdempotencyKeyInUseError(record.id) from error

    @override
    @retryable
    async def save_response(self, record_id: str, response: str | None, identity: Identity) -> None:
        here = attempts.c.id == record_id
        change = (
            delete_owned(identity, attempts).where(here)
            if response is None
            else update_owned(identity, attempts).where(here).values(response=response)
        )
        async with self.database.write() as connection:
            await connection.execute(change)

    @override
    @retryable
    async def delete_older_than(self, before: datetime) -> int:
        async with self.database.write() as connection:
            return (await connection.execute(delete(attempts).where(attempts.c.created_at < before))).rowcount
